"""Stochastic gradient descent, plain or with momentum."""

from __future__ import annotations

from collections.abc import Mapping

from unrolled import checks
from unrolled.module import Module
from unrolled.optim.base import Optimizer
from unrolled.tensor import Tensor


class SGD(Optimizer):
    """Stochastic gradient descent.

    p <- p - lr g; with momentum m: v <- m v + g, p <- p - lr v; Nesterov: p <- p - lr (g + m v) with the new
    v (Sutskever et al. 2013, in the form of PyTorch).
    """

    slots = ("velocity",)
    momentum: float

    def __init__(
        self,
        parameters: Module | Mapping[str, Tensor],
        lr: float = 0.01,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        nesterov = checks.flag(type(self).__name__, "nesterov", nesterov)
        if nesterov and momentum == 0:
            raise ValueError("SGD: nesterov=True needs a positive momentum")
        super().__init__(parameters, lr=lr, weight_decay=weight_decay, momentum=momentum)
        self.nesterov = nesterov
        self._hyper = (*self._hyper, "nesterov")

    def _used_slots(self) -> tuple[str, ...]:
        return self.slots if self.momentum else ()

    def _zero_rows_stay(self) -> bool:
        return not self.momentum and not self.weight_decay

    def _rule(self, t: int) -> tuple[str, dict[str, float]]:
        if not self.momentum:
            return "sgd", {"rate": self.lr}
        return "momentum", {"rate": self.lr, "momentum": self.momentum, "nesterov": self.nesterov}
