// The engine: a cell folded over time. Forward, and exact back-propagation through time, for any cell of the registry.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "core/deal.h"
#include "core/distance.h"
#include "core/threads.h"
#include "engine/call.h"
#include "engine/chunks.h"
#include "engine/handover.h"
#include "engine/partition.h"
#include "engine/schedule.h"
#include "engine/shares.h"
#include "engine/statistics.h"
#include "engine/weight_sums.h"
#include "engine/weights.h"

namespace unrolled {

/// Rows of sequences of unequal length lie in no order that the processor would see: it is told of the first lines, and
/// finds the others by itself.
template <class S>
void prefetch_row(const S* row, Index width) {
  constexpr Index line = 64 / sizeof(S), most = 4;
  for (Index k = 0; k < std::min(width, most * line); k += line) __builtin_prefetch(row + k);
}

/// Row pointers of one thread at one step, sized once per call.
template <class S>
struct ThreadRows {
  std::vector<const S*> operand, h_prev, output, dy, du, state_prev[most_states];
  std::vector<S*> slots[2], saved, y, dh, stream[most_streams], dstream[most_streams], dvectors, dscalar;
  std::vector<S> scalar;
  std::vector<const S*> a;  // projection: rows of x, and where their sums go
  std::vector<S*> sums;
  Buffer<S> u;
  std::vector<RowSums<S>> norm_sums;   // of normalisation backward
  Buffer<S> zone, masked;              // masks of zoneout [h, c][row][unit]; gradients of masked operands [row][unit]
  std::vector<const S*> zone_rows[3];  // of h, of c, of the recurrent operand
  std::vector<S*> masked_rows;
  void resize(const CellInfo& cell, Index rows, Index chunk_rows, Index units);
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

  /// Both in parts of the steps, each call on its own thread alone: begin, the parts in the order of forward or of
  /// backward, finish. The bits are the same. Not for calls with ids, nor for cells that make what W_ih multiplies, nor
  /// for the gradient of the scalar. `forward_part` reads x, and `backward_part` dy, of its own steps only, and writes
  /// their y and dx.
  void begin_forward(const CellKernel<S>& cell, Sizes sizes, ForwardWeights<S>& weights, const Parameters<S>* pack_from,
                     const Inputs<S>& in, const Outputs<S>& out);
  void forward_part(const ForwardWeights<S>& weights, const Inputs<S>& in, S* y, Index begin, Index end);
  void finish_forward(const ForwardWeights<S>& weights, const Outputs<S>& out);
  void begin_backward(const Parameters<S>& parameters, const Inputs<S>& in, const OutputGradients<S>& given,
                      const InputGradients<S>& wanted);
  void backward_part(const Inputs<S>& in, const S* y, const OutputGradients<S>& given, const InputGradients<S>& wanted,
                     Index begin, Index end);
  void finish_backward(const Inputs<S>& in, const S* y, const InputGradients<S>& wanted);

  /// Scalars that the last call needed beside its arguments, about: of places, of weights in the order of backward.
  Index scratch() const {
    const Index places = schedule_.places(), slots = slot_row_[0] + slot_row_[1];
    return (places + sizes_.hidden + sizes_.row) * slots + places * sizes_.row + table_.size();
  }

  /// What the call kept last has saved in a slot of its hidden units, or in a stream, as (T, B, width) with zeros past
  /// each sequence's end; before `backward`, which writes gradients there.
  void copy_slot(int slot, S* to);
  void copy_stream(int stream, S* to);

 private:
  /// One layer normalisation: of the u of a phase, or of some input gates. raw rows are [block][stride gates][lane].
  struct Norm {
    int site;  // index of moments_
    Space space;
    int first_slot, gates, gain;
    int stride, first_gate;
    const S* gains;  // [block][gate][lane]
    /// Its gates of a raw row.
    template <class Scalar>
    GateRow<Scalar> of(Scalar* row) const {
      return {row + first_gate * lanes<S>, stride};
    }
  };
  void plan_norms();
  const Norm& norm_of_phase(int p) const { return norms_[p]; }
  const Norm& norm_of_input(int k) const { return norms_[most_phases + k]; }

