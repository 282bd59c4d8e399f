"""What masks do in training: they are read off one call, and the papers' equations with them give another."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import unrolled as ur
from cases import CASES, Array, Case
from reference import (
    Problem,
    assert_same_bits,
    directional_derivative,
    expected,
    forward,
    gradients,
    problem,
)
from steps_kept import gru_d
from unrolled.cells import Gated

GATED = [case for case in CASES if issubclass(getattr(ur, case.cell), Gated)]
# h[t-1] goes nowhere but through matrices.
THROUGH_MATRICES = [case for case in GATED if "LSTM" in case.name and case.name != "MinimalLSTM"]
WITH_MATRICES = [case for case in GATED if case.new(1, 1).matrices]
SHAPE = (6, 4, 3, 19)


def make(case: Case, **options: Any) -> Problem:
    return problem(replace(case, options={**case.options, **options}), SHAPE)


def without_options(p: Problem, case: Case) -> Problem:
    """The same parameters in a plain cell."""
    plain = replace(problem(case, SHAPE), x=p.x, state=p.state, dy=p.dy, dstate=p.dstate)
    plain.cell.load_parameters({name: np.asarray(q).copy() for name, q in p.cell.parameters().items()})
    return plain


@pytest.mark.parametrize("case", THROUGH_MATRICES, ids=str)
def test_recurrent_dropout_has_one_mask_for_each_row_of_a_call(case: Case) -> None:
    """Gal and Ghahramani (2016): the same units of h are missing at every step, the others are 1 / (1 - rate) of it."""
    p = make(case, recurrent_dropout=0.4)
    p.cell.counter = 5
    first = replace(p, x=p.x[:1], dy=p.dy[:1])
    mask = gradients(first)["h0"] != 0  # what is dropped has no gradient
    assert 0.3 < mask.mean() < 0.9
    assert (mask.any(axis=0) & ~mask.all(axis=0)).any(), "all rows have the same mask"

    def step(q: Any, x: Array, state: Any) -> Any:
        return case.step(q, x, (state[0] * mask / 0.6, *state[1:]))

    p.cell.counter = 5
    y, state = forward(p)
    wanted, wanted_state = expected(replace(p, case=replace(case, step=step)))
    for ours, theirs in zip((y, *state), (wanted, *wanted_state), strict=True):
        assert np.abs(ours - theirs).max() < 1e-10
    p.cell.eval()
    assert_same_bits(forward(p), forward(without_options(p, case)))


@pytest.mark.parametrize("case", WITH_MATRICES, ids=str)
def test_recurrent_dropout_changes_what_every_cell_with_a_matrix_gives(case: Case) -> None:
    p = make(case, recurrent_dropout=0.4)
    y, _ = forward(p)
    again, _ = forward(p)  # other masks
    p.cell.eval()
    mean, _ = forward(p)
    for row in range(SHAPE[1]):
        assert (y[:, row] != again[:, row]).any() and (y[:, row] != mean[:, row]).any()


def test_recurrent_dropout_of_a_gru_d_is_of_the_faded_state() -> None:
    """r and z see the same units of q at every step of a row; the candidate and the average with the past see all."""
    case = next(c for c in GATED if c.cell == "GRUD")
    p = make(case, recurrent_dropout=0.4)
    p.x[np.random.default_rng(0).random(p.x.shape) < 0.5] = np.nan
    probe = copy.deepcopy(p.cell)
    H = probe.hidden_size
    rows = []
    for row in range(SHAPE[1]):  # W_hh of r and z gets a gradient in the columns that its mask leaves
        probe.W_hh.grad, probe.counter = None, p.cell.counter
        y, _ = probe(p.x[:1], probe.State(*p.state))
        y[0, row].sum().backward()
        rows.append(np.abs(probe.W_hh.grad[: 2 * H]).sum(axis=0) != 0)
    mask = np.stack(rows)
    assert 0.3 < mask.mean() < 0.9 and (mask[0] != mask[1]).any()

    def step(q: Any, x: Array, state: Any) -> Any:
        return gru_d(q, x, state, mask=mask / 0.6)

    masked = replace(p, case=replace(case, step=step))
    counter = p.cell.counter
    y, state = forward(p)
    wanted, wanted_state = expected(masked)
    for ours, theirs in zip((y, *state), (wanted, *wanted_state), strict=True):
        assert np.abs(ours - theirs).max() < 1e-10
    p.cell.counter = counter
    rng = np.random.default_rng(1)
    for name, gradient in gradients(p).items():
        direction = np.where(np.isnan(p.quantities[name]), 0, rng.normal(size=gradient.shape))
        exact = directional_derivative(masked, name, direction)
        assert abs((gradient * direction).sum() - exact) < 1e-9 * (1 + abs(exact)), name


@pytest.mark.parametrize("case", WITH_MATRICES, ids=str)
def test_weight_dropout_has_one_mask_for_each_matrix_of_a_call(case: Case) -> None:
    """Merity et al. (2018): the call of a cell whose recurrent matrices lack some weights."""
    p = make(case, weight_dropout=0.25)
    p.cell.counter = 3
    found = gradients(p)
    plain = without_options(p, case)
    for name in p.cell.recurrent_matrices:
        mask = found[name] != 0
        assert 0.55 < mask.mean() < 0.95
        plain.cell.parameters()[name].data[...] *= mask / 0.75
    p.cell.counter = 3
    y, state = forward(p)
    wanted, wanted_state = forward(plain)
    for ours, theirs in zip((y, *state), (wanted, *wanted_state), strict=True):
        assert np.abs(ours - theirs).max() < 1e-12  # w * (1 / 0.75) or w / 0.75
    without = gradients(plain)
    for name, gradient in found.items():
        scale = (found[name] != 0) / 0.75 if name in p.cell.recurrent_matrices else 1
        np.testing.assert_allclose(gradient, without[name] * scale, rtol=0, atol=1e-10, err_msg=name)


@pytest.mark.parametrize(
    ("case", "which"), [(case, which) for case in GATED for which in "hc" if which in case.states], ids=str
)
def test_zoneout_keeps_some_units_and_leaves_the_others_alone(case: Case, which: str) -> None:
    """Krueger et al. (2017): a unit is the one of the step before, or what the cell gives."""
    place = case.states.index(which)
    p = make(case, **{f"zoneout_{which}": 0.3})
    seen = p.cell.inspect(p.x, p.cell.State(*p.state))
    series = seen.states[which]
    kept = series == np.concatenate([p.state[place][None], series[:-1]])
    assert 0.15 < kept.mean() < 0.45
    inside = case.name in ("FullPeepholeLSTM", "LayerNormLSTM") and which == "c"
    state = p.state
    for t, x in enumerate(p.x):
        keep = {"keep": kept[t]} if inside else {}
        y, after = case.step({n: np.asarray(q) for n, q in p.quantities.items()}, x, state, **keep)
        mixed = list(after)
        together = ("c", "n", "m") if which == "c" else (which,)  # of the sLSTM
        for k, name in enumerate(case.states):
            if name in together:
                mixed[k] = np.where(kept[t], state[k], after[k])
        state = tuple(mixed)
        wanted = state[0] if case.states[0] == "h" else y
        assert np.abs(seen.y[t] - wanted).max() < 1e-10
    for ours, theirs in zip(seen.state, state, strict=True):
        assert np.abs(ours - theirs).max() < 1e-10


@pytest.mark.parametrize("case", GATED, ids=str)
def test_backward_may_have_more_threads_than_forward(case: Case, threads: Any) -> None:
    options = {f"zoneout_{n}": 0.2 for n in case.states if n in "hc"}
    if case.new(1, 1).matrices:
        options["recurrent_dropout"] = 0.3
    found = []
    for forward_threads, backward_threads in [(1, 1), (1, 3), (3, 1)]:
        p = problem(replace(case, options={**case.options, **options}), (6, 17, 5, 70))
        threads(forward_threads)
        y, _ = p.cell(p.x)
        threads(backward_threads)
        (y * ur.Tensor(p.dy)).sum().backward()
        found.append({name: q.grad for name, q in p.cell.parameters().items() if q.grad is not None})
    assert_same_bits(found[1], found[0])
    assert_same_bits(found[2], found[0])
