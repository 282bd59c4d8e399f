"""Memorisation: read symbols, then say them all again."""

from __future__ import annotations

import numpy as np

from unrolled.data import one_hot
from unrolled.tape import Array


def memorisation(rng: np.random.Generator, rows: int, length: int, symbols: int) -> tuple[Array, Array]:
    """x (2 n, B, S + 1) one-hot: n of S symbols, then n times the sign S; targets (n, B): the symbols, to be said
    while the signs are read (Kalchbrenner et al. 2016)."""
    targets = rng.integers(0, symbols, (length, rows))
    return one_hot(np.concatenate([targets, np.full_like(targets, symbols)]), symbols + 1), targets
