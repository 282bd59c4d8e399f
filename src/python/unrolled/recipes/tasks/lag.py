"""Noise-free sequences with a long time lag."""

from __future__ import annotations

import numpy as np

from unrolled.data import one_hot
from unrolled.tape import Array


def noise_free_lag(rng: np.random.Generator, rows: int, lag: int) -> tuple[Array, Array]:
    """x (p, B, p + 1) one-hot and the next symbols (p, B) (Hochreiter and Schmidhuber 1997, experiment 2a).

    A sequence is y, a1, ..., a(p-1), y or x, a1, ..., a(p-1), x: only its first symbol tells the last.
    """
    ends = rng.integers(0, 2, rows)
    symbols = np.empty((lag + 1, rows), np.int64)
    symbols[0] = symbols[-1] = ends
    symbols[1:-1] = np.arange(2, lag + 1)[:, None]
    return one_hot(symbols[:-1], lag + 1), symbols[1:]
