// The engine: a cell folded over time. Forward, and exact back-propagation through time, for any cell of the registry.
#pragma once

#include <memory>
#include <vector>

#include "core/threads.h"
#include "engine/partition.h"
#include "engine/schedule.h"
#include "engine/weights.h"

namespace unrolled {

/// One call's inputs, where the caller keeps them. Sequences are (T, B, I) and (T, B, H), row-major, states (B, H).
template <class S>
struct Inputs {
  Index T = 0, B = 0;
  const S* x = nullptr;
  const S* h0 = nullptr;                  // null: zeros
  const S* state0[most_streams] = {};     // null: zeros
  const std::int64_t* lengths = nullptr;  // (B), null: all T
  const std::uint8_t* reset = nullptr;    // (T, B), null: none
  bool reverse = false;
};

template <class S>
struct Outputs {
  S* y = nullptr;       // (T, B, H); zeros past a sequence's end
  S* h_last = nullptr;  // (B, H)
  S* state_last[most_streams] = {};
};

/// Gradients given to backward; null: zeros. y and h_last and states may each be absent.
template <class S>
struct OutputGradients {
  const S* dy = nullptr;
  const S* dh_last = nullptr;
  const S* dstate_last[most_streams] = {};
};

/// Gradients that backward writes (overwrites); null: not wanted.
template <class S>
struct InputGradients {
  S* dx = nullptr;
  S* dh0 = nullptr;
  S* dstate0[most_streams] = {};
  S* dW_ih = nullptr;
  S* dW_hh = nullptr;
  S* db = nullptr;
  S* dvector[most_vectors] = {};
};

/// Row pointers of one thread at one step, sized once per call.
template <class S>
struct ThreadRows {
  std::vector<const S*> operand, h_prev, dy, du, state_prev[most_streams];
  std::vector<S*> slots, y, dh, stream[most_streams], dstream[most_streams];
  std::vector<const S*> a;  // projection: rows of x, and where their sums go
  std::vector<S*> sums;
  Buffer<S> u;
  Buffer<S> mean, inverse_deviation;
  void resize(const CellInfo& cell, Index rows, Index chunk_rows);
};

/// What a call leaves for its backward, and scratch that a later call of the same or smaller size uses again without
/// allocating.
template <class S>
class Run {
 public:
  /// Runs the cell over the inputs. `pack_from`: parameters to pack into `weights` first, or null if they are packed.
  /// With `keep`, `backward` may follow, once.
  void forward(const CellKernel<S>& cell, Sizes sizes, ForwardWeights<S>& weights, const Parameters<S>* pack_from,
               const Inputs<S>& in, const Outputs<S>& out, bool keep);

  /// Back-propagation through the call kept last. x and y must hold what they held then.
  void backward(const Parameters<S>& parameters, const Inputs<S>& in, const S* y, const OutputGradients<S>& given,
                const InputGradients<S>& wanted);

 private:
  /// What one thread of a team does: every row_step-th row of [first_row, last_row); unit blocks [first_block,
  /// last_block).
  struct Shares {
    Index first_row, last_row, row_step, first_block, last_block;
    Barrier* meet;
    int meeting;  // threads that meet there
    /// How many of the first `running` rows are this thread's, and which is its n-th.
    Index rows(Index running) const {
      running = running < last_row ? running : last_row;
      return running <= first_row ? 0 : (running - first_row + row_step - 1) / row_step;
    }
    Index row(Index n) const { return first_row + n * row_step; }
  };
  Shares shares(int id, int count) const;
  void plan(const Inputs<S>& in, bool keep);
  void plan_threads(Index batch);
  void load_initial(const Inputs<S>& in);
  const S* output_before(const S* y, Index s, Index i) const;
  const S* state_before(int k, Index s, Index i) const;
  S* stream_at(int k, Index s, Index i);
  /// Slots of (step, i); without `keep`, of a step of the chunk that starts at step `chunk`.
  S* slots_at(Index s, Index i, Index chunk) {
    // A row keeps its place from chunk to chunk: other threads may still be in the chunk before.
    return slots_.data() + (keep_ ? schedule_.place(s, i) : (s - chunk) * schedule_.batch() + i) * slot_row_;
  }

  // forward.cpp
  void project(const ForwardWeights<S>& weights, const Inputs<S>& in, Index s0, Index s1, const Shares& mine,
               ThreadRows<S>& at);
  void forward_step(const ForwardWeights<S>& weights, S* y, Index s, Index chunk, const Shares& mine,
                    ThreadRows<S>& at);
  void fused_phase(const GatePanels<S>& panels, const Phase& phase, ForwardFunction<S> point, Index rows,
                   const Shares& mine, ThreadRows<S>& at, ForwardTile<S> tile);
  void statistics_phase(int p, const GatePanels<S>& panels, Index s, Index rows, const Shares& mine, ThreadRows<S>& at,
                        ForwardTile<S> tile);
  void write_last(const S* y, const Outputs<S>& out);

  // backward.cpp
  void backward_step(const OutputGradients<S>& given, const S* y, Index s, const Shares& mine, ThreadRows<S>& at);
  void statistics_backward(int p, Index s, Index rows, const Shares& mine, ThreadRows<S>& at);
  void propagate(int p, Index rows, const Shares& mine, ThreadRows<S>& at);

  // gradients.cpp: what needs no loop over time
  void input_gradient(S* dx, int id, int count);
  void unit_gradients(const InputGradients<S>& wanted, int id, int count);
  void weight_gradients(const Inputs<S>& in, const S* y, const InputGradients<S>& wanted);

  const CellKernel<S>* kernel_ = nullptr;
  Sizes sizes_{};
  Index units_ = 0;     // H in whole packets
  Index slot_row_ = 0;  // scalars of all slots of one row
  bool keep_ = false;
  Partition partition_{};
  Index chunk_steps_ = 1;  // steps whose input parts are made together
  Schedule schedule_;
  Buffer<S> slots_, initial_, zeros_, streams_[most_streams], initial_state_[most_streams];
  Buffer<S> mean_[most_phases], inverse_deviation_[most_phases];  // [place]
  Buffer<S> raw_u_[most_phases];  // [place][block][gate][lane], for phases with statistics
  Buffer<S> dh_, dstream_[most_streams];
  BackwardWeights<S> back_;
  Buffer<S> vectors_[most_vectors];
  std::vector<ThreadRows<S>> threads_;
  std::unique_ptr<Barrier[]> barriers_;  // one per row share
  int barrier_count_ = 0;
};

}  // namespace unrolled
