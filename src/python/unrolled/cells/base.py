"""What all recurrent cells share: parameters, checks, the call over a sequence, and single steps. No arithmetic."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from unrolled import checks
from unrolled._native import core
from unrolled.cells.call import Arguments, checked_state, prepare, run
from unrolled.cells.inspection import Inspection, inspect
from unrolled.cells.native import Native
from unrolled.cells.quick import recorded, unrecorded
from unrolled.cells.recompute import Recomputed
from unrolled.cells.unknown import refuse_unknown
from unrolled.cells.warm_up import warm_up
from unrolled.module import Module
from unrolled.tensor import Tensor, is_grad_enabled

Array = np.ndarray[Any, Any]


class Recurrent(Recomputed, Native):
    """A cell folded over time: `y, state = cell(x, state, lengths, reset)` and `y_t, state = cell.step(x_t, state)`.

    Subclasses name the gates, the states and the native kernel; the equations are in their docstrings.

    Shapes: x (T, B, I), y (T, B, H), each state (B, H), lengths (B,), reset (T, B), for T steps, a batch of B rows,
    I = input_size and H = hidden_size. T = 0 and B = 0 are valid. Arrays must have the dtype of the layer.

    Parameters: `W_ih` (G*H, I) Glorot uniform, `W_hh` (G*H, H) orthogonal, `b` (G*H,) zeros, the gates stacked along
    the rows in the order of `gates`. With `bias=False` there is no `b`.

    `recompute=True`, or `cell.recompute = True` later, trades time for memory in training: of T steps, only about
    sqrt(T) are kept at a time, but no fewer than 512 steps x rows, and each is run again in backward (Chen et al.
    2016). A number says how many steps. Outputs are the same bits; gradients of parameters are summed in another order.
    It is saved with the model.
    """

    gates: ClassVar[tuple[str, ...]]
    takes_dt: ClassVar[bool] = False  # whether the call and `step` have an argument dt
    _makes_input: bool = False  # whether W_ih multiplies more than x[t]

    b: Tensor | None
    _output_is_state: ClassVar[bool] = True  # else the first state is another than the output

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        dtype: Any = np.float32,
        rng: np.random.Generator | None = None,
        recompute: bool | int = False,
    ) -> None:
        who = type(self).__name__
        self.input_size = checks.size(who, "input_size", input_size)
        self.hidden_size = checks.size(who, "hidden_size", hidden_size)
        self.bias = checks.flag(who, "bias", bias)
        self.dtype = checks.float_dtype(who, dtype)
        self.recompute = recompute
        self._forget_packed()
        self._make_parameters(checks.generator(who, rng))
        self._warm_up()

    @classmethod
    def _check_options(cls, options: dict[str, Any]) -> None:
        refuse_unknown(cls, options)

    def _make_parameters(self, rng: np.random.Generator) -> None:
        """Initial values of all parameters."""
        G, H = len(self.gates), self.hidden_size
        self.W_ih = self._input_matrix(rng, G)
        if self.matrices[:1] == ("W_hh",):
            self.W_hh = self._recurrent_matrix(rng, G)
        self.b = self._vector(G * H) if self.bias else None

    @property
    def output_size(self) -> int:
        """Features of y."""
        return self.hidden_size

    def inspect(
        self, x: Any, state: Any = None, lengths: Any = None, reset: Any = None, *, reverse: bool = False
    ) -> Inspection:
        """A call without a tape that also gives what it has computed on its way.

        Returns:
            y (T, B, O) and the last state, the gates of every step by name, (T, B, H) each, and every state by name:
            arrays, zero past each sequence's end.
        """
        return inspect(self, x, state, lengths, reset, reverse)

    def _slots(self) -> dict[str, int]:
        """Where the native cell saves each gate."""
        return {name: k for k, name in enumerate(self.gates)}

    def _streams(self) -> dict[str, int]:
        """Where it keeps what `inspect` shows beside the gates."""
        return {}

    def _shown(self, name: str, saved: Array) -> Array:
        """A gate, from what the native cell saves of it."""
        return saved

    # --- what gated cells add, see regular.py

    def _call_weights(self) -> list[Tensor | None]:
        """The weights of this call, in the order of `_weights`."""
        return self._weights()

    def _started(self, state: Any, batch: int) -> Any:
        """The state that a call starts from."""
        return state

    def _starts(self) -> list[Tensor]:
        """Where a reset puts each state, (its width,); none: zeros."""
        return []

    def _called(self) -> None:
        """After a call over a sequence."""

    def _state_sizes(self) -> tuple[int, ...]:
        """Width of each state."""
        return (self.hidden_size,) * len(self.State._fields)

    # --- sequences

    def forward(
        self, x: Any, state: Any = None, lengths: Any = None, reset: Any = None, *, reverse: bool = False
    ) -> tuple[Tensor, Any]:
        """Runs over a sequence.

        Args:
            x: (T, B, I). It must not be changed in place before `backward` has run.
            state: named tuple (or tuple) of (B, H) arrays or Tensors; None: zeros.
            lengths: valid steps of each row, integers 0 to T; None: all T. `y` is zero behind them, and the state
                returned is that after the last valid step (the one given, where the length is 0).
            reset: (T, B) bool; True: the state of this row is set to zero (to the learned initial state, where there is
                one) before this step. In the reverse direction, too, a reset at t parts t - 1 from t.
            reverse: from each row's last valid step to its first.

        Returns:
            y (T, B, H) and the last state.
        """
        if lengths is None and reset is None and type(reverse) is bool:
            quick = recorded if is_grad_enabled() else unrecorded
            if (made := quick(self, x, state, reverse)) is not None:
                return made
        return self._run(x, state, lengths, reset, reverse)

    def _run(
        self, x: Any, state: Any, lengths: Any, reset: Any, reverse: bool, scalar: Tensor | None = None
    ) -> tuple[Tensor, Any]:
        return run([prepare(self, x, state, lengths, reset, reverse, scalar)])[0]

    def _width_of(self, state: str, size: int) -> str:
        """Why a state is as wide as it is."""
        return f"{'hidden_size' if size == self.hidden_size else 'output_size'}={size}"

    def _shape_of_x(self, axes: str) -> str:
        return f"({axes}, {self.input_size}) because input_size={self.input_size}"

    def _warm_up(self) -> None:
        """What a first call would find cold."""
        warm_up(self, Recurrent.forward, Recurrent.step)

    # --- steps

    def initial_state(self, batch_size: int) -> Any:
        """Zeros for `batch_size` rows, as a named tuple of arrays."""
        rows = checks.size(type(self).__name__, "batch_size", batch_size, least=0)
        return self.State(*(np.zeros((rows, size), self.dtype) for size in self._state_sizes()))

    def step(self, x_t: Array, state: Any = None) -> tuple[Array, Any]:
        """One time step without a tape, for streaming: x_t (B, I) -> y_t (B, H) and the next state, all plain arrays.

        Gives the same bits as the call over a whole sequence. Packed weights are kept between steps; after any
        change of a parameter the next step uses the new values. Many threads may step one cell at once.
        """
        step = self._step
        result: tuple[Array, Any] | None = None if step is None else step(x_t, state)
        return self._careful_step(x_t, state) if result is None else result

    def _careful_step(self, x_t: Any, state: Any, scalar: Array | None = None) -> tuple[Array, Any]:
        """A step whose weights may have changed, or whose arguments are not plain arrays of the right kind."""
        who = type(self).__name__
        x_t = checks.floats(who, "x_t", x_t, self.dtype, (None, self.input_size), self._shape_of_x("batch"))
        state = self.State(*self._filled_state(state, x_t.shape[0]))
        stepper = self._fresh_stepper()
        result: tuple[Array, Any] | None = stepper.step(x_t, state, *([] if scalar is None else [scalar]))
        if result is not None:
            return result
        # Somebody holds an array of the parameters and may write to it, so that they were packed for this step alone.
        call = Arguments(
            self._kernel, x_t[None], self._arrays(), list(state), self._options(), self._regular(False),
            scalar=scalar, packed=stepper.packed,
        )  # fmt: skip
        y, last, _ = core.cells_forward([call])[0]
        return y[0], self.State(*last)

    def _filled_state(self, state: Any, batch: int) -> list[Array]:
        checked, zeros = checked_state(self, state, batch), self.initial_state(batch)
        return [zero if s is None else s for s, zero in zip(checked, zeros, strict=True)]


def is_plain(layer: Any) -> bool:
    """Whether a call of this layer is that of `Recurrent`, as `prepare` makes it."""
    return (
        isinstance(layer, Recurrent)
        and type(layer).__call__ is Module.__call__
        and getattr(layer.forward, "__func__", None) is Recurrent.forward
    )
