"""Terms of a gradient where the initial state is a parameter too."""

from __future__ import annotations

import numpy as np
import pytest

from test_diagnostics_traces import EVERY, ROWS, STEPS, UNEVEN, UNITS, backward, both_ways
from unrolled import diagnostics
from unrolled.cells import Gated


@both_ways
@pytest.mark.parametrize("case", ["lengths", "both"])
@pytest.mark.parametrize(
    "kind", [k for k in EVERY if issubclass(k, Gated) and k is not Gated], ids=lambda k: k.__name__
)
def test_terms_of_a_learned_initial_state_add_up(kind, case, reverse):
    rng = np.random.default_rng(0)
    cell = kind(UNITS, UNITS, dtype=np.float64, rng=rng, learn_initial_state=True)
    for name, parameter in cell.parameters().items():
        noise = 0.5 * rng.standard_normal(parameter.shape)
        parameter.data += 1 + np.abs(noise) if name == "n0" else noise  # a normaliser
    x = rng.standard_normal((STEPS, ROWS, UNITS))
    with diagnostics.watch(cell) as seen:
        y, last = cell(x, None, *UNEVEN[case], reverse=reverse)
        backward(y, last, rng.standard_normal(y.shape), [rng.standard_normal(part.shape) for part in last])
    totals = {name: np.zeros(p.shape) for name, p in cell.parameters().items()}
    for term in diagnostics.gradient_terms(seen.trace):
        assert term.gradients.keys() == totals.keys()
        for name, gradient in term.gradients.items():
            totals[name] += gradient
    for name, parameter in cell.parameters().items():
        np.testing.assert_allclose(totals[name], parameter.grad, rtol=1e-11, atol=1e-11)
