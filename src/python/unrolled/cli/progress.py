"""What a training run shows: a bar with the rate while an epoch is at work, and a line for each that is
done.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any, ClassVar

from unrolled.train import Progress

__all__ = ["Report", "plural", "score"]


def score(nats: float, unit: str) -> str:
    """Bits per character, or bits per word and the perplexity."""
    bits = f"{nats / math.log(2.0):.3f} bits per {unit}"
    return bits if unit == "character" else f"{bits} (perplexity {math.exp(nats):.1f})"


def plural(count: int, noun: str) -> str:
    """A number of things."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


class Report(Progress):
    """The bar goes to standard error if that is a terminal (a line per second without tqdm), the lines to
    standard output.

    `beside` is what is printed next to every validation score.
    """

    bar_options: ClassVar[dict[str, Any]] = {
        "bar_format": "{desc} {percentage:3.0f}% |{bar}| {remaining} left{postfix}",
        "dynamic_ncols": True,
    }

    def __init__(self, unit: str, beside: str) -> None:
        self._watched = sys.stderr.isatty()
        super().__init__(bar=None if self._watched else False)
        self.unit, self.beside = unit, beside

    def step(self, done: int, loss: float, grad_norm: float, rate: float) -> None:
        if self._watched:
            super().step(done, loss, grad_norm, rate)

    def describe_step(self, loss: float, grad_norm: float, rate: float) -> str:
        return f"{rate:,.0f} {self.unit}s/s, {loss / math.log(2.0):.3f} bits"

    def end_epoch(self, row: Mapping[str, Any]) -> None:
        self.close()
        print(f"{self._title}  {self.describe(row)}", flush=True)

    def keeps_earlier(self, path: str, kept: str) -> None:
        print(f"kept        the earlier {path} as {kept}", flush=True)

    def describe(self, row: Mapping[str, Any]) -> str:
        rate = row["positions"] / max(row["seconds"], 1e-9)
        validation = score(row["validation_loss"], self.unit)
        return (
            f"train {row['loss'] / math.log(2.0):.3f}, validation {validation}{self.beside}; "
            f"{rate:,.0f} {self.unit}s/s"
        )
