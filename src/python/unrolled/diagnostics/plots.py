"""Pictures of what diagnostics find. Every function gives a matplotlib Figure to save; nothing is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from unrolled.diagnostics.gates import saturation
from unrolled.diagnostics.jacobians import jacobian_bound, jacobian_norms
from unrolled.diagnostics.spectrum import spectrum
from unrolled.diagnostics.terms import term_norms
from unrolled.diagnostics.trace import Trace
from unrolled.diagnostics.vanishing import vanishing_gradient

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_gradient_norms(traces: Mapping[str, Trace], *, cell_states: bool = True) -> Figure:
    """||dL/dh[t]|| over time, solid, one line for each trace by its label; ||dL/dc[t]|| dashed where there is one."""
    _check("plot_gradient_norms", traces)
    figure, (axes,) = _figure("plot_gradient_norms", 1)
    for label, trace in traces.items():
        (line,) = axes.plot(_positive(trace.norms("h")), label=f"{label}, h")
        for name in trace.gradients():
            if name != "h" and cell_states:
                axes.plot(
                    _positive(trace.norms(name)), "--", color=line.get_color(), label=f"{label}, {name}"
                )
    return _over_steps(figure, axes, "norm of the gradient of the loss", log=True)


def plot_jacobian_norms(traces: Mapping[str, Trace], *, row: int = 0, bounds: bool = True) -> Figure:
    """||dh[T] / dh[t]|| over t, one line for each trace, and dotted the bound of an Elman network."""
    _check("plot_jacobian_norms", traces)
    figure, (axes,) = _figure("plot_jacobian_norms", 1)
    for label, trace in traces.items():
        norms = jacobian_norms(trace, row=row)
        (line,) = axes.plot(_positive(norms), label=label)
        if bounds and type(trace.cell).__name__ == "RNN":
            lags = np.abs(np.arange(trace.steps) - list(trace.order)[-1])
            bound = jacobian_bound(trace.cell, lags)  # type: ignore[arg-type]
            axes.plot(_positive(bound), ":", color=line.get_color(), label=f"{label}, bound")
    return _over_steps(figure, axes, "spectral norm of the Jacobian to the last step", log=True)


def plot_spectrum(cell: Any) -> Figure:
    """Eigenvalues of every block of W_hh beside the unit circle, and its singular values."""
    found = spectrum(cell)
    figure, (plane, values) = _figure("plot_spectrum", 2)
    angle = np.linspace(0, 2 * np.pi, 200)
    plane.plot(np.cos(angle), np.sin(angle), color="gray", linewidth=0.8)
    for name, part in found.items():
        plane.plot(
            part.eigenvalues.real,
            part.eigenvalues.imag,
            ".",
            label=f"{name}, radius {part.radius:.2f}",
        )
        values.plot(np.arange(1, len(part.singular_values) + 1), part.singular_values, label=name)
    plane.set_aspect("equal", adjustable="datalim")
    plane.set(xlabel="real part", ylabel="imaginary part", title="eigenvalues")
    plane.legend(fontsize="small")
    values.axhline(1, color="gray", linewidth=0.8)
    values.set(xlabel="number", title="singular values")
    values.set_ylim(0, 1.05 * max(1.0, *(float(part.singular_values[0]) for part in found.values())))
    values.legend(fontsize="small")
    return figure


def plot_saturation(trace: Trace) -> Figure:
    """One panel for each gate, one dot for each unit: share of time near the low end, and near the high end.

    A unit on the diagonal is always at one of the two; near the origin it is never stuck.
    """
    found = saturation(trace)
    figure, panels = _figure("plot_saturation", len(found.low))
    for axes, name in zip(panels, found.low, strict=True):
        axes.plot([0, 1], [1, 0], color="gray", linewidth=0.8)
        axes.plot(found.low[name], found.high[name], "o", alpha=0.5, markersize=5, clip_on=False)
        axes.set(xlim=(0, 1), ylim=(0, 1), title=name, xlabel="share of time low")
        axes.set_aspect("equal")
    panels[0].set_ylabel("share of time high")
    return figure


def plot_terms(trace: Trace, parameter: str = "W_hh") -> Figure:
    """Norm of every term of dL/dW by the step of the loss and the step where W acts, and their sums by distance."""
    found = term_norms(trace)
    if parameter not in found:
        raise ValueError(f"plot_terms: parameter is {parameter!r}, expected one of {', '.join(found)}")
    figure, (plane, sums) = _figure("plot_terms", 2)
    norms = found[parameter].norms
    with np.errstate(divide="ignore"):
        picture = np.where(norms > 0, np.log10(norms), np.nan)
    image = plane.imshow(picture, origin="lower", interpolation="nearest")
    figure.colorbar(image, ax=plane, label="log10 of the norm", shrink=0.8)
    plane.set(xlabel=f"step k where {parameter} acts", ylabel="step t of the loss")
    sums.plot(_positive(found[parameter].by_lag()))
    sums.set_yscale("log")
    sums.set(xlabel="distance |t - k|", ylabel="sum of the norms")
    return figure


def plot_vanishing_gradient(traces: Mapping[str, Trace]) -> Figure:
    """What a step back leaves of the norm of the gradient: mean over the rows, one line for each trace."""
    _check("plot_vanishing_gradient", traces)
    figure, (axes,) = _figure("plot_vanishing_gradient", 1)
    for label, trace in traces.items():
        found = vanishing_gradient(trace)
        counts = np.isfinite(found.ratios).sum(axis=1)
        means = np.nansum(found.ratios, axis=1) / np.maximum(counts, 1)
        axes.plot(np.where(counts > 0, means, np.nan), label=f"{label}, Omega {found.value:.3g}")
    axes.axhline(1, color="gray", linewidth=0.8)
    return _over_steps(figure, axes, "norm after the step back over norm before", log=False)


# --- what they share


def _figure(who: str, panels: int) -> tuple[Figure, list[Any]]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(f'{who} needs matplotlib: python -m pip install "unrolled[train]"') from None
    figure = Figure(figsize=(6, 4) if panels == 1 else (3.2 * panels + 2, 4), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(1, panels, squeeze=False)[0])


def _check(who: str, traces: Any) -> None:
    if not isinstance(traces, Mapping) or not all(isinstance(trace, Trace) for trace in traces.values()):
        raise TypeError(f"{who}: traces is {type(traces).__name__}, expected a mapping of labels to Traces")
    if not traces:
        raise ValueError(f"{who}: there are no traces")


def _positive(values: Any) -> Any:
    """Zeros become gaps: a logarithmic axis has no place for them."""
    return np.where(np.asarray(values) > 0, values, np.nan)


def _over_steps(figure: Figure, axes: Any, what: str, *, log: bool) -> Figure:
    if log:
        axes.set_yscale("log")
    axes.set(xlabel="step t", ylabel=what)
    axes.legend(fontsize="small")
    return figure
