"""What `unrolled lm train` shows while it works, on a terminal and off it."""

from __future__ import annotations

import io
import math
import sys
import time

import pytest

from unrolled.cli.progress import Report

ROW = {"loss": 2 * math.log(2.0), "validation_loss": math.log(2.0), "positions": 3000, "seconds": 1.5}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> str:
    """Standard error of an epoch of three batches."""
    monkeypatch.setattr(sys, "stderr", stream)
    report = Report("word", " (n-gram 1.5)")
    ticks = iter(range(0, 1000, 10))
    monkeypatch.setattr("time.monotonic", lambda: next(ticks))
    report.start_epoch(2, 12, 3, 0)
    for done in (1, 2, 3):
        time.sleep(0.11)  # tqdm draws ten times a second
        report.step(done, math.log(2.0), 0.5, 1234.5)
    report.end_epoch(ROW)
    return stream.getvalue()


def test_a_line_for_each_epoch_goes_to_standard_output(monkeypatch, capsys):
    assert shown(io.StringIO(), monkeypatch) == ""
    assert capsys.readouterr().out == (
        "epoch  2/12  train 2.000, validation 1.000 bits per word (perplexity 2.0) (n-gram 1.5); 2,000 words/s\n"
    )


def test_a_terminal_has_a_bar(monkeypatch):
    pytest.importorskip("tqdm")
    text = shown(Terminal(), monkeypatch)
    assert "epoch  2/12   0% |" in text
    assert "epoch  2/12 100% |" in text
    assert "left, 1,234 words/s, 1.000 bits" in text


def test_a_terminal_without_tqdm_has_a_line_per_second(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    text = shown(Terminal(), monkeypatch)
    assert text.splitlines() == [f"epoch  2/12: batch {n}/3, 1,234 words/s, 1.000 bits" for n in (1, 2, 3)]
