"""What layers over a grid of positions share: which positions are read, in which direction, and the native op."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unrolled import checks, ops
from unrolled.arrays import array_of
from unrolled.ops.prepared import Prepared
from unrolled.tensor import Tensor, as_tensor, record_one

Array = np.ndarray[Any, Any]
_AXES = 3  # of the native op


def check_grid(who: str, x: Any, axes: int, input_size: int, dtype: Any) -> Tensor:
    """x (n_0, .., n_{axes-1}, B, I)."""
    names = ", ".join(["time"] if axes == 1 else [f"n{axis}" for axis in range(axes)])
    why = f"({names}, batch, {input_size}) because input_size={input_size}"
    checks.floats(who, "x", x, np.dtype(dtype), (None,) * (axes + 1) + (input_size,), why)
    return as_tensor(x)


def check_reverse(who: str, reverse: Any, axes: int) -> tuple[bool, ...]:
    """One flag for all axes, or one for each."""
    if axes > 1 and isinstance(reverse, (tuple, list)):
        if len(reverse) != axes:
            raise ValueError(f"{who}: reverse has {len(reverse)} flags, expected {axes}, one per axis")
        return tuple(checks.flag(who, "reverse", flag) for flag in reverse)
    return (checks.flag(who, "reverse", reverse),) * axes


def check_lengths(who: str, lengths: Any, sizes: Sequence[int], batch: int) -> Array | None:
    """(B, axes) valid sizes of every row along each axis; (B,) where there is one axis."""
    if lengths is None:
        return None
    if len(sizes) == 1:
        one = checks.lengths(who, lengths, sizes[0], batch)
        return None if one is None else one.reshape(batch, 1)
    array = array_of(who, "lengths", lengths)
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{who}: lengths has dtype {array.dtype}, expected int64")
    if array.shape != (batch, len(sizes)):
        raise ValueError(
            f"{who}: lengths has shape {array.shape}, expected ({batch}, {len(sizes)}): the sizes of every row"
        )
    if ((array < 0) | (array > np.asarray(sizes))).any():
        raise ValueError(f"{who}: lengths has sizes outside of 0 to {tuple(sizes)}, the sizes of x")
    return array.astype(np.int64)


def valid_positions(lengths: Array | None, sizes: Sequence[int], batch: int) -> Array:
    """(n_0, .., B) bool: which positions belong to the row."""
    valid = np.ones((*sizes, batch), bool)
    if lengths is None:
        return valid
    for axis, size in enumerate(sizes):
        shape = [1] * len(sizes)
        shape[axis] = size
        valid &= np.arange(size).reshape(*shape, 1) < lengths[:, axis]
    return valid


def zero_outside(x: Tensor, valid: Array) -> Tensor:
    """x with zeros where it is not valid, whatever stood there."""
    return x if valid.all() else ops.where(valid[..., None], x, 0)


def flip(x: Any, reverse: Sequence[bool]) -> Any:
    """x turned along its first axes, where they are reversed; the gradient of a Tensor is dense, as x is."""
    if not any(reverse):
        return x
    if isinstance(x, Tensor):
        return record_one("flip", (x,), flip(x._data, reverse), lambda grads: (flip(grads[0], reverse),))
    return x[tuple(slice(None, None, -1 if flag else 1) for flag in reverse)]


def wavefront(
    steps: Sequence[Sequence[int]],
    front: Sequence[int],
    live: Array,
    W: Tensor,
    a: Tensor | None = None,
    b: Tensor | None = None,
    starts: Sequence[Tensor | None] = (),
    *,
    streams: int,
    memories: int,
    prepared: Prepared | None = None,
) -> tuple[Tensor, Tensor]:
    """h and c (n0, n1, n2, B, S H) of every position; see src/cpp/ops/wavefront.cpp for the arguments.

    `prepared` keeps packed weights between calls of inference.
    """
    geometry = np.array([*steps, front], np.int64)
    constants = (Tensor(geometry), Tensor(np.ascontiguousarray(live, np.int64)))
    given = [t if t is None else as_tensor(t) for t in (W, a, b, *starts)]
    sizes = {"streams": streams, "memories": memories}
    h, c = ops.apply("wavefront", *constants, *given, prepared=prepared, **sizes)
    return h, c


def padded_shape(sizes: Sequence[int]) -> tuple[int, ...]:
    """Sizes of the native grid: ones for the axes that are not used."""
    return (*sizes, *(1,) * (_AXES - len(sizes)))
