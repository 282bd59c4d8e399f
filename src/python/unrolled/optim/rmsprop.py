"""Updates divided by a running or a total root mean square: RMSprop, Adagrad."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from unrolled import checks
from unrolled.module import Module
from unrolled.optim.base import Optimizer
from unrolled.tensor import Tensor


class RMSprop(Optimizer):
    """Gradients divided by a running root mean square (Tieleman and Hinton 2012), in the form of PyTorch.

    n <- alpha n + (1 - alpha) g^2; d = g / (sqrt(n) + eps). Centred: m <- alpha m + (1 - alpha) g and
    d = g / (sqrt(n - m^2) + eps). With momentum: v <- momentum v + d, p <- p - lr v; without: p <- p - lr d.

    `RMSprop.graves` gives the form and the constants of Graves 2013 (arXiv:1308.0850, equations 38-41):
    v <- momentum v - lr g / sqrt(n - m^2 + eps), p <- p + v.
    """

    slots = ("square", "mean", "velocity")
    fractions = ("alpha",)
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
        super().__init__(
            parameters, lr=lr, weight_decay=weight_decay, alpha=alpha, eps=eps, momentum=momentum
        )
        self.centered = checks.flag(type(self).__name__, "centered", centered)
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
        """The centred form of Graves 2013: eps under the root, the rate inside the velocity."""
        self = cls(parameters, lr, alpha=alpha, momentum=momentum, eps=eps, centered=True)
        self.eps_inside = True
        return self

    def _used_slots(self) -> tuple[str, ...]:
        return ("square", *["mean"] * self.centered, *["velocity"] * bool(self.momentum))

    def _rule(self, t: int) -> tuple[str, dict[str, float]]:
        return "rmsprop", {
            "rate": self.lr,
            "alpha": self.alpha,
            "eps": self.eps,
            "momentum": self.momentum,
            "centred": self.centered,
            "eps_inside": self.eps_inside,
        }


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

    def _rule(self, t: int) -> tuple[str, dict[str, float]]:
        return "adagrad", {"rate": self.lr / (1 + (t - 1) * self.lr_decay), "eps": self.eps}
