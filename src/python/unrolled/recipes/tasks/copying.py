"""Copy memory: say ten symbols again after a long wait."""

from __future__ import annotations

import numpy as np

from unrolled.tape import Array


def copy_memory(rng: np.random.Generator, rows: int, wait: int) -> tuple[Array, Array]:
    """Symbols (T + 20, B) and targets (T + 20, B), both int64 (Bai et al. 2018).

    Ten symbols from 1 to 8, T - 1 blanks (0), and eleven signs (9); the answer is blanks and, at the last ten steps,
    the ten symbols. Without memory the mean cross-entropy is 10 ln 8 / (T + 20) at best.
    """
    kept = rng.integers(1, 9, (10, rows))
    x = np.zeros((wait + 20, rows), np.int64)
    x[:10] = kept
    x[-11:] = 9
    targets = np.zeros_like(x)
    targets[-10:] = kept
    return x, targets
