"""Checks of arguments that layers, optimizers, data and training share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def check_size(owner: str, what: str, value: Any, least: int = 1) -> int:
    """A whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{owner}: {what} is {value!r}, expected an int")
    if value < least:
        raise ValueError(f"{owner}: {what} is {value}, expected at least {least}")
    return int(value)


def check_number(owner: str, what: str, value: Any) -> float:
    """A finite number, zero or more."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{owner}: {what} is {value!r}, expected a number")
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{owner}: {what} is {value!r}, expected a finite number, zero or more")
    return float(value)


def check_dtype(owner: str, dtype: Any) -> np.dtype[Any]:
    """float32 or float64."""
    try:
        chosen: np.dtype[Any] = np.dtype(dtype)
    except TypeError:
        raise TypeError(f"{owner}: dtype is {dtype!r}, expected float32 or float64") from None
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
