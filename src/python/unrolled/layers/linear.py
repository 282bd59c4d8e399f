"""Linear: a matrix product and a bias."""

from __future__ import annotations

from typing import Any

import numpy as np

from unrolled import checks, ops
from unrolled.module import Module
from unrolled.tensor import Tensor


class Linear(Module):
    """y = x W' + b over every leading axis of x.

    Args:
        input_size: I.
        output_size: O.
        bias: whether there is a b.
        dtype: float32 or float64.
        rng: source of the initial W, uniform in +-sqrt(6 / (I + O)) (Glorot and Bengio, 2010); b starts at 0.

    Attributes:
        W: (O, I).
        b: (O,) or None.

    Shapes: x (..., I), y (..., O).
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        bias: bool = True,
        dtype: Any = np.float32,
        rng: np.random.Generator | None = None,
    ) -> None:
        self.input_size = checks.size("Linear", "input_size", input_size)
        self.output_size = checks.size("Linear", "output_size", output_size)
        checks.flag("Linear", "bias", bias)
        self.dtype = checks.float_dtype("Linear", dtype)
        bound = np.sqrt(6 / (self.input_size + self.output_size))
        values = checks.generator("Linear", rng).uniform(-bound, bound, (self.output_size, self.input_size))
        self.W = Tensor(values.astype(self.dtype), requires_grad=True)
        self.b = Tensor(np.zeros(self.output_size, self.dtype), requires_grad=True) if bias else None

    def forward(self, x: Any) -> Tensor:
        return ops.linear(
            checks.features("Linear", x, self.dtype, "input_size", self.input_size), self.W, self.b
        )
