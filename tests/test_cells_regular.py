"""Options of every gated cell: zoneout, dropout of what recurs, bounded gradients, a learned initial state."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import unrolled as ur
from cases import CASES, VARIANTS, Case
from reference import (
    Problem,
    assert_same_bits,
    directional_derivative,
    expected,
    forward,
    gradients,
    problem,
)
from steps_more import with_zoneout
from unrolled.cells import Gated

GATED = [case for case in CASES if issubclass(getattr(ur, case.cell), Gated)]
GATED_VARIANTS = GATED + [case for case in VARIANTS if issubclass(getattr(ur, case.cell), Gated)]
WITH_H = [case for case in GATED if "h" in case.states]
each = pytest.mark.parametrize("case", GATED, ids=str)
SHAPE = (5, 4, 3, 37)


def make(case: Case, shape: tuple[int, int, int, int] = SHAPE, **options: Any) -> Problem:
    return problem(replace(case, options={**case.options, **options}), shape)


def dropout(case: Case, **rates: float) -> dict[str, float]:
    """Of these options those that the cell takes."""
    return rates if case.make(1, 1).matrices else {}


def zoneout(case: Case) -> dict[str, float]:
    return {f"zoneout_{name}": rate for name, rate in (("h", 0.3), ("c", 0.2)) if name in case.states}


@pytest.mark.parametrize("case", GATED_VARIANTS, ids=str)
def test_zoneout_in_evaluation_is_the_mean(case: Case) -> None:
    p = make(case, **zoneout(case))
    p.cell.eval()
    rates = {name: zoneout(case).get(f"zoneout_{name}", 0.0) for name in case.states}
    mean = replace(p, case=replace(case, step=with_zoneout(case.step, case.states, rates)))
    y, state = forward(p)
    y_wanted, state_wanted = expected(mean)
    for actual, wanted in zip((y, *state), (y_wanted, *state_wanted), strict=True):
        assert np.abs(actual - wanted).max(initial=0) < 1e-10
    rng = np.random.default_rng(0)
    for name, gradient in gradients(p).items():
        direction = rng.normal(size=gradient.shape)
        exact = directional_derivative(mean, name, direction)
        scale = 1 + np.linalg.norm(gradient) * np.linalg.norm(direction)
        assert abs((gradient * direction).sum() - exact) / scale < 1e-10, name


@each
def test_a_step_is_that_of_evaluation(case: Case) -> None:
    p = make(case, **zoneout(case), **dropout(case, weight_dropout=0.3))
    p.cell.eval()
    y, _ = forward(p)
    state = p.cell.State(*p.state)
    for t in range(SHAPE[0]):
        y_t, state = p.cell.step(p.x[t], state)
        assert_same_bits(y_t, y[t])


def numeric(p: Problem, name: str, direction: np.ndarray, counter: int) -> float:
    """Central difference of the loss with the masks of this counter."""
    losses = []
    for sign in (1, -1):
        moved = copy.deepcopy(p)
        q = moved.quantities[name]
        tensor = moved.cell.parameters().get(name)
        target = tensor.data if tensor is not None else q
        target[...] += sign * 1e-6 * direction
        moved.cell.counter = counter
        y, state = forward(moved)
        losses.append((y * p.dy).sum() + sum((s * d).sum() for s, d in zip(state, p.dstate, strict=True)))
    return float((losses[0] - losses[1]) / 2e-6)


@each
def test_gradients_with_masks_agree_with_finite_differences(case: Case) -> None:
    p = make(case, (5, 3, 3, 19), **zoneout(case), **dropout(case, recurrent_dropout=0.4, weight_dropout=0.3))
    p.cell.counter = 7
    rng = np.random.default_rng(3)
    for name, gradient in gradients(p).items():
        direction = rng.normal(size=gradient.shape)
        wanted = numeric(p, name, direction, 7)
        # Truncation is 1e-12 times a third derivative, cancellation 1e-16 / 1e-6 times the loss.
        assert abs((gradient * direction).sum() - wanted) < 1e-6 * (1 + abs(wanted)), name


@pytest.mark.parametrize("case", WITH_H, ids=str)
def test_zoneout_keeps_units_with_its_probability(case: Case) -> None:
    p = make(case, (30, 20, 3, 40), zoneout_h=0.3)
    y, _ = forward(p)
    before = np.concatenate([p.state[0][None], y[:-1]])
    # 24,000 units: six deviations of the mean are 0.018.
    assert abs((y == before).mean() - 0.3) < 0.02


@each
def test_masks_are_functions_of_seed_and_counter_alone(case: Case) -> None:
    p = make(
        case, (6, 17, 5, 70), **zoneout(case), **dropout(case, recurrent_dropout=0.4, weight_dropout=0.3)
    )
    before = ur.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            ur.set_num_threads(count)
            p.cell.seed, p.cell.counter = 5, 11
            results.append(gradients(p))
    finally:
        ur.set_num_threads(before)
    assert_same_bits(results[1], results[0])
    assert_same_bits(results[2], results[0])
    first, again = forward(p)[0], forward(p)[0]
    assert np.abs(first - again).max() > 1e-3, "two calls drew the same masks"
    p.cell.seed, p.cell.counter = 5, 12
    assert_same_bits(forward(p)[0], first)


def test_masks_of_cells_that_begin_to_draw_later_differ() -> None:
    rng = np.random.default_rng(0)
    cells = [ur.GRU(3, 50, rng=rng) for _ in range(2)]
    for cell in cells:
        cell.zoneout_h = 0.5
    x = np.ones((40, 2, 3), np.float32)
    kept = [(y[1:] == y[:-1]).mean(axis=(0, 1)) for y in (np.asarray(cell(x)[0]) for cell in cells)]
    assert not np.array_equal(*kept) and cells[0].seed != cells[1].seed
    again = ur.GRU(3, 50, rng=np.random.default_rng(0))
    again.zoneout_h = 0.5
    assert again.seed == cells[0].seed


@pytest.mark.parametrize(
    ("cell", "option", "value", "message"),
    [
        (ur.GRU, "zoneout_h", 7, r"GRU: zoneout_h is 7, expected a number in \[0, 1\)"),
        (ur.GRU, "zoneout_c", 0.5, "GRU: zoneout_c is given, expected 0 because its state has no c"),
        (ur.SRU, "recurrent_dropout", 0.5, "SRU: recurrent_dropout is given, expected 0 because no matrix"),
        (ur.LSTM, "gradient_clip", -1.0, "LSTM: gradient_clip is -1.0, expected a number above 0"),
    ],
)
def test_options_set_later_are_checked(cell: Any, option: str, value: float, message: str) -> None:
    layer = cell(3, 4)
    with pytest.raises(ValueError, match=message):
        setattr(layer, option, value)
    assert not getattr(layer, option)


@each
def test_recomputed_segments_draw_the_same_masks(case: Case) -> None:
    p = make(case, (9, 3, 4, 17), **zoneout(case), **dropout(case, recurrent_dropout=0.4))
    p.cell.counter = 3
    wanted = gradients(p)
    p.cell.counter, p.cell.recompute = 3, 4
    for name, gradient in gradients(p).items():
        np.testing.assert_allclose(gradient, wanted[name], rtol=0, atol=1e-12, err_msg=name)


@each
def test_a_bound_of_gradients_holds_and_a_wide_one_changes_nothing(case: Case) -> None:
    free, wide = gradients(make(case)), gradients(make(case, gradient_clip=1e6))
    for name, gradient in free.items():
        np.testing.assert_array_equal(wide[name], gradient)  # a zero may change its sign
    tight = gradients(make(case, gradient_clip=1e-4))
    # b sums the gradients of the gates' sums over 20 places.
    assert 0 < np.abs(tight["b"]).max() <= 20 * 1e-4 * (1 + 1e-9)


# What else is made of the gradients of the gates' sums, at one step of one row: parameter, gate, and the state that it
# multiplies there.
MADE_OF = {
    "PeepholeLSTM": [("p_i", "i", "c0"), ("p_f", "f", "c0"), ("p_o", "o", "c")],
    "PeepholeLSTM-previous": [(f"p_{gate}", gate, "c0") for gate in "ifgo"],
    "BistableGRU": [("u_a", "a", "h0"), ("u_c", "c", "h0")],
    "SRU": [("v_f", "f", "c0"), ("v_r", "r", "c0")],
}
BOUNDED_TOO = {"GRU": "b_hn", "LayerNormGRU": "b_hn", "LayerNormLSTM": "b_c", "RecurrentHighway": "b_deep"}


@each
def test_a_bound_holds_for_all_that_is_made_of_the_bounded(case: Case) -> None:
    p = make(case, (1, 1, 3, 37), gradient_clip=1e-3)
    found = gradients(p)
    assert 0 < np.abs(found["b"]).max() <= 1e-3
    deltas = dict(zip(case.gates, np.split(found["b"], len(case.gates)), strict=True))
    states = {**{f"{n}0": s[0] for n, s in zip(case.states, p.state, strict=True)}}
    states.update(zip(case.states, (s[0] for s in forward(p)[1]), strict=True))
    for parameter, gate, state in MADE_OF.get(case.name, []):
        # The state after the step may be another rounding of the one that backward makes again.
        np.testing.assert_allclose(found[parameter], deltas[gate] * states[state], rtol=1e-12, atol=0)
    if case.name in BOUNDED_TOO:
        assert 0 < np.abs(found[BOUNDED_TOO[case.name]]).max() <= 1e-3


def test_the_cell_of_peepholes_gets_bounded_gradients() -> None:
    p = make(next(c for c in GATED if c.name == "PeepholeLSTM"), (1, 2, 3, 37), gradient_clip=1e-3)
    seen = p.cell.inspect(p.x, p.cell.State(*p.state))
    i, f, g, o = (seen.gates[name][0] for name in "ifgo")
    before, squashed = p.state[1], np.tanh(seen.states["c"][0])
    p_i, p_f, p_o = (np.asarray(getattr(p.cell, f"p_{name}")) for name in "ifo")
    dh = p.dy[0] + p.dstate[0]
    da_o = np.clip(dh * squashed * o * (1 - o), -1e-3, 1e-3)
    dc = p.dstate[1] + dh * o * (1 - squashed**2) + da_o * p_o
    da_i = np.clip(dc * g * i * (1 - i), -1e-3, 1e-3)
    da_f = np.clip(dc * before * f * (1 - f), -1e-3, 1e-3)
    np.testing.assert_allclose(gradients(p)["c0"], dc * f + da_i * p_i + da_f * p_f, rtol=0, atol=1e-14)


@each
def test_a_learned_initial_state(case: Case) -> None:
    p = make(case, learn_initial_state=True)
    fresh = case.new(3, 5, learn_initial_state=True).parameters()
    assert not any(np.asarray(fresh[f"{name}0"]).any() for name in case.states)
    start = p.cell.initial_state(SHAPE[1])
    assert all((s == np.asarray(p.cell.parameters()[f"{n}0"])).all() for n, s in start._asdict().items())
    y, _ = p.cell(p.x)
    given = [ur.Tensor(s, requires_grad=True) for s in start]
    y_given, _ = p.cell(p.x, p.cell.State(*given))
    assert_same_bits(np.asarray(y), np.asarray(y_given))
    assert_same_bits(p.cell.step(p.x[0])[0], np.asarray(y)[0])
    with ur.no_grad():
        assert_same_bits(np.asarray(p.cell(p.x)[0]), np.asarray(y))
    (y * ur.Tensor(p.dy)).sum().backward()
    (y_given * ur.Tensor(p.dy)).sum().backward()
    for name, s in zip(case.states, given, strict=True):
        # Sums of four rows.
        np.testing.assert_allclose(
            p.cell.parameters()[f"{name}0"].grad, s.grad.sum(axis=0), rtol=0, atol=1e-12
        )


@each
def test_options_travel_with_the_cell(case: Case, tmp_path: Any) -> None:
    p = make(case, **zoneout(case), **dropout(case, weight_dropout=0.2))
    p.cell.eval()
    ur.save(p.cell, tmp_path / "cell.safetensors")
    other = ur.load(tmp_path / "cell.safetensors")
    other.eval()
    assert other.weight_dropout == p.cell.weight_dropout
    assert_same_bits(forward(replace(p, cell=other)), forward(p))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"zoneout_h": 1.0}, ValueError, r"LSTM: zoneout_h is 1.0, expected a number in \[0, 1\)"),
        ({"recurrent_dropout": "x"}, TypeError, r"LSTM: recurrent_dropout is a str, expected a number"),
        ({"gradient_clip": 0}, ValueError, r"LSTM: gradient_clip is 0, expected a number above 0"),
        ({"learn_initial_state": 1}, TypeError, r"LSTM: learn_initial_state is a int, expected a bool"),
    ],
)
def test_wrong_options(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ur.LSTM(3, 4, **options)
    for name in ("recurrent_dropout", "weight_dropout"):
        for kind in (ur.MinimalGRU, ur.MinimalLSTM, ur.SRU, ur.BistableGRU):
            expected = f"{kind.__name__}: {name} is given, expected 0 because no matrix multiplies its past"
            with pytest.raises(ValueError, match=expected):
                kind(3, 4, **{name: 0.1})
    ur.BistableGRU(3, 4, recurrent="matrix", weight_dropout=0.1)
    with pytest.raises(ValueError, match=r"GRU: zoneout_c is given, expected 0 because its state has no c"):
        ur.GRU(3, 4, zoneout_c=0.1)
