"""a^n b^n c^n: a language that asks for two counters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unrolled.data import one_hot, pad
from unrolled.tape import Array


def counting(sizes: Sequence[int]) -> tuple[Array, Array, Array]:
    """x (T, B, 4) one-hot, legal next symbols (T, B, 4) as 0 and 1, lengths (B,), for a string of each size n.

    The symbols are a, b, c and S, which starts a string and is to be predicted at its end (Gers and Schmidhuber 2001).
    After an a both a and b may come; from the first b on, everything is known.
    """
    strings, legal = [], []
    for n in sizes:
        symbols = np.repeat([3, 0, 1, 2, 3], [1, n, n, n, 1])
        allowed = np.eye(4, dtype=np.float32)[symbols[1:]]
        allowed[1 : n + 1, :2] = 1
        strings.append(symbols[:-1])
        legal.append(allowed)
    symbols, lengths = pad(strings)
    targets, _ = pad(legal)
    x = one_hot(symbols, 4)
    x[np.arange(len(x))[:, None] >= lengths] = 0
    return x, targets, lengths
