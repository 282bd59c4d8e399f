"""Ops that move elements and do no arithmetic, in NumPy."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from unrolled._native import core
from unrolled.arrays import array_of
from unrolled.ops.arithmetic import unbroadcast
from unrolled.ops.checks import integer_array, one_axis
from unrolled.tape import Array
from unrolled.tensor import Tensor, as_tensor, record, record_one


class _Slice:
    """A gradient that is zero outside one selection of elements."""

    __slots__ = ("key", "repeats", "value")

    def __init__(self, key: Any, value: Array, repeats: bool) -> None:
        self.key = key
        self.value = value
        self.repeats = repeats  # the selection may name an element twice

    def add_to(self, dense: Array) -> None:
        if self.repeats:
            np.add.at(dense, self.key, self.value)
        else:
            dense[self.key] += self.value


def _plain_key(key: Any) -> Any:
    if isinstance(key, tuple):
        return tuple(_plain_key(part) for part in key)
    if isinstance(key, (Tensor, list, np.ndarray)):
        return np.array(array_of("getitem", "the key", key))  # the caller may change its array afterwards
    return key


def getitem(x: Any, key: Any) -> Tensor:
    """x[key] with NumPy's rules: integers, slices, None, Ellipsis, integer arrays and boolean arrays."""
    x = as_tensor(x, "getitem", "x")
    key = _plain_key(key)
    try:
        out = x._data[key]
    except IndexError as error:
        raise IndexError(f"Tensor of shape {x.shape}: {error}") from None
    repeats = any(
        isinstance(part, np.ndarray) and part.dtype.kind != "b"
        for part in (key if isinstance(key, tuple) else (key,))
    )
    return record_one("getitem", (x,), out, lambda gradients: (_Slice(key, gradients[0], repeats),))


def take_along_axis(x: Any, indices: Any, axis: int) -> Tensor:
    """numpy.take_along_axis: along `axis`, element i of the result is the one of x that indices[i] names."""
    x = as_tensor(x, "take_along_axis", "x")
    axis = one_axis("take_along_axis", axis, x.ndim)
    index = integer_array("take_along_axis", indices, "indices")
    if index.ndim != x.ndim:
        raise ValueError(f"take_along_axis: indices have shape {index.shape}, expected {x.ndim} axes like x")
    grid = list(np.ogrid[tuple(slice(size) for size in index.shape)])
    grid[axis] = index
    return getitem(x, tuple(grid))


def reshape(x: Any, shape: Any) -> Tensor:
    """The same elements in another shape; one size may be -1."""
    x = as_tensor(x, "reshape", "x")
    before = x._data.shape
    try:
        out = x._data.reshape(shape)
    except ValueError:
        raise ValueError(f"reshape: a tensor of shape {before} cannot become {shape}") from None
    return record_one("reshape", (x,), out, lambda gradients: (gradients[0].reshape(before),))


def squeeze(x: Any, axis: int) -> Tensor:
    """Without an axis of size 1."""
    x = as_tensor(x, "squeeze", "x")
    axis = one_axis("squeeze", axis, x.ndim)
    if x.shape[axis] != 1:
        raise ValueError(f"squeeze: x has shape {x.shape}, expected size 1 along axis {axis}")
    return reshape(x, x.shape[:axis] + x.shape[axis + 1 :])


def unsqueeze(x: Any, axis: int) -> Tensor:
    """With a new axis of size 1 at `axis`."""
    x = as_tensor(x, "unsqueeze", "x")
    axis = one_axis("unsqueeze", axis, x.ndim + 1)
    return reshape(x, (*x.shape[:axis], 1, *x.shape[axis:]))


def transpose(x: Any, axes: Sequence[int] | None = None) -> Tensor:
    """Axes in another order, reversed by default."""
    x = as_tensor(x, "transpose", "x")
    order = tuple(range(x.ndim))[::-1] if axes is None else tuple(axes)
    chosen = tuple(one_axis("transpose", axis, x.ndim) for axis in order)
    if sorted(chosen) != list(range(x.ndim)):
        raise ValueError(f"transpose: axes={order}, expected every axis of shape {x.shape} once")
    back = tuple(int(i) for i in np.argsort(chosen))
    out = x._data.transpose(chosen)
    return record_one("transpose", (x,), out, lambda gradients: (gradients[0].transpose(back),))


def swapaxes(x: Any, first: int, second: int) -> Tensor:
    """Two axes exchanged."""
    x = as_tensor(x, "swapaxes", "x")
    first, second = one_axis("swapaxes", first, x.ndim), one_axis("swapaxes", second, x.ndim)
    order = list(range(x.ndim))
    order[first], order[second] = order[second], order[first]
    return transpose(x, order)


