"""The vanishing-gradient regularizer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from unrolled.cells import RNN
from unrolled.checks import one_of
from unrolled.diagnostics.trace import Trace, check_trace
from unrolled.tape import Array
from unrolled.tensor import no_grad

# phi' from y = phi(a), in the place of y where that saves memory: new pages for T x B x H numbers cost more than what
# is computed in them, here and below.
_SLOPES: dict[str, Callable[[Array], Array]] = {
    "tanh": lambda y: np.subtract(1, np.square(y, out=y), out=y),
    "sigmoid": lambda y: np.subtract(y, y * y, out=y),
    "relu": lambda y: np.greater(y, 0, out=y),
    "identity": np.ones_like,
}


@dataclass(frozen=True)
class VanishingGradient:
    """The regularizer Omega of one call.

    Attributes:
        value: Omega, sum or mean over the steps of the means over the rows.
        steps: (T,), what going back over step t adds; 0 at the step that ran first, and where no gradient is left.
        ratios: (T, B), norm of the gradient after going back over step t, over that before; NaN where none is.
        gradient: (H, H), dOmega/dW_hh.
    """

    value: float
    steps: Array
    ratios: Array
    gradient: Array


def vanishing_gradient(trace: Trace, *, reduction: str = "mean", least: float = 1e-10) -> VanishingGradient:
    """Omega asks that the gradient keeps its norm on its way back through an Elman network.

        Omega[k] = (||dL/dh[k+1] dh[k+1]/dh[k]|| / ||dL/dh[k+1]|| - 1)^2
        dh[k+1]/dh[k] = diag(phi'(a[k+1])) W_hh           a: the sum that phi is of
        dh[k+1]/dh[k] = W_hh diag(phi'(h[k]))             with state="pre", as in the paper

    Its gradient is that of the direct dependence on W_hh, with dL/dh and h held, as the paper proposes. In training:

        with ur.diagnostics.watch(model) as seen:
            loss(model(x), targets).backward()
        omega = ur.diagnostics.vanishing_gradient(seen.trace)
        model.rnn.W_hh.grad += weight * omega.gradient

    Args:
        trace: a call of an `RNN` that a gradient has reached.
        reduction: over the steps, "sum" as in the paper's equation, or "mean" over those with a gradient, as in its
            experiments.
        least: where ||dL/dh[k+1]|| is smaller there is no direction worth keeping, and the step is passed over.

    Source: R. Pascanu, T. Mikolov, Y. Bengio, On the difficulty of training recurrent neural networks, ICML 2013.
    """
    check_trace("vanishing_gradient", trace)
    cell = trace.cell
    if not isinstance(cell, RNN):
        raise TypeError(f"vanishing_gradient: the trace is of {type(cell).__name__}, expected an RNN")
    one_of("vanishing_gradient", "reduction", reduction, ("sum", "mean"))
    W = np.asarray(cell.W_hh).astype(np.float64)
    joined = _joined(trace)
    totals, before, back, behind = _steps_back(trace, W, joined)
    norms = _norms(totals)
    live = joined & (norms > least)
    ratios = np.divide(_norms(back), norms, out=np.full_like(norms, np.nan), where=live)
    rows = max(totals.shape[1], 1)
    count = live.mean(axis=1).sum() if live.size else 0.0
    scale = 1 / count if reduction == "mean" and count else 1.0
    steps = scale * np.where(live, (ratios - 1) ** 2, 0).sum(axis=1) / rows
    # d(r - 1)^2/dW = 2 (r - 1)/r (before (x) behind) / ||total||^2; a ratio of zero has no direction to grow in.
    growing = live & (ratios > 0)
    factors = np.zeros_like(ratios)
    factors[growing] = 2 * scale / rows * (1 - 1 / ratios[growing]) / norms[growing] ** 2
    H = cell.hidden_size
    behind *= factors[..., None]
    gradient = before.reshape(-1, H).T @ behind.reshape(-1, H)
    return VanishingGradient(float(steps.sum()), steps, ratios, gradient.astype(cell.dtype))


def _norms(vectors: Array) -> Array:
    """(T, B, H) -> (T, B), without a square of every number in memory."""
    return np.asarray(np.sqrt(np.einsum("tbh,tbh->tb", vectors, vectors)))


def _steps_back(trace: Trace, W: Array, joined: Array) -> tuple[Array, Array, Array, Array]:
    """dL/dh, what of it meets W_hh, dL/dh dh[k+1]/dh[k], and that times the factors behind W_hh.

    Each is (T, B, H) in float64. The outer product of the second and the last tells how W_hh changes half the square of
    the third.
    """
    slope, y = _SLOPES[trace.cell.nonlinearity], _outputs(trace)  # type: ignore[attr-defined]
    if trace.cell.state == "pre":  # type: ignore[attr-defined]
        totals, behind = trace.gradients()["h"].astype(np.float64), slope(_outputs_before(trace, y))
        back = totals @ W * behind
        return totals, totals, back, back * behind
    through = slope(y)
    totals, back = _sweep(trace, W, through, joined)
    return totals, through, back, back


def _outputs(trace: Trace) -> Array:
    """y (T, B, H) from one call: `trace.y` takes T calls, too slow to train with."""
    start = trace.cell.State(*trace.initial.values())
    with no_grad():
        y, _ = trace.cell(trace.x, start, trace.lengths, trace.reset, reverse=trace.reverse)
    return np.asarray(y).astype(np.float64)


def _outputs_before(trace: Trace, y: Array) -> Array:
    """y of the step that ran before each step, (T, B, H); zero where there is none."""
    before = np.zeros_like(y)
    if trace.reverse:
        before[:-1] = y[1:]
    else:
        before[1:] = y[:-1]
    return before


def _sweep(trace: Trace, W: Array, slopes: Array, joined: Array) -> tuple[Array, Array]:
    """dL/dh as `trace.gradients()` has it, by the equations of the cell: T calls are too slow here, too; and what one
    step more makes of it. The slopes become what meets W_hh on the way."""
    trace.need_gradients()
    assert trace.dy is not None
    totals, back = np.zeros_like(slopes), np.empty_like(slopes)
    last = trace.dlast["h"]
    arrived = np.zeros(slopes.shape[1:]) if last is None else last.astype(np.float64)
    whole = np.atleast_1d(joined.all(axis=1))  # joined steps are valid
    for t in reversed(trace.order):
        valid = trace.valid[t][:, None]
        np.add(arrived, trace.dy[t], out=totals[t], where=valid)
        slopes[t] *= totals[t]
        np.matmul(slopes[t], W, out=back[t])
        arrived = back[t] if whole[t] else np.where(valid, np.where(joined[t][:, None], back[t], 0), arrived)
    return totals, back


def _joined(trace: Trace) -> Array:
    """Where the step at t starts from the state of another valid step, (T, B)."""
    joined: Array = trace.valid.copy()
    for t in trace.order[:1]:
        joined[t] = False
    if trace.reverse and trace.lengths is not None:  # each row starts at its own last step
        joined[:-1] &= trace.valid[1:]
    if trace.reset is not None:
        for t in range(trace.steps):
            joined[t] &= ~trace.arguments(t)["reset"][0]
    return joined
