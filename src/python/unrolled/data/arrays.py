"""Lists and arrays of sequences: padding, windows, splits, one-hot."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from unrolled import checks
from unrolled.arrays import array_of, refuse_masked


def pad(sequences: Sequence[Any], *, value: float = 0) -> tuple[np.ndarray, np.ndarray]:
    """Arrays of shapes (T_i, ...) -> (padded (T, B, ...), lengths (B,) int64), T the longest; `value` fills
    the rest.
    """
    arrays = sequences_of("pad", sequences)
    dtype = dtype_of_all("pad", arrays)
    if dtype.kind in "biu":
        with np.errstate(invalid="ignore"):
            if np.asarray(value).astype(dtype) != value:
                raise ValueError(f"pad: value={value} is no {dtype}, the dtype of the sequences")
    lengths = np.array([len(array) for array in arrays], np.int64)
    padded = np.full((int(lengths.max()), len(arrays), *arrays[0].shape[1:]), value, dtype)
    for index, array in enumerate(arrays):
        padded[: len(array), index] = array
    return padded, lengths


def sequences_of(who: str, sequences: Iterable[Any]) -> list[np.ndarray]:
    """Each of them as an array."""
    return [array_of(who, f"sequence {index}", sequence) for index, sequence in enumerate(sequences)]


def dtype_of_all(who: str, arrays: Sequence[np.ndarray]) -> np.dtype[Any]:
    """The dtype of sequences (T_i, ...) that can be padded: all are alike but for their lengths. Empty ones may have
    any, as `[]` has.
    """
    if not arrays:
        raise ValueError(f"{who}: the list of sequences is empty")
    model = next((index for index, array in enumerate(arrays) if array.size), 0)
    for index, array in enumerate(arrays):
        if array.ndim == 0:
            raise ValueError(
                f"{who}: sequence {index} is a single number, expected an array of shape (time, ...)"
            )
        if array.size and array.dtype != arrays[model].dtype:
            raise TypeError(
                f"{who}: sequence {index} has dtype {array.dtype}, expected {arrays[model].dtype} as "
                f"sequence {model}"
            )
        if array.shape[1:] != arrays[0].shape[1:]:
            expected = ", ".join(map(str, ("time", *arrays[0].shape[1:])))
            raise ValueError(
                f"{who}: sequence {index} has shape {array.shape}, expected ({expected}) as sequence 0"
            )
    return arrays[model].dtype


def windows(series: Any, size: int, *, horizon: int = 1, stride: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Every stretch of `size` values and the `horizon` values after it, for forecasting.

    A series (L,) or (L, F) gives inputs (size, N, F) and targets (horizon, N, F), N = 1 + (L - size -
    horizon) // stride; F = 1 for a plain series. Neighbouring windows start `stride` values apart, the first
    at 0.
    """
    array = array_of("windows", "series", series)
    if array.ndim not in (1, 2):
        raise ValueError(f"windows: series has shape {array.shape}, expected (length,) or (length, features)")
    checks.size("windows", "size", size)
    checks.size("windows", "horizon", horizon, least=0)
    checks.size("windows", "stride", stride)
    array = array.reshape(len(array), -1)
    if len(array) < size + horizon:
        raise ValueError(
            f"windows: the series has {len(array)} values, expected at least size + horizon = "
            f"{size + horizon}"
        )
    starts = np.arange(0, len(array) - size - horizon + 1, stride)
    inputs = array[starts + np.arange(size)[:, None]]
    targets = array[starts + size + np.arange(horizon)[:, None]]
    return inputs, targets


def split(
    data: Any,
    *more: Any,
    fraction: float = 0.1,
    shuffle: bool = False,
    rng: np.random.Generator | None = None,
    axis: int | Sequence[int] = 0,
) -> Any:
    """Cuts data into a training and a validation part: the last `fraction`, or with `shuffle` a random
    `fraction`.

    Lists are cut by items, arrays along `axis` (1 for (time, batch, ...)): one for all, or one for each, as
    `axis=(1, 0)` for x (T, N, F) and y (N,). One argument gives `(train, validation)`; several, which are cut
    alike, give one such pair each: `(x_train, x_valid), (y_train, y_valid) = split(x, y)`. Both parts have at
    least one item. `shuffle=False` keeps the order, which is what a text or a series needs.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"split: fraction is {fraction!r}, expected a number between 0 and 1")
    parts = (data, *more)
    axes = tuple(axis) if isinstance(axis, Sequence) else (axis,) * len(parts)
    if len(axes) != len(parts):
        raise ValueError(
            f"split: axis is {axis}, expected one number, or {len(parts)}, one for each argument"
        )
    sizes = [_items(part, along) for part, along in zip(parts, axes, strict=True)]
    if len(set(sizes)) > 1:
        raise ValueError(
            f"split: the arguments have {', '.join(map(str, sizes))} items, expected equal numbers{_ONE_EACH}"
        )
    if sizes[0] < 2:
        raise ValueError(f"split: there is {sizes[0]} item, expected at least 2")
    cut = sizes[0] - min(max(math.floor(sizes[0] * fraction + 0.5), 1), sizes[0] - 1)
    order = np.arange(sizes[0])
    if shuffle:
        order = checks.generator("split", rng).permutation(sizes[0])
    pairs = tuple(
        (_take(part, order, 0, cut, along, shuffle), _take(part, order, cut, None, along, shuffle))
        for part, along in zip(parts, axes, strict=True)
    )
    return pairs if more else pairs[0]


_ONE_EACH = "; axis may be one for each argument, as (1, 0) for x (time, batch, ...) and y (batch, ...)"


def _items(part: Any, axis: int) -> int:
    if not hasattr(part, "__len__"):
        raise TypeError(
            f"split: received a {checks.kind_of(part)}, expected arrays or lists; the share of the validation part is "
            "named, fraction=0.1"
        )
    if not isinstance(part, np.ndarray):
        return len(part)
    refuse_masked("split", "an argument", part)
    if not -part.ndim <= axis < part.ndim:
        raise ValueError(f"split: axis is {axis}, an array has shape {part.shape}{_ONE_EACH}")
    return int(part.shape[axis])


def _take(part: Any, order: np.ndarray, start: int, stop: int | None, axis: int, shuffled: bool) -> Any:
    if not isinstance(part, np.ndarray):
        return (
            [part[index] for index in order[start:stop]]
            if shuffled or isinstance(part, list)
            else part[start:stop]
        )
    if shuffled:
        return np.take(part, order[start:stop], axis=axis)
    return np.ascontiguousarray(part[(slice(None),) * (axis % part.ndim) + (slice(start, stop),)])


def one_hot(indices: Any, size: int, *, dtype: Any = np.float32) -> np.ndarray:
    """(...) integers in 0 .. size - 1 -> (..., size) with a one at each index."""
    array = array_of("one_hot", "indices", indices)
    checks.size("one_hot", "size", size, least=0)
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"one_hot: indices have dtype {array.dtype}, expected integers")
    if array.size and (array.min() < 0 or array.max() >= size):
        wrong = array.min() if array.min() < 0 else array.max()
        raise ValueError(f"one_hot: index {wrong} is outside 0 .. {size - 1}")
    result = np.zeros((array.size, size), dtype)
    result[np.arange(array.size), array.reshape(-1).astype(np.int64)] = 1
    return result.reshape(*array.shape, size)
