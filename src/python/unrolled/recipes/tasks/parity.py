"""Parity: is the number of ones odd?"""

from __future__ import annotations

import numpy as np

from unrolled.tape import Array


def parity(rng: np.random.Generator, rows: int, bits: int) -> tuple[Array, Array]:
    """x (B, k): -1 for a zero and 1 for a one, all bits at once; targets (B,): 1 where the ones are odd in number."""
    ones = rng.integers(0, 2, (rows, bits))
    return (2 * ones - 1).astype(np.float32), ones.sum(axis=1) % 2
