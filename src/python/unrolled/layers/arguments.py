"""Checks of constructor arguments that the layers share."""

from __future__ import annotations

from typing import Any

import numpy as np


def check_size(owner: str, what: str, value: Any) -> int:
    """A positive whole number."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{owner}: {what} is {value!r}, expected an int")
    if value < 1:
        raise ValueError(f"{owner}: {what}={value}, expected at least 1")
    return int(value)


def check_dtype(owner: str, dtype: Any) -> np.dtype[Any]:
    """float32 or float64."""
    chosen: np.dtype[Any] = np.dtype(dtype)
    if chosen not in (np.float32, np.float64):
        raise TypeError(f"{owner}: dtype is {chosen}, expected float32 or float64")
    return chosen


def generator(owner: str, rng: Any) -> np.random.Generator:
    """The generator given, or a new one seeded by the system."""
    if rng is None:
        return np.random.default_rng()
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"{owner}: rng is a {type(rng).__name__}, expected a numpy.random.Generator or None")
    return rng


def check_input(owner: str, x: Any, dtype: np.dtype[Any]) -> None:
    """The input must have the dtype of the layer."""
    if x.dtype != dtype:
        raise TypeError(
            f"{owner}: x has dtype {x.dtype}, expected {dtype} because the layer was made with dtype={dtype}"
        )
