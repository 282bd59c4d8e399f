// Recurrent cells for C++ programs: a sequence forward, back-propagation through time, and single steps.
//
//   #include <unrolled/recurrent.h>
//
//   unrolled::Recurrent<float> lstm("lstm", input_size, hidden_size);
//   lstm.set_parameters({W_ih, W_hh, b});
//   lstm.forward({T, B, x}, {y});
//   lstm.step(B, x_t, state, next, y_t);
//
// Arrays are row-major: sequences (T, B, features), states (B, H), weights (G * H, I) and (G * H, H) with the gates
// stacked along the rows (LSTM i f g o; GRU r z n). Compile this program for any processor; the kernels were compiled
// for one ISA level.
#pragma once

#include <unrolled/threads.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace unrolled {

/// Most states of a cell (h, c, ...), per-unit vectors (b_hn, ...), recurrent matrices and options.
inline constexpr int max_states = 4, max_unit_vectors = 12, max_matrices = 5, max_options = 8;

/// Names of all cells.
std::vector<std::string> cell_names();

template <class S>  // float or double
class Recurrent {
 public:
  using Size = std::ptrdiff_t;

  /// Where the caller keeps the parameters. b and the vectors may be null: zeros.
  struct Weights {
    const S* W_ih = nullptr;
    const S* W_hh = nullptr;
    const S* b = nullptr;
    std::array<const S*, max_unit_vectors> vectors{};   // "gru": b_hn
    std::array<const S*, max_matrices - 1> matrices{};  // those beside W_hh
  };
  /// Inputs of a call. `initial`: h, c, ... or null for zeros. `lengths` (B): valid steps of each row, 0 .. T, or null.
  /// `reset` (T, B): nonzero sets the row's state to `start` (its width; null: zeros) before the step, or null.
  struct Sequence {
    Size T = 0, B = 0;
    const S* x = nullptr;
    std::array<const S*, max_states> initial{};
    const std::int64_t* lengths = nullptr;
    const std::uint8_t* reset = nullptr;
    bool reverse = false;
    const S* scalar = nullptr;  // (T, B), one number per step and row ("ctrnn": dt), or null: ones
    std::array<const S*, max_states> start{};
  };
  /// Outputs. `last`: the states after each row's last valid step, where not null.
  struct Result {
    S* y = nullptr;  // (T, B, output_size)
    std::array<S*, max_states> last{};
  };
  /// Gradients of the loss with respect to the outputs; null: zero.
  struct OutputGradients {
    const S* y = nullptr;
    std::array<const S*, max_states> last{};
  };
  /// Where gradients go (overwritten); null: not wanted.
  struct Gradients {
    S* x = nullptr;
    std::array<S*, max_states> initial{};
    S* W_ih = nullptr;
    S* W_hh = nullptr;
    S* b = nullptr;
    std::array<S*, max_unit_vectors> vectors{};
    std::array<S*, max_matrices - 1> matrices{};
    S* scalar = nullptr;                 // (T, B)
    std::array<S*, max_states> start{};  // where a start was given
  };

  /// output_size: of cells whose output has a size of its own ("projected_lstm"); 0: hidden_size. Throws
  /// std::invalid_argument for an unknown cell or a wrong size.
  Recurrent(const std::string& cell, Size input_size, Size hidden_size, Size output_size = 0);
  ~Recurrent();
  Recurrent(Recurrent&&) noexcept;
  Recurrent& operator=(Recurrent&&) noexcept;

  Size input_size() const;
  Size hidden_size() const;
  Size output_size() const;
  int states() const;  // 1 (h) for most cells, 2 (h, c) for an LSTM
  int unit_vectors() const;
  Size input_rows() const;   // rows of W_ih
  Size weight_rows() const;  // rows of W_hh, 0 if the cell has none

  /// The options of a cell, in the order that its file in cells/ gives them; all zero until then. To be followed
  /// by `set_parameters`, since the columns of W_ih may depend on one.
  void set_options(const std::array<double, max_options>& options);

  /// Brings the parameters into kernel layout. Call it again after every change; backward reads them where they are.
  void set_parameters(const Weights& weights);

  /// Runs over a sequence. Throws std::logic_error without parameters, std::invalid_argument for lengths out of range,
  /// std::bad_alloc.
  void forward(const Sequence& in, const Result& out);
  /// The same, keeping what `backward` needs. x, y and the parameters must not change until it has run.
  void forward_for_training(const Sequence& in, const Result& out);
  void backward(const OutputGradients& given, const Gradients& wanted);

  /// One step of B rows: the same numbers as `forward`. Allocates nothing after the first call of the largest B.
  /// `state` may be null entries for zeros; `next` may be `state`.
  void step(Size B, const S* x, const std::array<const S*, max_states>& state, const std::array<S*, max_states>& next,
            S* y);

 private:
  struct Implementation;
  std::unique_ptr<Implementation> self_;
};

extern template class Recurrent<float>;
extern template class Recurrent<double>;

}  // namespace unrolled
