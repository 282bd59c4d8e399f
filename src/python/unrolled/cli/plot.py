"""The learning curve as a picture, with matplotlib (of the extra `train`)."""

from __future__ import annotations

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


def plot(path: str, curves: Mapping[str, Sequence[float]], ngram_bits: float | None, unit: str) -> None:
    """Bits per character or word after every epoch, and the n-gram's as a line."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, values in curves.items():
        axes.plot(range(1, len(values) + 1), values, marker="o", markersize=3, label=name)
    if ngram_bits is not None:
        axes.axhline(ngram_bits, color="gray", linestyle="--", label="n-gram, validation")
    axes.set_xlabel("epoch")
    axes.set_ylabel(f"bits per {unit}")
    axes.legend()
    figure.savefig(path)