def broadcast_to(x: Any, shape: Any) -> Tensor:
    """x repeated along new axes and axes of size 1."""
    tensor = as_tensor(x, "broadcast_to", "x")
    before = tensor.shape
    if before == tuple(shape):
        return tensor
    try:
        out = np.broadcast_to(tensor._data, shape)
    except ValueError:
        raise ValueError(f"broadcast_to: a tensor of shape {before} cannot become {tuple(shape)}") from None
    return record_one("broadcast_to", (tensor,), out, lambda gradients: (unbroadcast(gradients[0], before),))


def _tensors(name: str, tensors: Any) -> list[Tensor]:
    if isinstance(tensors, (Tensor, np.ndarray)) or not isinstance(tensors, Sequence):
        raise TypeError(f"{name}: received {type(tensors).__name__}, expected a list or tuple of tensors")
    if not tensors:
        raise ValueError(f"{name}: received no tensors, expected at least one")
    parts = [as_tensor(t, name, f"tensor {i}") for i, t in enumerate(tensors)]
    for part in parts:
        if part._data.dtype != parts[0]._data.dtype:
            raise TypeError(
                f"{name}: the tensors have dtypes {parts[0].dtype} and {part.dtype}, expected one dtype"
            )
    return parts


def concat(tensors: Any, axis: int = 0) -> Tensor:
    """The tensors one after the other along an existing axis; the other sizes must agree."""
    parts = _tensors("concat", tensors)
    axis = one_axis("concat", axis, parts[0].ndim)
    for part in parts:
        if part.ndim != parts[0].ndim or _without(part.shape, axis) != _without(parts[0].shape, axis):
            raise ValueError(
                f"concat: the shapes {parts[0].shape} and {part.shape} differ in another axis than {axis}"
            )
    ends = np.cumsum([part.shape[axis] for part in parts])[:-1]
    return record_one(
        "concat",
        parts,
        joined([part._data for part in parts], axis),
        lambda gradients: np.split(gradients[0], ends, axis),
    )


def joined(arrays: Sequence[Array], axis: int) -> Array:
    """`np.concatenate` into memory of earlier calls: fresh memory takes longer than the copy."""
    shape = list(arrays[0].shape)
    shape[axis] = sum(array.shape[axis] for array in arrays)
    return np.concatenate(arrays, axis, out=core.empty(shape, np.result_type(*arrays)))


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return shape[:axis] + shape[axis + 1 :]


def stack(tensors: Any, axis: int = 0) -> Tensor:
    """Tensors of one shape along a new axis."""
    parts = _tensors("stack", tensors)
    axis = one_axis("stack", axis, parts[0].ndim + 1)
    for part in parts:
        if part.shape != parts[0].shape:
            raise ValueError(
                f"stack: the tensors have shapes {parts[0].shape} and {part.shape}, expected one shape"
            )
    out = np.stack([part._data for part in parts], axis)
    return record_one("stack", parts, out, lambda gradients: list(np.moveaxis(gradients[0], axis, 0)))


def unstack(x: Any, axis: int = 0) -> tuple[Tensor, ...]:
    """The slices along an axis, which disappears."""
    x = as_tensor(x, "unstack", "x")
    axis = one_axis("unstack", axis, x.ndim)
    shape, dtype = x.shape, x.dtype

    def vjp(gradients: Any) -> Any:
        full = np.zeros(shape, dtype)
        for part, gradient in zip(np.moveaxis(full, axis, 0), gradients, strict=True):
            if gradient is not None:
                part[...] = gradient
        return (full,)

    return record("unstack", (x,), list(np.moveaxis(x._data, axis, 0)), vjp, ())


def split(x: Any, sizes: int | Sequence[int], axis: int = 0) -> tuple[Tensor, ...]:
    """Pieces along an axis: `sizes` is the number of equal pieces, or the size of each."""
    x = as_tensor(x, "split", "x")
    axis = one_axis("split", axis, x.ndim)
    length = x.shape[axis]
    try:
        pieces = operator.index(sizes)  # type: ignore[arg-type]
    except TypeError:
        sizes = [operator.index(size) for size in sizes]  # type: ignore[union-attr]
    else:
        if pieces < 1 or length % pieces:
            raise ValueError(f"split: {length} elements along axis {axis} cannot make {pieces} equal pieces")
        sizes = [length // pieces] * pieces
    if any(size < 0 for size in sizes) or sum(sizes) != length:
        raise ValueError(f"split: sizes={sizes}, expected a sum of {length} because x has shape {x.shape}")
    ends = np.cumsum(sizes)[:-1]
    shapes, dtype = [(*x.shape[:axis], size, *x.shape[axis + 1 :]) for size in sizes], x.dtype

    def vjp(gradients: Any) -> Any:
        parts = [np.zeros(s, dtype) if g is None else g for g, s in zip(gradients, shapes, strict=True)]
        return (joined(parts, axis),)

    return record("split", (x,), np.split(x._data, ends, axis), vjp, ())
