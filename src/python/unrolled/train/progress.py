"""Progress: on a terminal a bar of tqdm where that is installed, otherwise a plain line per second."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar, TextIO

_SECONDS_BETWEEN_LINES = 1.0
_SECONDS_BETWEEN_UPDATES = 0.1


class Progress:
    """Reports to `stream` (standard error), with a bar unless it is no terminal (`bar=None`). Subclasses may override
    any method; `fit(progress=...)` takes an instance.

    What it says is in `describe_step` and `describe`; the options of the bar in `bar_options`.
    """

    bar_options: ClassVar[dict[str, Any]] = {"unit": "batch"}

    def __init__(self, stream: TextIO | None = None, *, bar: bool | None = None) -> None:
        self.stream = sys.stderr if stream is None else stream
        terminal = (
            self.stream is not None and self.stream.isatty()
        )  # programs without a console have no stderr
        wanted = terminal if bar is None else bar
        self._bar_class = _tqdm(required=bar is True) if wanted else None
        self._bar: Any = None
        self._shown = 0.0
        self._total: int | None = None
        self._title = ""

    def start_epoch(self, epoch: int, epochs: int, batches: int | None, done: int) -> None:
        """`epoch` counts from 1; `done` batches of it were done before a resume."""
        self._title = f"epoch {epoch:>{len(str(epochs))}}/{epochs}"
        self._total, self._shown = batches, time.monotonic()
        if self._bar_class is not None:
            options = {"total": batches, "initial": done, "desc": self._title, **self.bar_options}
            self._bar = self._bar_class(file=self.stream, leave=False, **options)

    def step(self, done: int, loss: float, grad_norm: float, rate: float) -> None:
        """After a batch: `done` batches of the epoch, mean loss so far, positions per second."""
        if self._bar is not None:
            self._bar.update(done - self._bar.n)
        now = time.monotonic()
        wait = _SECONDS_BETWEEN_LINES if self._bar is None else _SECONDS_BETWEEN_UPDATES
        if now - self._shown < wait:
            return
        self._shown = now
        text = self.describe_step(loss, grad_norm, rate)
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)
        else:
            of = "" if self._total is None else f"/{self._total}"
            print(f"{self._title}: batch {done}{of}, {text}", file=self.stream, flush=True)

    def describe_step(self, loss: float, grad_norm: float, rate: float) -> str:
        """What stands beside the bar, or in a line where there is none."""
        if self._bar is not None:
            return f"loss {loss:.4f}, {rate:,.0f}/s"
        return f"loss {loss:.4f}, gradient norm {grad_norm:.3g}, {rate:,.0f} positions/s"

    def end_epoch(self, row: Mapping[str, Any]) -> None:
        """After validation: one line per epoch that stays."""
        self.close()
        print(f"{self._title}: {self.describe(row)}", file=self.stream, flush=True)

    def keeps_earlier(self, path: str, kept: str) -> None:
        """The first checkpoint of this run has replaced a file that was at `path`, which is now called `kept`."""
        text = f"the earlier {path} is kept as {kept} (resume=True goes on with a run)"
        if self._bar is not None:
            self._bar.write(text, file=self.stream)
        else:
            print(text, file=self.stream, flush=True)

    def describe(self, row: Mapping[str, Any]) -> str:
        """What the line of an epoch says."""
        parts = [f"loss {row['loss']:.4f}"]
        if "validation_loss" in row:
            parts.append(f"validation {row['validation_loss']:.4f}")
        parts.append(f"gradient norm {row['grad_norm']:.3g} (largest {row['grad_norm_max']:.3g})")
        parts.append(f"{row['positions'] / max(row['seconds'], 1e-9):,.0f} positions/s")
        return ", ".join(parts)

    def close(self) -> None:
        """Takes the bar away, also when training ends early."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class Silent(Progress):
    """Reports nothing."""

    def __init__(self) -> None:
        pass

    def start_epoch(self, epoch: int, epochs: int, batches: int | None, done: int) -> None:
        pass

    def step(self, done: int, loss: float, grad_norm: float, rate: float) -> None:
        pass

    def end_epoch(self, row: Mapping[str, Any]) -> None:
        pass

    def keeps_earlier(self, path: str, kept: str) -> None:
        pass

    def close(self) -> None:
        pass


def _tqdm(required: bool) -> Any:
    try:
        return import_module("tqdm").tqdm
    except ImportError:
        if required:
            raise
        return None
