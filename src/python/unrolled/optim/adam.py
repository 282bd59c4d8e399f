"""Adam and AdamW."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from unrolled.module import Module
from unrolled.optim.base import Optimizer, Update, below_one
from unrolled.tensor import Tensor


class Adam(Optimizer):
    """Kingma and Ba 2015 (arXiv:1412.6980): running mean and square of the gradient, both corrected for their
    start at zero.

    m <- beta1 m + (1 - beta1) g; v <- beta2 v + (1 - beta2) g^2;
    p <- p - lr / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + eps)
    """

    slots = ("mean", "square")
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
        weight_decay: float = 0.0,
    ) -> None:
        beta1, beta2 = betas
        below_one(self, beta1=beta1, beta2=beta2)
        super().__init__(parameters, lr=lr, weight_decay=weight_decay, beta1=beta1, beta2=beta2, eps=eps)

    def _update(self, t: int) -> Update:
        beta1, beta2, eps = self.beta1, self.beta2, self.eps
        rate = self.lr / (1 - beta1**t)
        root = math.sqrt(1 - beta2**t)

        def update(
            p: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray, a: np.ndarray, b: np.ndarray
        ) -> None:
            m *= beta1
            m += np.multiply(g, 1 - beta1, out=a)
            v *= beta2
            v += np.multiply(np.multiply(g, g, out=a), 1 - beta2, out=a)
            np.sqrt(v, out=a)
            a /= root
            a += eps
            np.divide(m, a, out=a)
            p -= np.multiply(a, rate, out=a)

        return update


class AdamW(Adam):
    """Loshchilov and Hutter 2019 (arXiv:1711.05101): Adam with p <- (1 - lr weight_decay) p before its
    update.
    """

    decay_in_gradient = False

    def __init__(
        self,
        parameters: Module | Mapping[str, Tensor],
        lr: float = 0.001,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(parameters, lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def _update(self, t: int) -> Update:
        keep = 1 - self.lr * self.weight_decay
        adam = super()._update(t)

        def update(p: np.ndarray, *rest: np.ndarray) -> None:
            p *= keep
            adam(p, *rest)

        return update
