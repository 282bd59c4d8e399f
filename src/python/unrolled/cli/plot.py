"""The learning curve as a picture, with matplotlib (of the extra `train`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from unrolled.cli.errors import CommandError

__all__ = ["check_plot", "plot"]

_FORMATS = (".png", ".pdf", ".svg")


def check_plot(path: str) -> None:
    """Says before training what would keep the plot from being drawn after it."""
    if find_spec("matplotlib") is None:
        raise CommandError('--plot needs matplotlib: python -m pip install "unrolled[train]"')
    if Path(path).suffix.lower() not in _FORMATS:
        raise CommandError(f"--plot {path}: the name should end in {', '.join(_FORMATS)}")


def plot(path: str, history: Sequence[Mapping[str, float]], ngram_bits: float, unit: str) -> None:
    """Bits per character or word after every epoch, and the n-gram's as a line."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    epochs = range(1, len(history) + 1)
    for name in ("train", "validation"):
        axes.plot(epochs, [entry[name] for entry in history], marker="o", markersize=3, label=name)
    if math.isfinite(ngram_bits):
        axes.axhline(ngram_bits, color="gray", linestyle="--", label="n-gram, validation")
    axes.set_xlabel("epoch")
    axes.set_ylabel(f"bits per {unit}")
    axes.legend()
    figure.savefig(path)
