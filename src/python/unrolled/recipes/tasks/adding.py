"""The adding problem: remember two marked numbers and give their sum."""

from __future__ import annotations

import numpy as np

from unrolled.tape import Array


def adding(rng: np.random.Generator, rows: int, steps: int) -> tuple[Array, Array]:
    """x (T, B, 2): numbers in [0, 1] and marks, one in each half; targets (B, 1): the sum (Bai et al. 2018).

    Always answering 1 costs a mean squared error of 1/6.
    """
    x = np.zeros((steps, rows, 2), np.float32)
    x[:, :, 0] = rng.random((steps, rows))
    every = np.arange(rows)
    first, second = rng.integers(0, steps // 2, rows), rng.integers(steps // 2, steps, rows)
    x[first, every, 1] = x[second, every, 1] = 1
    return x, (x[first, every, 0] + x[second, every, 0])[:, None]


def adding_with_ends(rng: np.random.Generator, rows: int, steps: int) -> tuple[Array, Array, Array]:
    """x (T', B, 2), targets (B, 1), lengths (B,) between T and T + T/10 (Hochreiter and Schmidhuber 1997).

    Numbers are in [-1, 1]. Marks are 1 at one of the first ten steps and at another of the first T/2 - 1, -1 at the
    first and last step, else 0. A mark on the first step takes the place of the -1, and its number counts as 0, as in
    the paper. The target is 0.5 + (X1 + X2) / 4.
    """
    lengths = rng.integers(steps, steps + steps // 10 + 1, rows)
    T, every = int(lengths.max()), np.arange(rows)
    x = np.zeros((T, rows, 2), np.float32)
    x[:, :, 0] = rng.uniform(-1, 1, (T, rows))
    first = rng.integers(0, min(10, steps // 2 - 2), rows)
    second = rng.integers(0, steps // 2 - 2, rows)
    second += second >= first  # another step
    x[0, :, 1] = x[lengths - 1, every, 1] = -1
    x[first, every, 1] = x[second, every, 1] = 1
    numbers = [np.where(place == 0, 0, x[place, every, 0]) for place in (first, second)]
    x[np.arange(T)[:, None] >= lengths] = 0
    return x, (0.5 + (numbers[0] + numbers[1]) / 4)[:, None].astype(np.float32), lengths
