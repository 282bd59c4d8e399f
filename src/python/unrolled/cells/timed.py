"""Cells in continuous time: every step has a length dt."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from unrolled import checks, ops
from unrolled.arrays import array_of
from unrolled.cells.base import Array, Recurrent
from unrolled.cells.inspection import Inspection, inspect
from unrolled.tensor import Tensor, as_tensor


class Timed(Recurrent):
    """A cell whose call and `step` take `dt`."""

    takes_dt: ClassVar[bool] = True

    def forward(
        self,
        x: Any,
        state: Any = None,
        lengths: Any = None,
        reset: Any = None,
        *,
        reverse: bool = False,
        dt: Any = 1.0,
    ) -> tuple[Tensor, Any]:
        """Runs over a sequence, as every cell does.

        Args:
            x, state, lengths, reset, reverse: as for every cell.
            dt: times, 0 or more: a number, (T,), or (T, B); what they measure is in the docstring of the class. A
                gradient flows to a Tensor.

        Returns:
            y (T, B, H) and the last state.
        """
        if _is_one(dt):
            return super().forward(x, state, lengths, reset, reverse=reverse)
        return self._run(x, state, lengths, reset, reverse, self.times(dt, np.shape(x)[:2], lengths, reverse))

    def step(self, x_t: Array, state: Any = None, dt: Any = 1.0) -> tuple[Array, Any]:
        """One time step without a tape: x_t (B, I) -> y_t (B, H) and the next state. dt: a number or (B,)."""
        if _is_one(dt):
            return super().step(x_t, state)
        rows = np.shape(x_t)[:1]
        if isinstance(dt, float) and 0 <= dt < math.inf and rows:
            times = np.full((1, *rows), dt, self.dtype)
        else:
            of_rows = dt if np.ndim(dt) == 0 else array_of(type(self).__name__, "dt", dt)[None]
            times = self._spread(of_rows, (1, *rows))._data
        step = self._step
        result: tuple[Array, Any] | None = None if step is None else step(x_t, state, times)
        return self._careful_step(x_t, state, times) if result is None else result

    def inspect(
        self,
        x: Any,
        state: Any = None,
        lengths: Any = None,
        reset: Any = None,
        *,
        reverse: bool = False,
        dt: Any = 1.0,
    ) -> Inspection:
        """As for every cell."""
        return inspect(
            self, x, state, lengths, reset, reverse, self.times(dt, np.shape(x)[:2], lengths, reverse)
        )

    def times(self, dt: Any, shape: tuple[int, ...], lengths: Any, reverse: bool) -> Tensor:
        """dt for every step and row, (T, B), as the steps take it in the direction they run."""
        return self._spread(dt, shape)

    def _spread(self, dt: Any, shape: tuple[int, ...]) -> Tensor:
        """dt for every step and row."""
        who = type(self).__name__
        if isinstance(dt, (str, bool)) or dt is None:
            raise TypeError(f"{who}: dt is a {checks.kind_of(dt)}, expected a number or an array")
        array = array_of(who, "dt", dt, constant=False)
        if array.dtype.kind not in "iuf":
            raise TypeError(f"{who}: dt has dtype {array.dtype}, expected numbers")
        if isinstance(dt, Tensor) and dt.dtype != self.dtype:
            raise TypeError(f"{who}: dt has dtype {dt.dtype}, expected {self.dtype}, the dtype of the layer")
        per_step = array.ndim == 1 and array.shape == shape[:1]
        if array.ndim and not per_step and array.shape != shape:
            raise ValueError(f"{who}: dt has shape {array.shape}, expected a number, {shape[:1]} or {shape}")
        if not (np.isfinite(array) & (array >= 0)).all():
            raise ValueError(
                f"{who}: dt has a negative, infinite or missing (NaN) number, expected 0 or more"
            )
        times = dt if isinstance(dt, Tensor) else as_tensor(array.astype(self.dtype))
        return ops.broadcast_to(ops.unsqueeze(times, 1) if per_step else times, shape)


def _is_one(dt: Any) -> bool:
    return isinstance(dt, (int, float)) and dt == 1


def gaps_in_reverse(dt: Tensor, lengths: Any) -> Tensor:
    """Of the times dt[t] between steps t - 1 and t, those between t + 1 and t; dt[0], that before the sequence, comes
    before its last valid step."""
    T, B = dt.shape
    ends = np.full(B, T) if lengths is None else np.asarray(lengths)
    after = np.arange(1, T + 1)[:, None]
    return ops.take_along_axis(dt, np.where(after < ends, after, 0), axis=0) if T else dt
