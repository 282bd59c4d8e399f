"""Adam and AdamW."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from unrolled.module import Module
from unrolled.optim.base import Optimizer
from unrolled.tensor import Tensor


class Adam(Optimizer):
    """Kingma and Ba 2015 (arXiv:1412.6980): running mean and square of the gradient, both corrected for their
    start at zero.

    m <- beta1 m + (1 - beta1) g; v <- beta2 v + (1 - beta2) g^2;
    p <- p - lr / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + eps)
    """

    slots = ("mean", "square")
    fractions = ("beta1", "beta2")
    usual_decay: ClassVar[float] = 0.0  # where weight_decay is None
    beta1: float
    beta2: float
    eps: float

    def __init__(
        self,
        parameters: Module | Mapping[str, Tensor],
        lr: float = 0.001,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float | None = None,
    ) -> None:
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise TypeError(f"{type(self).__name__}: betas is {betas!r}, expected two numbers (beta1, beta2)")
        decay = self.usual_decay if weight_decay is None else weight_decay
        super().__init__(parameters, lr=lr, weight_decay=decay, beta1=betas[0], beta2=betas[1], eps=eps)

    def _rule(self, t: int) -> tuple[str, dict[str, float]]:
        return "adam", {
            "rate": self.lr / (1 - self.beta1**t),
            "keep": 1.0,
            "beta1": self.beta1,
            "beta2": self.beta2,
            "root": math.sqrt(1 - self.beta2**t),
            "eps": self.eps,
        }


class AdamW(Adam):
    """Loshchilov and Hutter 2019 (arXiv:1711.05101): Adam with p <- (1 - lr weight_decay) p before its
    update; weight_decay is 0.01 unless given.
    """

    decay_in_gradient = False
    usual_decay = 0.01

    def _rule(self, t: int) -> tuple[str, dict[str, float]]:
        rule, coefficients = super()._rule(t)
        return rule, {**coefficients, "keep": 1 - self.lr * self.weight_decay}
