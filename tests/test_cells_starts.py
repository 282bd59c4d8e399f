"""The learned initial state of gated cells: where calls start and resets go back to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import unrolled as ur
from cases import CASES, Case
from reference import TINY, Problem, assert_same_bits, loss_of, problem, run
from test_cells_gradients import EXACT, MODES, mode_name
from unrolled.cells import Gated

GATED = [case for case in CASES if issubclass(getattr(ur, case.cell), Gated)]
each = pytest.mark.parametrize("case", GATED, ids=str)


def make(case: Case, shape: tuple[int, int, int, int], dtype: Any = np.float64, **mode: bool) -> Problem:
    return problem(replace(case, options={**case.options, "learn_initial_state": True}), shape, dtype, **mode)


def results(p: Problem) -> dict[str, np.ndarray]:
    """Outputs, last states, and the gradients of x and of all parameters, of a call that is given no state."""
    for parameter in p.cell.parameters().values():
        parameter.grad = None
    x = ur.Tensor(p.x, requires_grad=True)
    y, after = p.cell(x, **p.arguments)
    loss_of(p, y, after).backward()
    gradients = {f"d{name}": parameter.grad for name, parameter in p.cell.parameters().items()}
    last = {name: np.asarray(s) for name, s in after._asdict().items()}
    return {"y": np.asarray(y), **last, "dx": x.grad, **gradients}


def reference(p: Problem, q: dict[str, np.ndarray]) -> Any:
    start = tuple(np.repeat(q[f"{name}0"][None], p.x.shape[1], axis=0) for name in p.case.states)
    return run(p.case.step, q, q["x"], start, **p.arguments, start=start)


@pytest.mark.parametrize("mode", MODES, ids=mode_name)
@each
def test_calls_start_and_resets_go_back_there(case: Case, mode: dict[str, bool]) -> None:
    p = make(case, (7, 5, 3, 17), **mode)
    q = {name: np.array(np.asarray(t), np.float64) for name, t in p.cell.parameters().items()}
    q["x"] = p.x
    found = results(p)
    y_wanted, after_wanted = reference(p, q)
    assert np.abs(found["y"] - y_wanted).max() < EXACT
    for name, wanted in zip(case.states, after_wanted, strict=True):
        assert np.abs(found[name] - wanted).max() < EXACT
    rng = np.random.default_rng(3)
    for name, value in q.items():
        direction, gradient = rng.normal(size=value.shape), found[f"d{name}"]
        y, after = reference(p, {**q, name: value + 1j * TINY * direction})
        loss = (y * p.dy).sum() + sum((s * d).sum() for s, d in zip(after, p.dstate, strict=True))
        scale = 1 + np.linalg.norm(gradient) * np.linalg.norm(direction)
        assert abs((gradient * direction).sum() - np.imag(loss) / TINY) / scale < EXACT, name


@pytest.mark.parametrize("reverse", [False, True])
@each
def test_the_same_bits_at_any_thread_count_and_when_recomputed(case: Case, reverse: bool) -> None:
    p = make(case, (9, 6, 4, 150), np.float32, lengths=True, reset=True, reverse=reverse)
    before, found = ur.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            ur.set_num_threads(count)
            found.append(results(p))
    finally:
        ur.set_num_threads(before)
    for other in found[1:]:
        assert_same_bits(other, found[0])
    p.cell.recompute = 4
    for name, value in results(p).items():
        # The gradients of parameters sum over 54 places in another order.
        np.testing.assert_allclose(
            value, found[0][name], rtol=0, atol=1e-5 * max(1, np.abs(value).max()), err_msg=name
        )


@each
def test_a_state_that_is_given_is_where_the_call_starts_but_not_where_a_reset_goes(case: Case) -> None:
    p = make(case, (4, 3, 2, 9))
    reset = np.zeros((4, 3), bool)
    reset[2] = True
    with ur.no_grad():
        y, after = p.cell(p.x, p.cell.State(*p.state), reset=reset)
        first, _ = p.cell(p.x[:2], p.cell.State(*p.state))
        second, last = p.cell(p.x[2:])
    assert_same_bits(np.asarray(y), np.concatenate([np.asarray(first), np.asarray(second)]))
    assert_same_bits(tuple(map(np.asarray, after)), tuple(map(np.asarray, last)))


def test_training_keeps_the_normaliser_of_a_start_at_zero_or_more() -> None:
    cell = ur.sLSTM(3, 4, learn_initial_state=True)
    optimizer = ur.SGD(cell, lr=1.0)
    for name in ("c0", "n0"):
        start = cell.parameters()[name]
        start.grad = np.ones_like(start.data)
    optimizer.step()
    assert (cell.n0.data == 0).all() and (cell.c0.data == -1).all()
