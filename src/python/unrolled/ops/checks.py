"""Checks of arguments that several ops share: type, then dtype, then shape, then value."""

from __future__ import annotations

from typing import Any

import numpy as np

from unrolled.arrays import array_of
from unrolled.tape import Array
from unrolled.tensor import Tensor, as_tensor


def float_tensor(name: str, x: Any, what: str = "x") -> Tensor:
    """x as a tensor of float32 or float64."""
    tensor = as_tensor(x, name, what)
    if tensor._data.dtype.kind != "f":
        raise TypeError(f"{name}: {what} has dtype {tensor.dtype}, expected float32 or float64")
    return tensor


def same_dtype(name: str, x: Tensor, other: Tensor, what: str) -> None:
    """`other` must have the dtype of `x`."""
    if other._data.dtype != x._data.dtype:
        raise TypeError(f"{name}: {what} has dtype {other.dtype}, expected {x.dtype} like the first argument")


def integer_array(name: str, x: Any, what: str) -> Array:
    """A copy of x as a C-contiguous int64 array: what the caller does to x later does not matter."""
    array = array_of(name, what, x)
    if array.size == 0 and not isinstance(x, (Tensor, np.ndarray)):
        array = array.astype(np.int64)  # an empty list has no type of its own
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name}: {what} have dtype {array.dtype}, expected an integer type")
    if array.dtype == np.uint64 and array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise ValueError(f"{name}: {what} hold {array.max()}, which is no 64-bit integer")
    return np.array(array, np.int64, order="C")


def check_range(name: str, ids: Array, size: int, what: str) -> None:
    """Every element of `ids` must be in [0, size)."""
    if ids.size == 0:
        return
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high >= size:
        raise ValueError(
            f"{name}: {what} hold {low if low < 0 else high}, expected values from 0 to {size - 1}"
        )


def one_axis(name: str, axis: Any, ndim: int) -> int:
    """The axis counted from 0."""
    if isinstance(axis, bool) or not isinstance(axis, (int, np.integer)):
        raise TypeError(f"{name}: axis is {axis!r}, expected an int")
    if ndim == 0:
        raise ValueError(f"{name}: axis={axis}, but the tensor has no axes: its shape is ()")
    if not -ndim <= axis < ndim:
        raise ValueError(
            f"{name}: axis={axis}, expected -{ndim} <= axis < {ndim} because the tensor has {ndim} axes"
        )
    return int(axis) % ndim