  Shares shares(int id, int count) const;
  bool hands_over(int count) const;
  void hand_over(Handover& handover, Steps left, Index step, Index chunk, Shares& mine) const;
  Blocks blocks_of_share(Space space, int share, int sharing) const;
  bool takes_shares() const;
  void plan(const Inputs<S>& in, bool keep, bool alone);
  void plan_memory(Index batch);
  void plan_partition(Pass pass, Index fresh, bool alone);
  void plan_threads();
  void load_initial(const Inputs<S>& in);
  void write_last(const Outputs<S>& out);
  const S* output_before(const S* y, Index s, Index i) const;
  const S* state_before(int k, Index s, Index i) const;
  S* stream_at(int k, Index s, Index i) { return streams_[k].data() + stream_row(k, s, i) * units(stream_space(k)); }
  /// Without `keep`, a stream that a product reads a step later has room for two steps.
  Index stream_row(int k, Index s, Index i) const {
    if (keep_ || kernel_->info.is_kept(k)) return schedule_.place(s, i);
    return twice_[k] && s % 2 != 0 ? schedule_.batch() + i : i;
  }
  Space stream_space(int k) const { return kernel_->info.stream_space[k]; }
  Index units(Space space) const { return units_[static_cast<int>(space)]; }
  Index slot_row(Space space) const { return slot_row_[static_cast<int>(space)]; }
  /// Where a reset puts state k of the caller, in whole packets.
  const S* start_of(int k) const { return start_.data() + k * start_step_; }
  /// What W_ih multiplies at (s, i).
  const S* input_row(const Inputs<S>& in, Index s, Index i) const {
    return makes_input() ? rows_.data() + schedule_.place(s, i) * sizes_.row : in.x + schedule_.at(s, i) * sizes_.input;
  }
  bool makes_input() const { return kernel_->make_input != nullptr; }
  /// Row of what belongs to (step, i); without `keep`, to a step of the chunk that starts at step `chunk`.
  Index chunk_row(Index s, Index i, Index chunk) const {
    return keep_ ? schedule_.place(s, i) : row_of_chunk(s, i, chunk);
  }
  /// A row keeps its place from chunk to chunk: other threads may still be in the chunk before.
  Index row_of_chunk(Index s, Index i, Index chunk) const { return (s - chunk) * schedule_.batch() + i; }
  S* slots_at(Index s, Index i, Index chunk) { return slots_[0].data() + chunk_row(s, i, chunk) * slot_row_[0]; }
  /// Where the steps of forward find the input parts of the gates.
  S* work_slots_at(Index s, Index i, Index chunk) {
    return saves_apart_ ? work_.data() + row_of_chunk(s, i, chunk) * slot_row_[0] : slots_at(s, i, chunk);
  }
  S* output_slots_at(Index s, Index i) { return slots_[1].data() + (keep_ ? schedule_.place(s, i) : i) * slot_row_[1]; }
  /// Raw input parts of a cell that normalises them, and the raw u of a phase.
  S* raw_a_at(Index s, Index i, Index chunk) {
    return raw_a_.data() + chunk_row(s, i, chunk) * kernel_->info.input_gates * units_[0];
  }
  /// The same where forward makes them.
  S* work_raw_a_at(Index s, Index i, Index chunk) {
    return saves_apart_ ? work_raw_a_.data() + row_of_chunk(s, i, chunk) * kernel_->info.input_gates * units_[0]
                        : raw_a_at(s, i, chunk);
  }
  /// Rows where forward makes the input parts of the gates, and backward leaves the gradients of W_ih x: those of the
  /// slots, or, of a cell that normalises them, rows of their own. In units of lanes.
  bool normalises_input() const { return kernel_->info.input_norms > 0; }
  int input_stride() const { return normalises_input() ? kernel_->info.input_gates : kernel_->info.slots; }
  int input_first() const { return normalises_input() ? 0 : kernel_->info.input_first; }
  S* input_parts_at(Index s, Index i, Index chunk) {
    return normalises_input() ? raw_a_at(s, i, chunk) : slots_at(s, i, chunk);
  }
  S* work_input_parts_at(Index s, Index i, Index chunk) {
    return normalises_input() ? work_raw_a_at(s, i, chunk) : work_slots_at(s, i, chunk);
  }
  S* work_raw_u_at(int p, Index s, Index i) {
    return saves_apart_ ? work_raw_u_.data() + i * raw_u_step_ : raw_u_at(p, s, i);
  }
  S* raw_u_at(int p, Index s, Index i) {
    const Phase& phase = kernel_->info.phase[p];
    return raw_u_[p].data() + (keep_ ? schedule_.place(s, i) : i) * phase.gates * units(phase.space);
  }

