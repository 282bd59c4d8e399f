"""What is timed: a cell, a shape, random arrays, and one set of parameters that every side gets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

CELLS = ("RNN", "LSTM", "GRU")
GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}
STATES = {"RNN": 1, "LSTM": 2, "GRU": 1}

# (T, B, I, H): time, batch, input_size, hidden_size
GRID = [
    (1, 1, 64, 64),
    (1, 1, 256, 256),
    (100, 1, 32, 64),
    (100, 1, 128, 128),
    (100, 1, 512, 512),
    (100, 16, 128, 128),
    (100, 32, 128, 256),
    (50, 64, 256, 512),
    (100, 64, 512, 512),
    (35, 20, 650, 650),
    (35, 20, 200, 200),
    (20, 128, 1024, 1024),
    (784, 64, 1, 128),
]
VARIABLE = [(400, 32, 64, 64), (100, 32, 128, 256)]
STEP_SIZES = [32, 64, 128, 256]


@dataclass(frozen=True)
class Workload:
    """One call of one cell. `lengths` is for sequences of unequal length, uniform between T/4 and T."""

    cell: str
    T: int
    B: int
    I: int
    H: int
    variable: bool = False

    @property
    def name(self) -> str:
        return f"{self.cell} T={self.T} B={self.B} I={self.I} H={self.H}"

    @cached_property
    def rng(self) -> np.random.Generator:
        return np.random.default_rng([self.T, self.B, self.I, self.H])

    def random(self, *shape: int, scale: float = 1.0) -> Array:
        return np.asarray(self.rng.standard_normal(shape) * scale, np.float32)

    @cached_property
    def x(self) -> Array:
        return self.random(self.T, self.B, self.I)

    @cached_property
    def dy(self) -> Array:
        return self.random(self.T, self.B, self.H)

    @cached_property
    def lengths(self) -> Array:
        lengths = np.random.default_rng(self.T).integers(self.T // 4, self.T + 1, self.B)
        lengths[0] = self.T
        return lengths

    @cached_property
    def parameters(self) -> dict[str, Array]:
        """In the layout of unrolled: W_ih (G*H, I), W_hh (G*H, H), b (G*H,), and b_hn (H,) for GRU."""
        rows = GATES[self.cell] * self.H
        result = {
            "W_ih": self.random(rows, self.I, scale=self.I**-0.5),
            "W_hh": self.random(rows, self.H, scale=0.5 * self.H**-0.5),
            "b": self.random(rows, scale=0.1),
        }
        if self.cell == "GRU":
            result["b_hn"] = self.random(self.H, scale=0.1)
        return result


@dataclass(frozen=True)
class Call:
    """Something to time, and how to read its results as named arrays for the comparison before timing."""

    run: Callable[[], Any]
    results: Callable[[Any], dict[str, Array]]


class DisagreementError(AssertionError):
    """Two sides that are to be compared do not compute the same."""


def assert_agreement(
    what: str, ours: dict[str, Array], theirs: dict[str, Array], bound: float = 2e-3
) -> None:
    """float32 sums over hundreds of steps in different orders: 2e-3 of the largest number is still far below
    the change that any wrong term makes."""
    common = ours.keys() & theirs.keys()
    if not common:
        raise DisagreementError(f"{what}: nothing in common to compare")
    for key in sorted(common):
        a, b = ours[key], theirs[key]
        if a.shape != b.shape:
            raise DisagreementError(f"{what}: {key} has shape {a.shape} and {b.shape}")
        error = float(np.abs(a - b).max(initial=0)) / max(1e-6, float(np.abs(b).max(initial=0)))
        if not error < bound:
            raise DisagreementError(f"{what}: {key} differs by {error:.2e} of its largest number")
