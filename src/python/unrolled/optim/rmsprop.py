"""Updates divided by a running or a total root mean square: RMSprop, Adagrad."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from unrolled.module import Module
from unrolled.optim.base import Optimizer, Update, below_one
from unrolled.tensor import Tensor


class RMSprop(Optimizer):
    """Gradients divided by a running root mean square (Tieleman and Hinton 2012), in the form of PyTorch.

    n <- alpha n + (1 - alpha) g^2; d = g / (sqrt(n) + eps). Centred: m <- alpha m + (1 - alpha) g and
    d = g / (sqrt(n - m^2) + eps). With momentum: v <- momentum v + d, p <- p - lr v; without: p <- p - lr d.

    `RMSprop.graves` gives the form and the constants of Graves 2013 (arXiv:1308.0850, equations 38-41):
    v <- momentum v - lr g / sqrt(n - m^2 + eps), p <- p + v.
    """

    slots = ("square", "mean", "velocity")
    alpha: float
    eps: float
    momentum: float

    def __init__(
        self,
        parameters: Module | Mapping[str, Tensor],
        lr: float = 0.01,
        *,
        alpha: float = 0.99,
        eps: float = 1e-8,
        momentum: float = 0.0,
        centered: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        below_one(self, alpha=alpha)
        super().__init__(
            parameters, lr=lr, weight_decay=weight_decay, alpha=alpha, eps=eps, momentum=momentum
        )
        self.centered = centered
        self.eps_inside = False
        self._hyper = (*self._hyper, "centered", "eps_inside")

    @classmethod
    def graves(
        cls,
        parameters: Module | Mapping[str, Tensor],
        lr: float = 1e-4,
        *,
        alpha: float = 0.95,
        momentum: float = 0.9,
        eps: float = 1e-4,
    ) -> RMSprop:
        """The centred form with eps under the root and the rate inside the velocity, as Graves 2013 writes
        it.
        """
        self = cls(parameters, lr, alpha=alpha, momentum=momentum, eps=eps, centered=True)
        self.eps_inside = True
        return self

    def _used_slots(self) -> tuple[str, ...]:
        return ("square", *["mean"] * self.centered, *["velocity"] * bool(self.momentum))

    def _update(self, t: int) -> Update:
        lr, alpha, eps, momentum = self.lr, self.alpha, self.eps, self.momentum

        def update(p: np.ndarray, g: np.ndarray, n: np.ndarray, *rest: np.ndarray) -> None:
            *slots, a, b = rest
            n *= alpha
            n += np.multiply(np.multiply(g, g, out=a), 1 - alpha, out=a)
            variance = n
            if self.centered:
                m = slots[0]
                m *= alpha
                m += np.multiply(g, 1 - alpha, out=a)
                variance = np.subtract(n, np.multiply(m, m, out=a), out=a)
                np.maximum(variance, 0, out=a)  # rounding can leave it just below zero
            if self.eps_inside:
                np.sqrt(np.add(variance, eps, out=b), out=b)
            else:
                np.add(np.sqrt(variance, out=b), eps, out=b)
            direction = np.divide(g, b, out=b)
            if self.eps_inside:
                direction *= lr
            if momentum:
                v = slots[-1]
                v *= momentum
                v += direction
                direction = v
            p -= direction if self.eps_inside else np.multiply(direction, lr, out=a)

        return update


class Adagrad(Optimizer):
    """Duchi, Hazan and Singer 2011.

    n <- n + g^2; p <- p - lr / (1 + (t - 1) lr_decay) * g / (sqrt(n) + eps)
    """

    slots = ("square",)
    eps: float
    lr_decay: float
    initial: float

    def __init__(
        self,
        parameters: Module | Mapping[str, Tensor],
        lr: float = 0.01,
        *,
        eps: float = 1e-10,
        lr_decay: float = 0.0,
        initial: float = 0.0,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(
            parameters, lr=lr, weight_decay=weight_decay, eps=eps, lr_decay=lr_decay, initial=initial
        )

    def _first_value(self, tensor: Tensor) -> np.ndarray:
        return np.full_like(tensor._data, self.initial)

    def _zero_rows_stay(self) -> bool:
        return not self.weight_decay

    def _update(self, t: int) -> Update:
        rate, eps = self.lr / (1 + (t - 1) * self.lr_decay), self.eps

        def update(p: np.ndarray, g: np.ndarray, n: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
            n += np.multiply(g, g, out=a)
            np.add(np.sqrt(n, out=a), eps, out=a)
            np.divide(g, a, out=a)
            p -= np.multiply(a, rate, out=a)

        return update
