"""What shows on a terminal while a recipe is at work."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

from unrolled.train import Progress


class Monitor(Progress):
    """A bar per seed, or a plain line per second without tqdm; nothing where standard error is no terminal."""

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__(stream)
        self.shown = (sys.stderr if stream is None else stream).isatty()
        self._started, self._steps, self._since = 0.0, 0, 0

    def begin(self, title: str, updates: int) -> None:
        """`title` is about to make so many updates at most."""
        if self.shown:
            self.start_epoch(1, 1, updates, 0)
            self._title = title
            if self._bar is not None:
                self._bar.set_description(title, refresh=False)
        self._started, self._steps = time.monotonic(), 0

    def update(self, number: int, loss: float, norm: float, positions: int) -> None:
        """After update `number`, which read so many steps x rows."""
        self._steps += positions
        if self.shown:
            self.step(number, loss, norm, self._steps / max(time.monotonic() - self._started, 1e-9))

    def end_epoch(self, row: Mapping[str, Any]) -> None:
        self.close()
