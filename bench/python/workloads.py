"""What is timed: a cell or a network of them, a shape, random arrays, and parameters that every side gets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Shape = tuple[int, int, int, int]  # T, B, I, H: time, batch, input_size, hidden_size

CELLS = ("RNN", "LSTM", "GRU")
GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}

GRID: list[Shape] = [
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
QUICK_GRID: list[Shape] = [(1, 1, 64, 64), (100, 1, 32, 64), (100, 16, 128, 128), (35, 20, 200, 200)]
VARIABLE: list[Shape] = [(400, 32, 64, 64), (100, 32, 128, 256)]
QUICK_VARIABLE: list[Shape] = [(60, 16, 32, 64)]
STACKS: list[Shape] = [(100, 1, 64, 64), (100, 16, 128, 128), (100, 32, 128, 256)]
STEP_SIZES = [32, 64, 128, 256]


@dataclass(frozen=True)
class Product:
    """y = x W' + b: x (B, I), W (O, I), b (O,)."""

    x: Array
    W: Array
    b: Array


@dataclass(frozen=True)
class Part:
    """One cell of a network, in one direction. Parameters in the layout of unrolled: W_ih (G*H, I), W_hh (G*H, H),
    b (G*H,), and b_hn (H,) for GRU."""

    layer: int
    reverse: bool
    I: int
    parameters: dict[str, Array]

    def key(self, name: str) -> str:
        """Name of a parameter of this part among those of the network."""
        return f"{name}.{self.layer}{'r' if self.reverse else ''}"


@dataclass(frozen=True)
class Workload:
    """One call of one network. `variable` is for sequences of unequal length, uniform between T/4 and T."""

    cell: str
    T: int
    B: int
    I: int
    H: int
    variable: bool = False
    layers: int = 1
    bidirectional: bool = False
    dtype: str = "float32"

    @property
    def name(self) -> str:
        depth = f"x{self.layers}" if self.layers > 1 else ""
        kind = f"{'Bi' if self.bidirectional else ''}{self.cell}{depth}"
        return f"{kind} T={self.T} B={self.B} I={self.I} H={self.H}"

    @property
    def single(self) -> bool:
        """One cell, forward."""
        return self.layers == 1 and not self.bidirectional

    @property
    def directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def rows(self) -> int:
        """Rows of the weights of a part."""
        return GATES[self.cell] * self.H

    @property
    def operations(self) -> float:
        """Floating-point operations of the matrix products of one forward pass; a backward pass has twice as many:
        as many for the gradients of x and h as for those of the weights."""
        return float(sum(2 * self.T * self.B * self.rows * (part.I + self.H) for part in self.parts))

    @cached_property
    def rng(self) -> np.random.Generator:
        return np.random.default_rng([self.T, self.B, self.I, self.H])

    def random(self, *shape: int, scale: float = 1.0) -> Array:
        return np.asarray(self.rng.standard_normal(shape) * scale, self.dtype)

    @cached_property
    def x(self) -> Array:
        return self.random(self.T, self.B, self.I)

    @cached_property
    def dy(self) -> Array:
        return self.random(self.T, self.B, self.directions * self.H)

    @cached_property
    def lengths(self) -> Array:
        lengths = np.random.default_rng(self.T).integers(self.T // 4, self.T + 1, self.B)
        lengths[0] = self.T
        return lengths

    @cached_property
    def parts(self) -> list[Part]:
        """Bottom layer first, of each layer the forward direction first."""
        sizes = [self.I] + [self.directions * self.H] * (self.layers - 1)
        return [
            Part(layer, reverse, size, self._parameters(size))
            for layer, size in enumerate(sizes)
            for reverse in (False, True)[: self.directions]
        ]

    def _parameters(self, input_size: int) -> dict[str, Array]:
        result = {
            "W_ih": self.random(self.rows, input_size, scale=input_size**-0.5),
            "W_hh": self.random(self.rows, self.H, scale=0.5 * self.H**-0.5),
            "b": self.random(self.rows, scale=0.1),
        }
        if self.cell == "GRU":
            result["b_hn"] = self.random(self.H, scale=0.1)
        return result


def nothing(_: Any) -> dict[str, Array]:
    """For a call whose results are not to be compared."""
    return {}


@dataclass(frozen=True)
class Call:
    """Something to time, and how to read its results as named arrays for the comparison before timing.

    `work` is how much of it there is beside ours: times are divided by it.
    """

    run: Callable[[], Any]
    results: Callable[[Any], dict[str, Array]] = nothing
    work: float = 1.0


def gradients(tensors: Iterable[tuple[str, Any]]) -> dict[str, Array]:
    """The `.grad` of Tensors, of unrolled or of PyTorch, as arrays."""
    return {name: np.asarray(tensor.grad) for name, tensor in tensors}


class DisagreementError(AssertionError):
    """Two sides that are to be compared do not compute the same."""


# Sums over hundreds of steps in different orders: this much of the largest number is still far below the change that
# any wrong term makes.
BOUNDS = {"float32": 2e-3, "float64": 1e-9}


def assert_agreement(what: str, ours: dict[str, Array], theirs: dict[str, Array]) -> None:
    common = ours.keys() & theirs.keys()
    if not common:
        raise DisagreementError(f"{what}: nothing in common to compare")
    for key in sorted(common):
        a, b = ours[key], theirs[key]
        if a.shape != b.shape or a.dtype != b.dtype:
            raise DisagreementError(f"{what}: {key} is {a.dtype} {a.shape} and {b.dtype} {b.shape}")
        error = float(np.abs(a - b).max(initial=0)) / max(1e-6, float(np.abs(b).max(initial=0)))
        if not error < BOUNDS[str(a.dtype)]:
            raise DisagreementError(f"{what}: {key} differs by {error:.2e} of its largest number")
