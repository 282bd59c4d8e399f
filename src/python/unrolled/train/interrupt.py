"""Ctrl-C that waits for the end of a step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Iterator
from types import FrameType, TracebackType
from typing import Any


class Interrupt(KeyboardInterrupt):
    """Raised between two steps, when the state of training is whole."""


class InterruptGuard:
    """While it is open, the first Ctrl-C is noted, and `check` raises Interrupt; the second acts at once, as
    usual.

    In a thread other than the main one, or where the program handles the signal itself, nothing is changed.
    """

    def __init__(self) -> None:
        self.requested = False
        self._installed = False

    def __enter__(self) -> InterruptGuard:
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ):
            signal.signal(signal.SIGINT, self._note)
            self._installed = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

    def check(self) -> None:
        """Raises Interrupt if there was a Ctrl-C."""
        if self.requested:
            raise Interrupt

    def watch(self, items: Iterable[Any]) -> Iterator[Any]:
        """The items, with a check before each."""
        for item in items:
            self.check()
            yield item
