"""Less memory in training: which layers keep a part of their steps only and run each again in backward."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from unrolled import checks
from unrolled.module import Module

# Steps x rows below which a segment's own cost, of a few products that wake all threads, would show.
_LEAST_PLACES = 512


class Recomputed(Module):
    """A cell whose training calls may keep a part of their steps at a time."""

    _settings: ClassVar[tuple[str, ...]] = ("recompute",)
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
