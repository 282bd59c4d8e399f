"""Gates of watched calls: those of the kernel, for every cell, whatever its options."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import unrolled as ur
from cases import CASES, VARIANTS, Case
from reference import problem
from unrolled import diagnostics
from unrolled.cells import Gated

SHAPE = (6, 3, 4, 5)
WITH_GATES = CASES + VARIANTS


def watched(case: Case, **options: Any) -> tuple[Any, Any]:
    """The trace of a call with lengths and resets in reverse, and what `inspect` tells of the same call."""
    p = problem(replace(case, options={**case.options, **options}), SHAPE, lengths=True)
    reset = np.random.default_rng(1).random(SHAPE[:2]) < 0.4
    counter = getattr(p.cell, "counter", 0)
    with diagnostics.watch(p.cell) as seen:
        p.cell(p.x, None, p.lengths, reset, reverse=True)
    if isinstance(p.cell, Gated):
        p.cell.counter = counter
    return seen.trace, p.cell.inspect(p.x, None, p.lengths, reset, reverse=True)


def options_of(case: Case) -> dict[str, Any]:
    cell = case.make(1, 1)
    if not isinstance(cell, Gated):
        return {}
    options: dict[str, Any] = {"learn_initial_state": True}
    options |= {f"zoneout_{name}": 0.3 for name in ("h", "c") if name in case.states}
    return options | ({"recurrent_dropout": 0.3, "weight_dropout": 0.3} if cell.matrices else {})


@pytest.mark.parametrize("with_options", [False, True], ids=["plain", "options"])
@pytest.mark.parametrize("case", WITH_GATES, ids=str)
def test_gates_are_those_of_the_call(case: Case, with_options: bool) -> None:
    trace, wanted = watched(case, **(options_of(case) if with_options else {}))
    found = diagnostics.gate_values(trace).gates
    if wanted.gates:
        assert tuple(found) == tuple(wanted.gates)
    for name, gate in found.items():
        exact = wanted.gates.get(name, wanted.y)
        np.testing.assert_array_equal(gate.values, exact)
        inside = gate.values[trace.valid]
        assert (inside >= gate.low).all() and (inside <= gate.high).all(), name
    shares = diagnostics.saturation(trace)
    for name in found:
        low, high = shares.low[name], shares.high[name]
        assert low.shape == (SHAPE[3],) and ((low >= 0) & (high >= 0) & (low + high <= 1)).all()


def test_gates_of_irregular_steps() -> None:
    cell = ur.GRUD(4, 5, dtype=np.float64, rng=np.random.default_rng(0))
    rng = np.random.default_rng(1)
    x, dt = rng.normal(size=(6, 3, 4)), rng.uniform(0.1, 2, (6, 3))
    x[rng.random(x.shape) < 0.5] = np.nan
    for reverse in (False, True):
        with diagnostics.watch(cell) as seen:
            cell(x, dt=dt, reverse=reverse)
        wanted = cell.inspect(x, dt=dt, reverse=reverse).gates
        for name, gate in diagnostics.gate_values(seen.trace).gates.items():
            np.testing.assert_array_equal(gate.values, wanted[name])


def test_a_formula_starts_from_the_learned_state_after_a_reset() -> None:
    class Known(ur.GRU):
        pass

    @diagnostics.register_gates("Known")
    def formula(cell: Any, x: Any, before: Any, after: Any) -> diagnostics.GateValues:
        return diagnostics.GateValues({"before": diagnostics.Gate(before["h"], -1, 1)})

    cell = Known(4, 5, dtype=np.float64, learn_initial_state=True)
    cell.h0.data[...] = 0.5
    reset = np.zeros((6, 3), bool)
    reset[2, 1] = True
    with diagnostics.watch(cell) as seen:
        cell(np.ones((6, 3, 4)), reset=reset)
    before = diagnostics.gate_values(seen.trace).gates["before"].values
    assert (before[2, 1] == 0.5).all() and (before[2, 0] != 0.5).all()
