"""Linear: a matrix product and a bias."""

from __future__ import annotations

from typing import Any

import numpy as np

from unrolled import checks, ops
from unrolled._native import core
from unrolled.module import Module
from unrolled.tensor import Tensor, is_grad_enabled, tape_record


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

    Without a tape, W is kept packed from a call of few rows to the next, until a parameter changes.
    """

    _packed: Any = None  # W and b for calls without a tape, and the function for one

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
        self.bias = checks.flag("Linear", "bias", bias)
        self.dtype = checks.float_dtype("Linear", dtype)
        bound = np.sqrt(6 / (self.input_size + self.output_size))
        values = checks.generator("Linear", rng).uniform(-bound, bound, (self.output_size, self.input_size))
        self.W = Tensor(values.astype(self.dtype), requires_grad=True)
        self.b = Tensor(np.zeros(self.output_size, self.dtype), requires_grad=True) if bias else None

    def forward(self, x: Any) -> Tensor:
        if not is_grad_enabled() and (y := self._product(x)) is not None:
            return y
        return ops.linear(
            checks.features("Linear", x, self.dtype, "input_size", self.input_size), self.W, self.b
        )

    def _product(self, x: Any) -> Tensor | None:
        """y without a tape, the quick way; None where x or the parameters need the long way."""
        packed = self._packed  # once: another thread may exchange it
        y: Tensor | None = None if packed is None else packed[1](x)
        if y is None and (packed is None or not packed[0].unchanged()):
            made = core.PackedLinear(self.W, self.b, self, tape_record)
            vars(self)["_packed"] = made, made.product
            y = made.product(x)
        return y

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        vars(self)["_packed"] = None  # perhaps another Tensor in the place of a parameter

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_packed": None}
