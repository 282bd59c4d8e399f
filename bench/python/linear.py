"""A linear layer in inference, as it follows every step of a model that streams, and on batches."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .rows import Bench, Goal, Plan, Row
from .workloads import Call, Product

SIZES = [
    (1, 64, 64),
    (1, 256, 100),
    (1, 256, 1000),
    (1, 200, 10_000),
    (16, 256, 1000),
    (64, 256, 1000),
    (700, 200, 10_000),
]
QUICK_SIZES = SIZES[:3]


def linear(bench: Bench) -> Iterator[Row]:
    """Rows of x, its features, and outputs."""
    for rows, inputs, outputs in QUICK_SIZES if bench.quick else SIZES:
        rng = np.random.default_rng(0)
        x, W, b = (
            rng.standard_normal(shape, np.float32) for shape in ((rows, inputs), (outputs, inputs), outputs)
        )
        product = Product(x, W / np.float32(np.sqrt(inputs)), b)

        def make(product: Product = product) -> dict[str, Call]:
            return {side.name: side.linear(product) for side in bench.sides}

        name = f"Linear B={rows} I={inputs} O={outputs}"
        yield from bench.row(Plan("linear", name, [Goal(bench.against, 1.0)], make))