  // forward.cpp
  void start_forward(const CellKernel<S>& cell, Sizes sizes, ForwardWeights<S>& weights, const Parameters<S>* pack_from,
                     const Inputs<S>& in, bool keep, bool alone);
  void forward_steps(const ForwardWeights<S>& weights, const Inputs<S>& in, S* y, Index begin, Index end, Shares mine,
                     ThreadRows<S>& at, Handover* handover = nullptr, Index first = 0);
  void project(const ForwardWeights<S>& weights, const Inputs<S>& in, Index s0, Index s1, const Shares& mine,
               ThreadRows<S>& at);
  void multiply_input(const ForwardWeights<S>& weights, Index rows, const Blocks& own, ThreadRows<S>& at);
  void forward_step(const ForwardWeights<S>& weights, const Inputs<S>& in, S* y, Index s, Index chunk,
                    const Shares& mine, ThreadRows<S>& at);
  bool starts_at_zero(const Phase& phase, const Inputs<S>& in, Index s) const;

  // phases.cpp: those of a forward step
  ForwardFunction<S> forward_point(int p) const;
  void fused_phase(const GatePanels<S>& panels, Index depth, int p, Index rows, const Shares& mine, ThreadRows<S>& at,
                   ForwardTile<S>& tile, bool back);
  void fused_row(const GatePanels<S>& panels, Index depth, const Shares& mine, ThreadRows<S>& at, ForwardTile<S>& tile,
                 bool back);
  void normalised_phase(int p, const ForwardWeights<S>& weights, Index depth, Index s, Index rows, const Shares& mine,
                        ThreadRows<S>& at, ForwardTile<S>& tile);
  void raw_product(int p, const GatePanels<S>& panels, Index depth, Index s, Index rows, const Shares& mine,
                   ThreadRows<S>& at);

  // backward.cpp
  void prepare_backward(const Parameters<S>& parameters, const Inputs<S>& in, const OutputGradients<S>& given,
                        const InputGradients<S>& wanted, bool alone);
  void start_backward(const OutputGradients<S>& given);
  void finish_gradients(const Inputs<S>& in, const InputGradients<S>& wanted);
  void state_gradients(const InputGradients<S>& wanted);
  void backward_steps(const Inputs<S>& in, const OutputGradients<S>& given, const S* y, bool with_scalar, Index begin,
                      Index end, Shares mine, ThreadRows<S>& at, Handover* handover = nullptr);
  void backward_step(const Inputs<S>& in, const OutputGradients<S>& given, const S* y, bool with_scalar, Index s,
                     const Shares& mine, ThreadRows<S>& at);
  void aim_backward(const Inputs<S>& in, const OutputGradients<S>& given, const S* y, bool with_scalar, Index s,
                    Index rows, const Shares& mine, ThreadRows<S>& at);
  BackwardFunction<S> backward_point(int p) const;
  void propagate(int p, Index s, Index rows, const Shares& mine, ThreadRows<S>& at);
  void propagate_shares(const SlotMatrix<S>& matrix, Index rows, const Shares& mine, ThreadRows<S>& at, bool back);

  /// Gradient of stream k at (s, i): one row for all steps, but for what is made of inputs before the loop.
  S* dstream_at(int k, Index s, Index i) {
    const Index row = kernel_->info.is_kept(k) && k >= kernel_->info.states ? schedule_.place(s, i) : i;
    return dstream_[k].data() + row * units(stream_space(k));
  }
  /// The gradient `row` of state k before (s, i), in the blocks `own`, goes to its start where a reset has cut.
  void cut_gradient(int k, Index i, S* row, Blocks own);
  void start_gradients(const Inputs<S>& in, const InputGradients<S>& wanted);

  // input.cpp
  InputStep<S> input_step(const Inputs<S>& in, Index s, Index i);
  void make_input(const Inputs<S>& in, int id, int count);
  void input_backward(const Inputs<S>& in, const InputGradients<S>& wanted, int id, int count);

  // regular.cpp
  void plan_regular(const Inputs<S>& in);
  void plan_regular_threads();
  RegularTile<S> draw_zones(Index s, Index rows, const Shares& mine, ThreadRows<S>& at);
  void mask_operand(Index s, Index rows, const Shares& mine, ThreadRows<S>& at);
  S* masked_before(Index s, Index i) {
    return masked_.data() + (keep_ ? schedule_.place(s, i) : i) * units(kernel_->info.output);
  }

  // normalise.cpp
  void normalise_row(const Norm& norm, const S* raw, S* saved, Index place, const Blocks& own, S* to, Index step,
                     const S* bias);
  void normalise_input(const ForwardWeights<S>& weights, Index s0, Index s1, const Shares& mine);
  void normalise_backward(int p, Index s, Index rows, const Shares& mine, ThreadRows<S>& at);

