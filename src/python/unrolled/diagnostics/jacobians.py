"""How a state depends on earlier ones: products of the Jacobians of the steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from unrolled.cells import RNN
from unrolled.diagnostics.trace import Trace, check_place, check_trace, pull
from unrolled.tape import Array
from unrolled.tensor import Tensor

_EXACT_UP_TO = 256  # rows of a matrix whose singular values are all computed; larger ones by power iteration
# The largest slope of every nonlinearity.
_STEEPEST = {"tanh": 1.0, "relu": 1.0, "sigmoid": 0.25, "identity": 1.0}


def step_jacobian(trace: Trace, t: int, row: int = 0) -> Array:
    """ds[t] / ds[t-1], (S, S), for one row of the batch; s joins all states of the cell, S = their sizes in all.

    Each row of the matrix is one vector-Jacobian product, and all of them are one batch.
    """
    check_trace("step_jacobian", trace)
    check_place("step_jacobian", "t", t, trace.steps)
    check_place("step_jacobian", "row", row, trace.x.shape[1])
    trace.refuse_masks("step_jacobian")
    sizes = [trace.initial[name].shape[1] for name in trace.names]
    total = sum(sizes)
    states = [
        Tensor(np.repeat(trace.before[name][t, row : row + 1], total, axis=0), requires_grad=True)
        for name in trace.names
    ]
    options = trace.arguments(t)
    if options["lengths"] is not None:
        options["lengths"] = np.repeat(options["lengths"][row], total)
    for name in ("reset", "dt"):
        if options.get(name) is not None:
            options[name] = np.repeat(options[name][:, row : row + 1], total, axis=1)
    x = np.repeat(trace.x[t : t + 1, row : row + 1], total, axis=1)
    _, after = trace.cell(x, trace.cell.State(*states), **options)
    seeds = np.split(np.eye(total, dtype=trace.cell.dtype), np.cumsum(sizes)[:-1], axis=1)
    pull(list(zip(after, seeds, strict=True)))
    for parameter in trace.cell.parameters().values():
        parameter.grad = None
    parts = [np.zeros_like(s.data) if s.grad is None else s.grad for s in states]
    return np.concatenate(parts, axis=1).astype(np.float64)


def jacobian_norms(trace: Trace, *, at: int | None = None, row: int = 0, state: str = "h") -> Array:
    """||ds[t] / ds[k]||, spectral norms for one row of the batch, (T,): entry k, with t = `at` (None: the last step).

    The state s is "h", another one of the cell, or "all" of them joined. Entry t is 1; entries of steps that run
    after t are NaN. dh[t]/dh[k] of an LSTM has the paths through c as well, with c[k] held.
    """
    check_trace("jacobian_norms", trace)
    check_place("jacobian_norms", "row", row, trace.x.shape[1])
    order = list(trace.order)
    if not order:
        raise ValueError("jacobian_norms: the call has no steps")
    at = order[-1] if at is None else at
    if at not in order:
        raise ValueError(f"jacobian_norms: at is {at}, expected a step from 0 to {trace.steps - 1}")
    if state != "all" and state not in trace.names:
        raise ValueError(f"jacobian_norms: state is {state!r}, expected one of {', '.join(trace.names)}, all")
    sizes = [trace.initial[name].shape[1] for name in trace.names]
    place = slice(None)
    if state != "all":
        start = sum(sizes[: trace.names.index(state)])
        place = slice(start, start + sizes[trace.names.index(state)])
    product = np.eye(sum(sizes))[place]
    norms = np.full(trace.steps, np.nan)
    for t in reversed(order[: order.index(at) + 1]):
        norms[t] = spectral_norm(product[:, place])
        product = product @ step_jacobian(trace, t, row)
    return norms


def jacobian_bound(cell: RNN, lags: Any) -> Array:
    """(gamma_W gamma_phi)^lag: no ||dh[t] / dh[t - lag]|| of an Elman network is larger.

    gamma_W is the largest singular value of W_hh, gamma_phi the largest slope of phi: 1 for tanh and relu, 1/4 for
    sigmoid. Below 1 gradients must vanish; above 1 they may explode (Pascanu, Mikolov, Bengio 2013).
    """
    if not isinstance(cell, RNN):
        raise TypeError(
            f"jacobian_bound: cell is a {type(cell).__name__}, expected an RNN: the bound is for Elman networks"
        )
    gamma = np.linalg.norm(np.asarray(cell.W_hh).astype(np.float64), 2) * _STEEPEST[cell.nonlinearity]
    return np.asarray(gamma ** np.asarray(lags, np.float64))


def spectral_norm(matrix: Array) -> float:
    """The largest singular value."""
    if min(matrix.shape) <= _EXACT_UP_TO:
        return float(np.linalg.norm(matrix, 2))
    return power_iteration(matrix)


def power_iteration(matrix: Array, *, most: int = 1000, tolerance: float = 1e-9) -> float:
    """The largest singular value, from products with the matrix and its transpose until it grows no more.

    The estimate grows towards the norm from below; it stops when an iteration adds less than the tolerance.
    """
    v = np.random.default_rng(0).standard_normal(matrix.shape[1])
    v /= np.linalg.norm(v)
    before = 0.0
    for _ in range(most):
        u = matrix @ v
        norm = float(np.linalg.norm(u))
        if norm <= before * (1 + tolerance) or norm == 0.0:
            return max(norm, before)
        before = norm
        v = matrix.T @ (u / norm)
        v /= np.linalg.norm(v)
    return before
