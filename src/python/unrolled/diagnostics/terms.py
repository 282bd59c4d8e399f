"""The gradient of a parameter as the sum over where the loss is and where the parameter acts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from unrolled.diagnostics.trace import States, Trace, check_trace
from unrolled.tape import Array


class Term(NamedTuple):
    """One term of dL/dW: the loss that enters at step t, and the parameters as they act at step k.

    dL[t]/dh[t] * dh[t]/dh[k] * (direct dependence of h[k] on W), for every parameter W by name.
    """

    t: int
    k: int
    gradients: States


@dataclass(frozen=True)
class TermNorms:
    """Frobenius norms of all terms of one parameter: `norms[t, k]`, (T, T); zero where step k runs after step t."""

    norms: Array

    def by_lag(self) -> Array:
        """Sum of the norms of all terms at the same distance |t - k|, (T,)."""
        steps = len(self.norms)
        lags = np.abs(np.subtract.outer(np.arange(steps), np.arange(steps)))
        return np.bincount(lags.ravel(), weights=self.norms.ravel(), minlength=steps)

    def share_beyond(self, lag: int) -> float:
        """Which part of the sum of all norms is in terms longer than `lag` steps."""
        sums = self.by_lag()
        total = float(sums.sum())
        return float(sums[lag + 1 :].sum()) / total if total else 0.0


def gradient_terms(trace: Trace) -> Iterator[Term]:
    """Every term of dL/dW = sum over t, sum over k <= t, for all parameters of the cell, t and then k backwards.

    They add up to the `.grad` of the watched call. A gradient of the last state counts as loss at the last step. There
    are T (T + 1) / 2 terms, each one step backwards over the whole batch; terms that are zero throughout because
    nothing came so far back are left out. A learned initial state acts at the step that ran first.
    """
    trace.need_gradients()
    assert trace.dy is not None
    parameters = trace.cell.parameters()
    order = list(trace.order)
    ends = _last_steps(trace)
    for place in range(len(order) - 1, -1, -1):
        t = order[place]
        dy: Array | None = trace.dy[t]
        ending = (ends == t)[:, None]
        carried = {n: None if d is None else np.where(ending, d, 0) for n, d in trace.dlast.items()}
        if not np.any(dy) and not any(d is not None and d.any() for d in carried.values()):
            continue
        for k in reversed(order[: place + 1]):
            before = trace.vjp(k, dy, carried)
            carried, dy = {**before}, None
            gradients = {}
            for name, parameter in parameters.items():
                gradients[name] = np.zeros_like(parameter.data) if parameter.grad is None else parameter.grad
                parameter.grad = None
            if trace.starts_learned and k == order[0]:
                for n in trace.names:  # beside what resets have sent there
                    gradients[f"{n}0"] = gradients[f"{n}0"] + before[n].sum(axis=0)
            yield Term(t, k, gradients)
            if not any(d is not None and d.any() for d in carried.values()):
                break


def _last_steps(trace: Trace) -> Array:
    """The valid step of each row that ran last, (B,); where there is none, -1, or the step that a learned initial state
    acts at."""
    batch = trace.x.shape[1]
    if not trace.steps:
        return np.full(batch, -1)
    counts = trace.valid.sum(axis=0)
    none = trace.order[0] if trace.starts_learned else -1
    return np.where(counts == 0, none, 0 if trace.reverse else counts - 1)


def term_norms(trace: Trace) -> dict[str, TermNorms]:
    """The norms of all terms for every parameter, by its name."""
    check_trace("term_norms", trace)
    found = {name: np.zeros((trace.steps, trace.steps)) for name in trace.cell.parameters()}
    for t, k, gradients in gradient_terms(trace):
        for name, gradient in gradients.items():
            found[name][t, k] = np.linalg.norm(gradient.astype(np.float64))
    return {name: TermNorms(norms) for name, norms in found.items()}
