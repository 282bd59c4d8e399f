"""What a training run shows: a bar with the rate while an epoch is at work, and a line for each that is
done.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from unrolled.train import Progress

__all__ = ["Report", "score"]


def score(nats: float, unit: str) -> str:
    """Bits per character, or bits per word and the perplexity."""
    bits = f"{nats / math.log(2.0):.3f} bits per {unit}"
    return bits if unit == "character" else f"{bits} (perplexity {math.exp(nats):.1f})"


class Report(Progress):
    """The bar goes to standard error if that is a terminal (a line per second without tqdm), the lines to
    standard output.

    `beside` is what is printed next to every validation score.
    """

    def __init__(self, unit: str, beside: str) -> None:
        super().__init__()
        self.unit, self.beside = unit, beside
        self._title, self._epoch_bar, self._line_at = "", None, 0.0

    def start_epoch(self, epoch: int, epochs: int, batches: int | None, done: int) -> None:
        self._title = f"epoch {epoch:>{len(str(epochs))}}/{epochs}"
        self._line_at = time.monotonic() + 1.0
        self._epoch_bar = _bar(self._title, batches, done)

    def step(self, done: int, loss: float, grad_norm: float, rate: float) -> None:
        text = f"{rate:,.0f} {self.unit}s/s, {loss / math.log(2.0):.3f} bits"
        if self._epoch_bar is not None:
            self._epoch_bar.set_postfix_str(text, refresh=False)
            self._epoch_bar.update(done - self._epoch_bar.n)
        elif sys.stderr.isatty() and time.monotonic() >= self._line_at:
            self._line_at = time.monotonic() + 1.0
            print(f"{self._title}: batch {done}, {text}", file=sys.stderr, flush=True)

    def end_epoch(self, row: Mapping[str, Any]) -> None:
        self.close()
        rate = row["positions"] / max(row["seconds"], 1e-9)
        print(
            f"{self._title}  train {row['loss'] / math.log(2.0):.3f}, validation "
            f"{score(row['validation_loss'], self.unit)}{self.beside}; {rate:,.0f} {self.unit}s/s",
            flush=True,
        )

    def close(self) -> None:
        if self._epoch_bar is not None:
            self._epoch_bar.close()
            self._epoch_bar = None


def _bar(title: str, total: int | None, done: int) -> Any:
    if not sys.stderr.isatty():
        return None
    try:
        tqdm = import_module("tqdm").tqdm
    except ImportError:
        return None
    form = "{desc} {percentage:3.0f}% |{bar}| {remaining} left{postfix}"
    return tqdm(desc=title, total=total, initial=done, leave=False, dynamic_ncols=True, bar_format=form)
