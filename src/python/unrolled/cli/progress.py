"""What a training run shows while it is at work: a bar on a terminal, and Ctrl-C that waits for the end of an update."""

from __future__ import annotations

import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

__all__ = ["Interrupt", "Progress"]


class Progress:
    """A bar of one epoch on standard error, with the rate; a line per second without the tqdm library.

    Nothing is written if standard error is not a terminal.
    """

    def __init__(self, title: str, total: int, unit: str, *, done: int = 0) -> None:
        self._title, self._total, self._unit = title, total, unit
        self._done = self._first = done
        self._start = self._shown = time.perf_counter()
        self._bar = _bar(title, total, unit, done)

    def __call__(self, count: int) -> None:
        """`count` more are done."""
        self._done += count
        if self._bar is not None:
            self._bar.update(count)
        elif sys.stderr.isatty() and time.perf_counter() - self._shown >= 1.0:
            self._shown = time.perf_counter()
            share = 100 * self._done // self._total
            print(f"{self._title}  {share:3d} %  {self.rate:,.0f} {self._unit}/s", file=sys.stderr)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    @property
    def rate(self) -> float:
        """Done per second."""
        return (self._done - self._first) / max(time.perf_counter() - self._start, 1e-9)


def _bar(title: str, total: int, unit: str, done: int) -> Any:
    if not sys.stderr.isatty():
        return None
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm(desc=title, total=total, initial=done, unit=f" {unit}", unit_scale=True, leave=False, dynamic_ncols=True)


class Interrupt:
    """While entered, Ctrl-C sets `asked` instead of raising; a second Ctrl-C raises at once."""

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *error: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
