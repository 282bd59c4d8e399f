"""Less memory in training: which layers keep a part of their steps only and run each again in backward."""

from __future__ import annotations

import math

import numpy as np

from unrolled import checks
from unrolled.module import Module

# Steps x rows below which a segment's own cost, of a few products that wake all threads, would show.
_LEAST_PLACES = 512


class Recomputed(Module):
    """A cell whose training calls may keep a part of their steps at a time."""

    _recompute: bool | int = False

    @property
    def recompute(self) -> bool | int:
        """Whether training keeps only about sqrt(T) of T steps at a time, but at least 512 steps x rows, or how many
        steps it keeps."""
        return self._recompute

    @recompute.setter
    def recompute(self, value: bool | int) -> None:
        if isinstance(value, (bool, np.bool_)):
            self._recompute = bool(value)
        else:
            self._recompute = checks.size(type(self).__name__, "recompute", value)

    def _segment_steps(self, steps: int, batch: int) -> int:
        """Steps that a training call keeps at a time; 0: all."""
        if self.recompute is not True:
            return int(self.recompute)
        least = -(-_LEAST_PLACES // max(batch, 1))
        return max(math.isqrt(max(steps - 1, 0)) + 1, least)


def settings_of(model: Module) -> dict[str, bool | int]:
    """Dotted name of each cell that recomputes -> what it is set to."""
    return {n: m.recompute for n, m in model.modules().items() if isinstance(m, Recomputed) and m.recompute}


def set_all(model: Module, settings: dict[str, bool | int]) -> None:
    """Sets all cells of a model as `settings_of` found them."""
    for name, module in model.modules().items():
        if isinstance(module, Recomputed):
            module.recompute = settings.get(name, False)
