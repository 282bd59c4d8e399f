"""Sums, means and extremes over axes, in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from unrolled.ops.checks import float_tensor, one_axis
from unrolled.tape import Array
from unrolled.tensor import Tensor, record

Axes = int | tuple[int, ...] | None


def _axes(name: str, axis: Axes, ndim: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(ndim))
    chosen = tuple(one_axis(name, a, ndim) for a in (axis if isinstance(axis, tuple) else (axis,)))
    if len(set(chosen)) != len(chosen):
        raise ValueError(f"{name}: axis={axis} names an axis twice")
    return chosen


def _kept(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(1 if i in axes else size for i, size in enumerate(shape))


def sum(x: Any, axis: Axes = None, *, keepdims: bool = False) -> Tensor:
    """Sum over one, several or all axes."""
    x = float_tensor("sum", x)
    axes, shape = _axes("sum", axis, x.ndim), x.shape
    kept = _kept(shape, axes)
    out = np.asarray(x._data.sum(axis=axes, keepdims=keepdims))

    def vjp(gradients: Any) -> Any:
        return (np.broadcast_to(gradients[0].reshape(kept), shape),)

    return record("sum", (x,), (out,), vjp, ())[0]


def mean(x: Any, axis: Axes = None, *, keepdims: bool = False) -> Tensor:
    """Mean over one, several or all axes, of which there must be elements."""
    x = float_tensor("mean", x)
    axes = _axes("mean", axis, x.ndim)
    count = _count("mean", x, axes)
    return sum(x, axes, keepdims=keepdims) * (1.0 / count) if x.ndim else x


def var(x: Any, axis: Axes = None, *, keepdims: bool = False) -> Tensor:
    """Mean of the squares around the mean (divided by n), over one, several or all axes."""
    x = float_tensor("var", x)
    centred = x - mean(x, axis, keepdims=True)
    return mean(centred * centred, axis, keepdims=keepdims)


def _count(name: str, x: Tensor, axes: tuple[int, ...]) -> int:
    count = 1
    for a in axes:
        count *= x.shape[a]
    if count == 0:
        raise ValueError(f"{name}: x has shape {x.shape}, expected at least one element along {axes}")
    return count


def _extreme(name: str, x: Any, axis: Axes, keepdims: bool) -> Tensor:
    x = float_tensor(name, x)
    axes = _axes(name, axis, x.ndim)
    _count(name, x, axes)
    data, kept = x._data, _kept(x.shape, axes)
    out = np.asarray(getattr(data, name)(axis=axes, keepdims=keepdims))

    def vjp(gradients: Any) -> Any:
        hit: Array = (data == out.reshape(kept)).astype(data.dtype)
        return (hit * (gradients[0].reshape(kept) / hit.sum(axis=axes, keepdims=True)),)

    return record(name, (x,), (out,), vjp)[0]


def max(x: Any, axis: Axes = None, *, keepdims: bool = False) -> Tensor:
    """Largest element; equal largest elements share the gradient."""
    return _extreme("max", x, axis, keepdims)


def min(x: Any, axis: Axes = None, *, keepdims: bool = False) -> Tensor:
    """Smallest element; equal smallest elements share the gradient."""
    return _extreme("min", x, axis, keepdims)