  // table.cpp: x is a table
  void project_table(const ForwardWeights<S>& weights, const Inputs<S>& in, int id, int count, ThreadRows<S>& at);
  void look_up(const Inputs<S>& in, Index s0, Index s1, const Shares& mine);
  void sum_by_symbol(const Inputs<S>& in, int id, int count);
  Index table_row() const { return input_stride() * units_[0]; }

  // gradients.cpp: what needs no loop over time
  class InputProduct;
  void input_gradient(S* dx, Index first, Index last);
  bool bias_by_symbol(const Inputs<S>& in) const { return in.ids && !normalises_input(); }
  void bias_gradient(const S* rows, Index count, S* db, bool accumulate, int id, int team);
  void chunk_bias_gradient(const Inputs<S>& in, const InputGradients<S>& wanted, Index k, int id, int team);
  /// Whether chunk k adds to what the weight gradients hold: the last one is the first to be summed.
  bool adds(const InputGradients<S>& wanted, Index k) const { return wanted.continues || k + 1 < chunks_.count(); }
  void chunk_gradients(const Inputs<S>& in, const InputGradients<S>& wanted, Index k, Deal& places, int id, int count);
  void symbol_gradients(const Inputs<S>& in, const InputGradients<S>& wanted, int id, int count);
  void vector_gradients(const InputGradients<S>& wanted);
  void scalar_gradient(S* dscalar, int id, int count);
  std::vector<S*> rows_of(S* dW, Index columns, Space space, int stride, int first, int gates,
                          const int* gate_of) const;
  std::vector<S*> rows_of_input(S* dW_ih) const;
  WeightSums<S> weight_sums(const Inputs<S>& in, const S* y, const InputGradients<S>& wanted);
  void weight_gradients(const std::vector<OuterSum<S>>& sums, Team team, const InputGradients<S>& wanted);
  void symbol_weight_gradients(const Inputs<S>& in, const InputGradients<S>& wanted);

  const CellKernel<S>* kernel_ = nullptr;
  Sizes sizes_{};
  Index units_[spaces] = {};  // of each space, in whole packets
  Index y_step_ = 0;          // from place to place of y and dy
  Index slot_row_[2] = {};    // scalars of all slots of one row
  bool keep_ = false;
  bool by_share_ = false;     // `takes_shares`, of one row in forward, of any in backward
  bool saves_apart_ = false;  // whether what is kept of the gates goes past the caches, apart from their input parts
  Partition partition_{};
  Index chunk_steps_ = 1;  // steps whose input parts are made together
  Schedule schedule_;
  Chunks chunks_;  // of backward
  bool twice_[most_streams] = {};
  Regular regular_;
  bool regularised_ = false, masked_operand_ = false;  // whether it does anything, and to h[t-1]
  Index first_place_ = 0;
  Buffer<S> mask_, masked_;  // of h[t-1]: [row][unit], and the masked operand itself [place][unit]
  const S* vector_data_[most_vectors] = {};
  Norm norms_[most_phases + most_input_norms];
  Buffer<S> slots_[2], initial_, streams_[most_streams], initial_state_[most_states];
  // Slots and raw input parts of a chunk and raw u of a step, for forward, if what it saves goes elsewhere.
  Buffer<S> work_, work_raw_a_, work_raw_u_;
  Index raw_u_step_ = 0;      // row stride of work_raw_u_: the widest phase's, since threads may be in different phases
  Buffer<S> start_, dstart_;  // [state][unit], [row][state][unit]: starts, and sums of the gradients of a row's
  Index start_step_ = 0;
  bool started_ = false;                  // whether there is any
  bool initial_wanted_ = false;           // whether the gradient of what the first step reads goes anywhere
  Buffer<S> rows_, drows_;                // [place]: what W_ih multiplies, where the cell makes it
  Buffer<S> raw_a_, raw_u_[most_phases];  // before normalisation; backward makes them gradients
  Buffer<S> table_;                       // input parts of every symbol, or their gradients
  Buffer<S> moments_[most_phases + most_input_norms];  // [place]: mean, inverse deviation
  Buffer<S> dh_, dstream_[most_streams], dvectors_;    // dvectors_[row]: as VectorPlace says
  Index vector_step_ = 0;
  Buffer<S> dscalar_;  // [place][unit]
  BackwardWeights<S> back_;
  Buffer<S> vectors_;  // as in ForwardWeights, for backward
  std::vector<ThreadRows<S>> threads_;
  std::unique_ptr<Milestone[]> milestones_;  // of all threads, those that share units side by side
  int milestone_count_ = 0;
};

}  // namespace unrolled
