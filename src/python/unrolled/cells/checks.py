"""Arguments of cells, checked fully: type, dtype, number of dimensions, shape, value, in that order."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from unrolled.tensor import Tensor

Array = np.ndarray[Any, Any]


def kind_of(value: Any) -> str:
    return "None" if value is None else type(value).__name__


def size(who: str, name: str, value: Any, least: int = 1) -> int:
    """A whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{who}: {name} is a {kind_of(value)}, expected an int")
    if value < least:
        raise ValueError(f"{who}: {name} is {value}, expected at least {least}")
    return int(value)


def float_dtype(who: str, value: Any) -> np.dtype[Any]:
    try:
        dtype: np.dtype[Any] = np.dtype(value)
    except TypeError:
        raise TypeError(f"{who}: dtype is {value!r}, expected float32 or float64") from None
    if dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise TypeError(
            f"{who}: dtype is {dtype.str if not dtype.isnative else dtype}, expected native float32 or float64"
        )
    return dtype


def flag(who: str, name: str, value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(
            f"{who}: {name} is {'None' if value is None else f'a {kind_of(value)}'}, expected a bool"
        )
    return bool(value)


def generator(who: str, rng: Any) -> np.random.Generator:
    if rng is None:
        return np.random.default_rng()
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"{who}: rng is a {kind_of(rng)}, expected a numpy.random.Generator")
    return rng


def number(who: str, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{who}: {name} is a {kind_of(value)}, expected a number")
    if not math.isfinite(value):
        raise ValueError(f"{who}: {name} is {value}, expected a finite number")
    return float(value)


def floats(
    who: str, name: str, value: Any, dtype: np.dtype[Any], shape: tuple[int | None, ...], why: str
) -> Array:
    """A C-contiguous array of exactly this dtype and shape (None: any size); `why` tells where the shape is from."""
    array = value._data if isinstance(value, Tensor) else value
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{who}: {name} is a {kind_of(value)}, expected a NumPy array or a Tensor")
    if array.dtype != dtype:
        got = array.dtype if array.dtype.isnative else array.dtype.str
        raise TypeError(
            f"{who}: {name} has dtype {got}, expected {dtype}, the dtype of the layer; convert it with .astype"
        )
    if not _fits(array.shape, shape):
        raise ValueError(f"{who}: {name} has shape {array.shape}, expected {why}")
    return np.ascontiguousarray(array)


def lengths(who: str, value: Any, steps: int, batch: int) -> Array | None:
    if value is None:
        return None
    array = np.asarray(value)
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{who}: lengths has dtype {array.dtype}, expected int64")
    if array.shape != (batch,):
        raise ValueError(
            f"{who}: lengths has shape {array.shape}, expected ({batch},): one per row of the batch"
        )
    wrong = array[(array < 0) | (array > steps)] if batch else array
    if wrong.size:
        raise ValueError(
            f"{who}: lengths has {wrong[0]}, expected 0 to {steps}, the number of time steps of x"
        )
    return np.ascontiguousarray(array, dtype=np.int64)


def resets(who: str, value: Any, steps: int, batch: int) -> Array | None:
    if value is None:
        return None
    array = np.asarray(value)
    if array.dtype != np.bool_:
        raise TypeError(f"{who}: reset has dtype {array.dtype}, expected bool")
    if array.shape != (steps, batch):
        raise ValueError(
            f"{who}: reset has shape {array.shape}, expected ({steps}, {batch}): time steps and rows of x"
        )
    return np.ascontiguousarray(array)


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(w is None or s == w for s, w in zip(shape, wanted, strict=True))
