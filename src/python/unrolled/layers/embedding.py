"""Embedding: a vector for every symbol."""

from __future__ import annotations

from typing import Any

import numpy as np

from unrolled import checks, ops
from unrolled.module import Module
from unrolled.tensor import Tensor


class Embedding(Module):
    """y[n] = W[ids[n]]: equal to the product of one-hot vectors with W, at the cost of a copy.

    The gradient costs what the symbols seen cost, not the vocabulary; `W.row_grad` gives it as rows.

    Args:
        num_embeddings: V, size of the vocabulary.
        embedding_size: D.
        dtype: float32 or float64.
        rng: source of the initial W, normal with deviation 1 / sqrt(D): vectors of length about 1, which
            suits a W that is tied to an output layer too.

    Attributes:
        W: (V, D).

    Shapes: ids integers (...), y (..., D).
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_size: int,
        *,
        dtype: Any = np.float32,
        rng: np.random.Generator | None = None,
    ) -> None:
        self.num_embeddings = checks.size("Embedding", "num_embeddings", num_embeddings)
        self.embedding_size = checks.size("Embedding", "embedding_size", embedding_size)
        self.dtype = checks.float_dtype("Embedding", dtype)
        shape = (self.num_embeddings, self.embedding_size)
        values = checks.generator("Embedding", rng).standard_normal(shape) / np.sqrt(self.embedding_size)
        self.W = Tensor(values.astype(self.dtype), requires_grad=True)

    def forward(self, ids: Any) -> Tensor:
        """ids integers (...), 0 to V - 1 -> y (..., D)."""
        return ops.embedding(self.W, ids)
