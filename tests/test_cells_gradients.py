"""Gradients of every cell: into input, parameters and initial states, from outputs and final states."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import unrolled as ur
from cases import CASES, VARIANTS, Case
from reference import (
    Problem,
    assert_same_bits,
    directional_derivative,
    forward,
    gradients,
    loss_of,
    problem,
)

# A complex step has no truncation and no cancellation: what remains is rounding in
# sums of at most T * B * H terms.
EXACT = 1e-10
SHAPES = [
    (1, 1, 1, 1),
    (2, 3, 1, 17),
    (7, 17, 3, 33),
    (7, 1, 33, 64),
    (3, 17, 64, 3),
    (5, 40, 9, 20),
    (4, 2, 5, 150),
]
FLAGS = ["lengths", "reset", "reverse"]
MODES = [dict(zip(FLAGS, map(bool, flags), strict=True)) for flags in np.ndindex(2, 2, 2)]


def mode_name(mode: dict[str, bool]) -> str:
    return "-".join(name for name, on in mode.items() if on) or "plain"


def assert_gradients_match(p: Problem, bound: float = EXACT) -> None:
    """One random direction per quantity: a wrong term anywhere moves the projection almost surely."""
    rng = np.random.default_rng(7)
    for name, gradient in gradients(p).items():
        q = p.quantities[name]
        assert gradient.shape == q.shape, name
        assert gradient.dtype == q.dtype, name
        direction = rng.normal(size=q.shape)
        exact = directional_derivative(p, name, direction)
        scale = 1 + np.linalg.norm(gradient) * np.linalg.norm(direction)
        assert abs((gradient * direction).sum() - exact) / scale < bound, name


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("case", CASES + VARIANTS, ids=str)
def test_gradients(case: Case, shape: tuple[int, int, int, int]) -> None:
    assert_gradients_match(problem(case, shape))


@pytest.mark.parametrize("mode", MODES, ids=mode_name)
@pytest.mark.parametrize("case", CASES + VARIANTS, ids=str)
def test_gradients_with_lengths_resets_and_reverse(case: Case, mode: dict[str, bool]) -> None:
    for shape in [(1, 3, 2, 5), (7, 5, 3, 17), (5, 40, 3, 20), (6, 2, 3, 140)]:
        assert_gradients_match(problem(case, shape, **mode))


@pytest.mark.parametrize("case", CASES + VARIANTS, ids=str)
def test_every_element_of_every_gradient(case: Case) -> None:
    p = problem(case, (3, 2, 2, 3), lengths=True, reset=True, reverse=True)
    for name, gradient in gradients(p).items():
        for index in np.ndindex(gradient.shape):
            direction = np.zeros(gradient.shape)
            direction[index] = 1
            assert abs(gradient[index] - directional_derivative(p, name, direction)) < EXACT, (name, index)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_agree_with_finite_differences_of_the_cell_itself(case: Case) -> None:
    p = problem(case, (5, 3, 4, 9), lengths=True, reset=True)
    rng = np.random.default_rng(3)
    epsilon = 1e-6

    def loss(sign: int, name: str, direction: np.ndarray) -> float:
        q = {n: a.copy() for n, a in p.quantities.items()}
        q[name] += sign * epsilon * direction
        for n, parameter in p.cell.parameters().items():
            parameter.data[...] = q[n]
        moved = replace(p, x=q["x"], state=tuple(q[n + "0"] for n in case.states))
        y, state = forward(moved)
        for n, parameter in p.cell.parameters().items():
            parameter.data[...] = before[n]
        return float((y * p.dy).sum() + sum((s * d).sum() for s, d in zip(state, p.dstate, strict=True)))

    before = {n: a.copy() for n, a in p.quantities.items()}
    for name, gradient in gradients(p).items():
        direction = rng.normal(size=gradient.shape)
        numeric = (loss(1, name, direction) - loss(-1, name, direction)) / (2 * epsilon)
        # Truncation is epsilon^2 times a third derivative of order 10, cancellation 1e-16 / epsilon times
        # the loss.
        assert abs(numeric - (gradient * direction).sum()) < 1e-7 * (1 + abs(numeric)), name


@pytest.mark.parametrize("case", CASES, ids=str)
def test_float32_gradients_against_float64(case: Case) -> None:
    for shape in [(7, 17, 3, 33), (5, 3, 33, 64), (3, 40, 5, 130)]:
        p = problem(case, shape, np.float32, lengths=True, reset=True)
        T, B, I, H = shape
        exact = gradients(p.with_dtype(np.float64))
        for name, gradient in gradients(p).items():
            # As for values (see test_cells_values.py), with T * B terms more in the gradients of the
            # parameters and twice the steps, there and back.
            bound = 16 * np.finfo(np.float32).eps * np.sqrt(2 * T * (I + 4 * H) + T * B)
            assert gradient.dtype == np.float32
            assert np.abs(gradient - exact[name]).max() < bound * max(1, np.abs(exact[name]).max()), name


@pytest.mark.parametrize("part", ["y", "state", "h", "c"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradient_from_one_output_only(case: Case, part: str) -> None:
    if part in ("h", "c") and part not in case.states:
        part = case.states[0]
    p = problem(case, (4, 3, 2, 5), lengths=True)
    if part != "y":
        p.dy[...] = 0
    for name, d in zip(case.states, p.dstate, strict=True):
        if part not in ("state", name):
            d[...] = 0
    x = ur.Tensor(p.x, requires_grad=True)
    state = p.cell.State(*(ur.Tensor(s, requires_grad=True) for s in p.state))
    y, after = p.cell(x, state, **p.arguments)
    outputs = {"y": (y, p.dy), **{n: (s, d) for n, s, d in zip(case.states, after, p.dstate, strict=True)}}
    used = [part] if part != "state" else list(case.states)
    loss = sum((o * ur.Tensor(d)).sum() for o, d in (outputs[name] for name in used))
    loss.backward()
    wanted = gradients(p)
    for name, tensor in {**p.cell.parameters(), "x": x}.items():
        assert tensor.grad is not None, name
    # An unused output must act as one whose gradient is zero; -0.0 and 0.0 may differ.
    np.testing.assert_array_equal(x.grad, wanted["x"])
    for name, s in zip(case.states, state, strict=True):
        np.testing.assert_array_equal(s.grad, wanted[name + "0"])


@pytest.mark.parametrize("shape", [(0, 3, 2, 5), (4, 0, 2, 5), (0, 0, 2, 5)], ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_of_empty_calls(case: Case, shape: tuple[int, int, int, int]) -> None:
    p = problem(case, shape)
    result = gradients(p)
    for name in p.cell.parameters():
        assert result[name] is None or not result[name].any(), name
    for name, d in zip(case.states, p.dstate, strict=True):
        np.testing.assert_array_equal(result[name + "0"], d)
    assert result["x"] is None or result["x"].shape == p.x.shape


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_accumulate_and_frozen_parameters_get_none(case: Case) -> None:
    p = problem(case, (4, 3, 2, 5))
    once = {n: g.copy() for n, g in gradients(p).items() if n in p.cell.parameters()}
    loss_of(p, *p.cell(p.x, p.cell.State(*p.state))).backward()
    for name, parameter in p.cell.parameters().items():
        np.testing.assert_array_equal(parameter.grad, 2 * once[name])
        parameter.grad = None
    p.cell.W_ih.requires_grad = False
    loss_of(p, *p.cell(p.x, p.cell.State(*p.state))).backward()
    assert p.cell.W_ih.grad is None
    assert_same_bits(p.cell.b.grad, once["b"])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_into_any_subset_of_the_inputs(case: Case) -> None:
    p = problem(case, (4, 3, 2, 5), lengths=True)
    full = gradients(p)
    names = list(full)
    for wanted in names:
        tensors = {n: ur.Tensor(a.copy(), requires_grad=n == wanted) for n, a in p.quantities.items()}
        for name in p.cell.parameters():
            parameter = p.cell.parameters()[name]
            parameter.grad, parameter.requires_grad = None, name == wanted
            tensors[name] = parameter
        state = p.cell.State(*(tensors[n + "0"] for n in case.states))
        loss_of(p, *p.cell(tensors["x"], state, **p.arguments)).backward()
        for name in names:
            if name == wanted:
                assert_same_bits(tensors[name].grad, full[name], wanted)
            else:
                assert tensors[name].grad is None, (wanted, name)
        for parameter in map(tensors.get, p.quantities):
            parameter.requires_grad = True


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradient_flows_through_a_carried_state(case: Case) -> None:
    p = problem(case, (7, 5, 3, 9))
    whole = gradients(p)
    for parameter in p.cell.parameters().values():
        parameter.grad = None
    x = ur.Tensor(p.x, requires_grad=True)
    state = start = p.cell.State(*(ur.Tensor(s, requires_grad=True) for s in p.state))
    total = ur.Tensor(np.zeros(()))
    for part in (slice(0, 2), slice(2, 3), slice(3, 7)):
        y, state = p.cell(x[part], state)
        total = total + (y * ur.Tensor(p.dy[part])).sum()
    for s, d in zip(state, p.dstate, strict=True):
        total = total + (s * ur.Tensor(d)).sum()
    total.backward()
    results = {**p.cell.parameters(), "x": x, **{n + "0": s for n, s in zip(case.states, start, strict=True)}}
    for name, tensor in results.items():
        np.testing.assert_allclose(tensor.grad, whole[name], rtol=0, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_no_tape_without_a_need(case: Case) -> None:
    p = problem(case, (3, 2, 4, 5))
    with ur.no_grad():
        y, state = p.cell(ur.Tensor(p.x, requires_grad=True))
    assert not y.requires_grad
    assert not any(s.requires_grad for s in state)
    y, _ = p.cell(p.x)
    assert y.requires_grad  # the parameters want gradients
    recorded, plain = np.asarray(y), forward(replace(p, state=tuple(p.cell.initial_state(2))))[0]
    assert_same_bits(recorded, plain)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_nan_in_one_row_leaves_the_gradients_of_the_others(case: Case) -> None:
    p = problem(case, (4, 5, 3, 17))
    clean = gradients(p)
    p.x[1, 2, 0] = np.nan
    dirty = gradients(p)
    others = np.arange(5) != 2
    assert_same_bits(dirty["x"][:, others], clean["x"][:, others])
    for name in case.states:
        assert_same_bits(dirty[name + "0"][others], clean[name + "0"][others])
    assert case.missing or np.isnan(dirty["W_ih"]).any()


@pytest.mark.parametrize("H", [5, 17, 64])
@pytest.mark.parametrize("case", [c for c in CASES if c.bounded], ids=str)
def test_gates_that_an_infinite_input_saturates_give_finite_gradients(case: Case, H: int) -> None:
    p = problem(case, (3, 2, 4, H))
    p.x[1, 0, 2] = np.inf
    assert np.isfinite(forward(p)[0]).all()
    with np.errstate(invalid="ignore"):
        found = gradients(p)
    for name, gradient in found.items():
        if name != "W_ih":  # there, an infinite input times a gradient of 0
            assert np.isfinite(gradient).all(), name


def test_resets_may_change_before_backward() -> None:
    p = problem(CASES[-1], (5, 3, 4, 9), reset=True)
    wanted = gradients(p)
    x = ur.Tensor(p.x, requires_grad=True)
    reset = p.reset.copy()
    loss = loss_of(p, *p.cell(x, p.cell.State(*p.state), reset=reset))
    reset[...] = ~reset
    loss.backward()
    np.testing.assert_array_equal(x.grad, wanted["x"])
