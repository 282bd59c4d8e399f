"""The vanishing-gradient regularizer against its equation in loops, in both forms of the Elman network."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import unrolled as ur
from test_diagnostics_measures import SLOPES, cell_of, run
from unrolled import diagnostics
from unrolled.diagnostics import vanishing

ALL_SLOPES = {**SLOPES, "identity": lambda y: np.ones_like(y)}


def omega(cell, trace, W, sum_up):
    """The equation in loops: ||(dL/dh[k+1]) diag(phi'(a[k+1])) W|| / ||dL/dh[k+1]||, all but W held."""
    dh, y = trace.gradients()["h"], trace.y
    parts = {}
    for row in range(y.shape[1]):
        for earlier, t in zip(trace.order, list(trace.order)[1:], strict=False):
            if trace.valid[t, row] and trace.valid[earlier, row] and dh[t, row].any():
                d, slope = dh[t, row], ALL_SLOPES[cell.nonlinearity]
                # pre: h[k+1] = W phi(h[k]) + .., and y is phi(h)
                pre = cell.state == "pre"
                back = (d @ W) * slope(y[earlier, row]) if pre else (d * slope(y[t, row])) @ W
                ratio = np.linalg.norm(back) / np.linalg.norm(d)
                parts[t, row] = (ratio - 1) ** 2
    total = sum(parts.values()) / y.shape[1]
    return total if sum_up else total / (len(parts) / y.shape[1])


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("state", ["post", "pre"])
@pytest.mark.parametrize("nonlinearity", ["tanh", "sigmoid", "identity"])
def test_regularizer_and_its_gradient(nonlinearity, state, reverse, reduction):
    cell = cell_of(partial(ur.RNN, state=state), nonlinearity)
    trace = run(cell, lengths=np.array([7, 4, 1]), reverse=reverse)
    found = diagnostics.vanishing_gradient(trace, reduction=reduction)
    W, rng = cell.W_hh.data, np.random.default_rng(3)
    assert found.value == pytest.approx(omega(cell, trace, W, reduction == "sum"), rel=1e-12)
    assert found.value == pytest.approx(found.steps.sum())
    for _ in range(3):
        direction = rng.standard_normal(W.shape)
        ends = [omega(cell, trace, W + s * direction, reduction == "sum") for s in (1e-6, -1e-6)]
        expected = (ends[0] - ends[1]) / 2e-6
        # Central differences with step 1e-6: rounding of 1e-16 / 1e-6.
        assert (found.gradient * direction).sum() == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("reverse", [False, True])
def test_gradients_by_the_equations_are_those_of_the_trace(reverse):
    cell, rng = cell_of(ur.RNN), np.random.default_rng(1)
    x, wanted = rng.standard_normal((7, 4, 2)), rng.standard_normal((2, 4, 4))
    reset = rng.random((7, 4)) < 0.3
    with diagnostics.watch(cell) as seen:
        y, last = cell(x, lengths=np.array([7, 4, 1, 0]), reset=reset, reverse=reverse)
        ((y[2] * wanted[0]).sum() + (last.h * wanted[1]).sum()).backward()
    W = cell.W_hh.data
    totals, *_ = vanishing._steps_back(seen.trace, W, vanishing._joined(seen.trace))
    np.testing.assert_allclose(totals, seen.trace.gradients()["h"], rtol=1e-12, atol=1e-15)


def test_descending_the_regularizer_keeps_gradients_alive():
    cell = ur.RNN(2, 16, rng=np.random.default_rng(0))
    cell.W_hh.data *= 0.5
    before = run(cell)
    for _ in range(60):
        cell.W_hh.data -= 0.3 * diagnostics.vanishing_gradient(run(cell)).gradient
    after = run(cell)
    first, then = (diagnostics.vanishing_gradient(trace).value for trace in (before, after))
    assert then < 0.5 * first
    assert diagnostics.jacobian_norms(after)[0] > 3 * diagnostics.jacobian_norms(before)[0]


def test_nothing_to_regularize():
    cell = ur.RNN(2, 3, "relu", dtype=np.float64)
    cell.W_hh.data[...] = cell.W_ih.data[...] = 0
    found = diagnostics.vanishing_gradient(run(cell))  # every ratio is 0 and has no direction to grow in
    assert found.value == pytest.approx(1, rel=1e-12)
    assert not found.gradient.any()
    only = diagnostics.vanishing_gradient(run(cell, steps=1))
    assert only.value == 0
