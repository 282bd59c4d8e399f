"""What the tests of traces share: terms of gradients, added up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from unrolled import diagnostics


def assert_gradients(cell: Any, totals: Mapping[str, np.ndarray]) -> None:
    for name, parameter in cell.parameters().items():
        # The same products summed in another order.
        np.testing.assert_allclose(totals[name], parameter.grad, rtol=1e-11, atol=1e-12)


def assert_terms_add_up(cell: Any, trace: diagnostics.Trace) -> None:
    totals = {name: np.zeros(p.shape) for name, p in cell.parameters().items()}
    for term in diagnostics.gradient_terms(trace):
        for name, gradient in term.gradients.items():
            totals[name] += gradient
    assert_gradients(cell, totals)
