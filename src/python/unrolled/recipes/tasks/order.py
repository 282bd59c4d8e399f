"""Temporal order: which of two symbols came first, seen long ago among distractors."""

from __future__ import annotations

import numpy as np

from unrolled.data import one_hot
from unrolled.tape import Array


def temporal_order(rng: np.random.Generator, rows: int, steps: int) -> tuple[Array, Array]:
    """x (T, B, 6) one-hot, targets (B,) of four classes (Pascanu et al. 2013).

    Symbols 0 or 1 stand at one step in [T/10, 2T/10) and at one in [5T/10, 6T/10), the other steps have 2 to 5.
    """
    symbols = rng.integers(2, 6, (steps, rows))
    tenth, every = max(steps // 10, 1), np.arange(rows)
    first, second = rng.integers(0, 2, rows), rng.integers(0, 2, rows)
    symbols[steps // 10 + rng.integers(0, tenth, rows), every] = first
    symbols[steps // 2 + rng.integers(0, tenth, rows), every] = second
    return one_hot(symbols, 6), first + 2 * second


def temporal_order_with_ends(
    rng: np.random.Generator, rows: int, shortest: int = 100
) -> tuple[Array, Array, Array]:
    """x (T, B, 8) one-hot, targets (B,) of four classes, lengths (B,) (Hochreiter and Schmidhuber 1997, task 6a).

    Symbol 6 opens and 7 closes; X = 0 or Y = 1 stand at a step in [T/10, 2T/10] and one in [5T/10, 6T/10] of the
    shortest length T, lengths are T to T + T/10, the other steps have 2 to 5.
    """
    tenth, every = shortest // 10, np.arange(rows)
    lengths = rng.integers(shortest, shortest + tenth + 1, rows)
    symbols = rng.integers(2, 6, (int(lengths.max()), rows))
    first, second = rng.integers(0, 2, rows), rng.integers(0, 2, rows)
    symbols[tenth + rng.integers(0, tenth + 1, rows), every] = first
    symbols[5 * tenth + rng.integers(0, tenth + 1, rows), every] = second
    symbols[0], symbols[lengths - 1, every] = 6, 7
    x = one_hot(symbols, 8)
    x[np.arange(len(x))[:, None] >= lengths] = 0
    return x, first + 2 * second, lengths
