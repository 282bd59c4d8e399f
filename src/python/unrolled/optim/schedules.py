"""Learning-rate schedules. Each sets `optimizer.lr` from the rate the optimizer had when the schedule was
made.

`schedule.step()` once per update or once per epoch, as `unit` says; `fit` does it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from unrolled import checks
from unrolled.optim.base import Optimizer


class Schedule:
    """A rate that depends on the number of calls of `step` so far."""

    def __init__(self, optimizer: Optimizer, *, unit: str) -> None:
        who = type(self).__name__
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{who}: optimizer is {type(optimizer).__name__}, expected an Optimizer")
        self.optimizer = optimizer
        self.unit = checks.one_of(who, "unit", unit, ("step", "epoch"))
        self.initial_lr = optimizer.lr
        self.count = 0

    def rate(self, count: int) -> float:
        """The rate after `count` steps."""
        raise NotImplementedError

    def step(self, metric: float | None = None) -> None:
        """Moves on by one and sets the rate."""
        self.count += 1
        self.optimizer.lr = self.rate(self.count)

    def state_dict(self) -> dict[str, Any]:
        """The count and the constants, all numbers and strings."""
        return {name: value for name, value in vars(self).items() if isinstance(value, (int, float, str))}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` gave. The rate itself belongs to the optimizer, which saves it."""
        who, present = type(self).__name__, self.state_dict()
        if not isinstance(state, Mapping):
            raise TypeError(f"{who}: state is {checks.kind_of(state)}, expected what state_dict gave")
        if set(state) != set(present):
            raise ValueError(
                f"{who}: the saved state has {sorted(map(str, state))}, expected {sorted(present)}"
            )
        for name, value in state.items():
            wanted = str if isinstance(present[name], str) else (int, float)
            if not isinstance(value, wanted):
                raise TypeError(f"{who}: {name} of the saved state is {checks.kind_of(value)}")
        vars(self).update(state)


class StepLR(Schedule):
    """lr = initial * gamma^floor(count / step_size)."""

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, *, unit: str = "epoch"
    ) -> None:
        super().__init__(optimizer, unit=unit)
        self.step_size = checks.size("StepLR", "step_size", step_size)
        self.gamma = checks.amount("StepLR", "gamma", gamma)

    def rate(self, count: int) -> float:
        return float(self.initial_lr * self.gamma ** (count // self.step_size))


class CosineLR(Schedule):
    """lr = minimum + (initial - minimum) (1 + cos(pi count / total)) / 2, and the minimum afterwards
    (arXiv:1608.03983).
    """

    def __init__(self, optimizer: Optimizer, total: int, minimum: float = 0.0, *, unit: str = "step") -> None:
        super().__init__(optimizer, unit=unit)
        self.total = checks.size("CosineLR", "total", total)
        self.minimum = checks.amount("CosineLR", "minimum", minimum)

    def rate(self, count: int) -> float:
        part = min(count, self.total) / self.total
        return self.minimum + (self.initial_lr - self.minimum) * (1 + math.cos(math.pi * part)) / 2


class WarmupLR(Schedule):
    """lr = initial * (count + 1) / (steps + 1) for the first `steps` updates, then the initial rate or what
    `after` says.

    The rate is lowered at once, so that the first update is small too. `after` is a schedule of the same
    optimizer and unit, made before this one; its count starts when the warm-up ends.
    """

    def __init__(
        self, optimizer: Optimizer, steps: int, *, after: Schedule | None = None, unit: str = "step"
    ) -> None:
        super().__init__(optimizer, unit=unit)
        self.steps = checks.size("WarmupLR", "steps", steps)
        if after is not None and (after.optimizer is not optimizer or after.unit != unit):
            raise ValueError("WarmupLR: `after` must be a schedule of the same optimizer with the same unit")
        if isinstance(after, ReduceLROnPlateau):
            raise ValueError("WarmupLR: `after` cannot be ReduceLROnPlateau; give both to fit as a list")
        self.after = after
        optimizer.lr = self.rate(0)

    def rate(self, count: int) -> float:
        if count < self.steps:
            return self.initial_lr * (count + 1) / (self.steps + 1)
        return self.initial_lr if self.after is None else self.after.rate(count - self.steps)

    def step(self, metric: float | None = None) -> None:
        if self.count < self.steps or self.after is not None:
            super().step()
        else:  # the rate is free for others, for example ReduceLROnPlateau
            self.count += 1


class ReduceLROnPlateau(Schedule):
    """lr <- max(lr * factor, minimum) when the metric has not fallen by more than `threshold` (relative) for
    `patience` + 1 epochs in a row, as in PyTorch; `fit(patience=)` stops after `patience` of them.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        minimum: float = 0.0,
    ) -> None:
        super().__init__(optimizer, unit="epoch")
        if not 0 < factor < 1:
            raise ValueError(f"ReduceLROnPlateau: factor is {factor!r}, expected a number between 0 and 1")
        self.factor = factor
        self.patience = int(checks.amount("ReduceLROnPlateau", "patience", patience))
        self.threshold = checks.amount("ReduceLROnPlateau", "threshold", threshold)
        self.minimum = checks.amount("ReduceLROnPlateau", "minimum", minimum)
        self.best = math.inf
        self.bad = 0

    def step(self, metric: float | None = None) -> None:
        if metric is None:
            raise ValueError("ReduceLROnPlateau: step needs the metric, for example the validation loss")
        self.count += 1
        if (
            metric < self.best - abs(self.best) * self.threshold
            if math.isfinite(self.best)
            else metric < self.best
        ):
            self.best, self.bad = float(metric), 0
            return
        self.bad += 1
        if self.bad > self.patience:
            self.optimizer.lr = max(self.optimizer.lr * self.factor, self.minimum)
            self.bad = 0
