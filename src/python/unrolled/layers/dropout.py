"""Dropout with a mask that can be drawn again."""

from __future__ import annotations

from typing import Any

import numpy as np

from unrolled import checks, ops
from unrolled.module import Module
from unrolled.ops.native import check_probability
from unrolled.tensor import Tensor, as_tensor


class Dropout(Module):
    """In training, each element is 0 with probability p and divided by 1 - p otherwise; in evaluation, y = x.

    Element i of call `counter` is kept or not as a function of (seed, counter, i) alone: the mask is the same
    at any number of threads, and a model from a file, or a run that is resumed, goes on with the masks it would have
    drawn.

    Args:
        p: probability of 0.
        rng: source of the seed.
    """

    def __init__(self, p: float = 0.5, *, rng: np.random.Generator | None = None) -> None:
        check_probability("Dropout", p)
        self.p = float(p)
        self.seed = int(checks.generator("Dropout", rng).integers(2**63))
        self.counter = 0

    def forward(self, x: Any) -> Tensor:
        """x (...) -> y of the same shape."""
        if not self.training or self.p == 0:
            return as_tensor(x, "Dropout", "x")
        counter, self.counter = self.counter, self.counter + 1
        return ops.dropout(x, self.p, seed=self.seed, counter=counter)
