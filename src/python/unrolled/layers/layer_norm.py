"""Layer normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np

from unrolled import checks, ops
from unrolled.module import Module
from unrolled.tensor import Tensor


class LayerNorm(Module):
    """y = (x - mean) / sqrt(var + eps) * gain + bias over the last axis (Ba, Kiros and Hinton, 2016).

    Args:
        size: F, size of the last axis.
        eps: keeps the division away from 0.
        bias: whether there is a bias.
        dtype: float32 or float64.

    Attributes:
        gain: (F,), starts at 1.
        bias: (F,) or None, starts at 0.

    Shapes: x and y (..., F).
    """

    def __init__(self, size: int, *, eps: float = 1e-5, bias: bool = True, dtype: Any = np.float32) -> None:
        self.size = checks.size("LayerNorm", "size", size)
        self.eps = checks.positive("LayerNorm", "eps", eps)
        checks.flag("LayerNorm", "bias", bias)
        self.dtype = checks.float_dtype("LayerNorm", dtype)
        self.gain = Tensor(np.ones(self.size, self.dtype), requires_grad=True)
        self.bias = Tensor(np.zeros(self.size, self.dtype), requires_grad=True) if bias else None

    def forward(self, x: Any) -> Tensor:
        """x (..., F) -> y (..., F)."""
        x = checks.features("LayerNorm", x, self.dtype, "size", self.size)
        return ops.layer_norm(x, self.gain, self.bias, eps=self.eps)
