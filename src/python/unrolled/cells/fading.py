"""Inputs with missing values, which fade to a mean."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from unrolled import checks, ops
from unrolled.arrays import array_of
from unrolled.cells.base import Array
from unrolled.cells.inspection import Inspection
from unrolled.cells.timed import Timed, gaps_in_reverse
from unrolled.tensor import Tensor, as_tensor

FADING_VECTORS = ("w_gx", "b_gx", "mean")

# What a value seen loses in one unit of time at first: a tenth.
_START = 0.1


class Fading(Timed):
    """A cell that may take an x with missing values. It then has two more states:

    x (B, I): what was seen last of each feature, less its mean; age (B, I): the time since then.

    With times between steps, a state of zeros is one that has seen nothing yet.
    """

    missing: bool = True  # whether it does
    _kept: ClassVar[tuple[str, ...]] = ("x", "age")

    w_gx: Tensor
    b_gx: Tensor
    mean: Tensor

    def _make_fading(self, mean: Any, learn_mean: bool) -> None:
        """How inputs fade, and to what."""
        who, I = type(self).__name__, self.input_size
        self.w_gx, self.b_gx, self.mean = self._vector(I, _START), self._vector(I), self._vector(I)
        if mean is not None:
            values = array_of(who, "mean", mean).astype(self.dtype)
            why = f"({I},) because input_size={I}"
            self.mean._data[...] = checks.floats(who, "mean", values, self.dtype, (I,), why)
        if not checks.flag(who, "learn_mean", learn_mean):
            self.freeze("mean")

    def forward(
        self,
        x: Any,
        state: Any = None,
        lengths: Any = None,
        reset: Any = None,
        *,
        reverse: bool = False,
        dt: Any = 1.0,
        mask: Any = None,
    ) -> tuple[Tensor, Any]:
        """Runs over a sequence, as every cell does.

        Args:
            x, state, lengths, reset, reverse: as for every cell.
            dt: times, 0 or more: a number, (T,), or (T, B); what they measure is in the docstring of the class. A
                gradient flows to a Tensor.
            mask: (T, B, I) bool, False where a value of x is missing; None: where x is NaN. In a Stack, a Bidirectional
                and other layers around cells, NaN says it.

        Returns:
            y (T, B, H) and the last state.
        """
        return super().forward(self.seen(x, mask), state, lengths, reset, reverse=reverse, dt=dt)

    def step(self, x_t: Array, state: Any = None, dt: Any = 1.0, mask: Any = None) -> tuple[Array, Any]:
        """One time step without a tape: x_t (B, I) -> y_t (B, H) and the next state. dt: a number or (B,); mask:
        (B, I) bool."""
        return super().step(self.seen(x_t, mask), state, dt)

    def inspect(self, x: Any, *args: Any, mask: Any = None, **options: Any) -> Inspection:
        """As for every cell; `mask` as in the call."""
        return super().inspect(self.seen(x, mask), *args, **options)

    def seen(self, x: Any, mask: Any) -> Any:
        """x with NaN where the mask is False."""
        if mask is None:
            return x
        who, tensor = type(self).__name__, as_tensor(x)
        given = array_of(who, "mask", mask)
        if not self.missing:
            raise ValueError(f"{who}: mask is given, expected None because missing=False")
        if given.dtype != np.bool_:
            raise TypeError(
                f"{who}: mask has dtype {given.dtype}, expected bool: False where a value is missing"
            )
        if given.shape != tensor.shape:
            raise ValueError(f"{who}: mask has shape {given.shape}, expected {tensor.shape}, the shape of x")
        seen = ops.where(given, tensor, np.nan)
        return seen if isinstance(x, Tensor) else seen._data

    def times(self, dt: Any, shape: tuple[int, ...], lengths: Any, reverse: bool) -> Tensor:
        spread = super().times(dt, shape, lengths, reverse)
        if not (self.missing and reverse):
            return spread
        return gaps_in_reverse(spread, checks.lengths(type(self).__name__, lengths, *spread.shape))

    @property
    def _makes_input(self) -> bool:  # type: ignore[override]
        return self.missing

    def _state_sizes(self) -> tuple[int, ...]:
        return (self.hidden_size, *[self.input_size for _ in self._kept if self.missing])

    def _width_of(self, state: str, size: int) -> str:
        return f"input_size={size}" if state in self._kept else super()._width_of(state, size)
