"""`recompute`: a call in segments, run again in backward, gives the outputs and gradients of the whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unrolled as ur
from cases import CASES, Case
from reference import assert_same_bits, gradients, problem

OPTIONS: list[dict[str, bool]] = [
    {},
    {"lengths": True},
    {"lengths": True, "reset": True},
    {"reverse": True},
    {"lengths": True, "reset": True, "reverse": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_are_those_of_the_whole(case: Case, options: dict[str, bool]) -> None:
    p = problem(case, (10, 5, 3, 20), **options)
    whole = gradients(p)
    names = {
        "x",
        *(f"{name}0" for name in case.states),
    }  # of one row each; those of parameters sum over segments
    for steps in (True, 1, 3, 9, 10, 99):
        p.cell.recompute = steps
        segmented = gradients(p)
        assert_same_bits(
            {n: segmented[n] for n in names}, {n: whole[n] for n in names}, f"recompute={steps}:"
        )
        for name in whole.keys() - names:
            # float64 sums over 50 places in another order
            np.testing.assert_allclose(segmented[name], whole[name], rtol=1e-12, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_outputs_have_the_same_bits_at_any_thread_count(dtype: type, two_threads: None) -> None:
    p = problem(CASES[0], (40, 24, 30, 80), dtype)
    x = ur.Tensor(p.x, requires_grad=True)
    whole = p.cell(x)[0].data
    p.cell.recompute = True
    for count in (1, 2):
        ur.set_num_threads(count)
        assert_same_bits(p.cell(x)[0].data, whole)


@pytest.mark.parametrize(("steps", "error"), [(0, ValueError), ("x", TypeError), (None, TypeError)])
def test_bad_steps(steps: Any, error: type[Exception]) -> None:
    cell = ur.LSTM(2, 3)
    for act in (lambda: ur.RNN(2, 3, recompute=steps), lambda: setattr(cell, "recompute", steps)):
        with pytest.raises(error, match="recompute is "):
            act()
    assert cell.recompute is False


def test_a_bool_of_numpy_is_a_bool() -> None:
    cell = ur.LSTM(2, 3)
    x = ur.Tensor(np.zeros((4, 1, 2), np.float32), requires_grad=True)
    for flag in (np.True_, np.False_):
        cell.recompute = flag
        assert cell(x)[0].shape == (4, 1, 3)


def test_no_steps_and_no_rows() -> None:
    cell = ur.LSTM(2, 3)
    cell.recompute = True
    for shape in [(0, 2, 2), (3, 0, 2)]:
        x = ur.Tensor(np.zeros(shape, np.float32), requires_grad=True)
        cell(x)[0].sum().backward()
        assert not cell.W_ih.grad.any() and x.grad.shape == shape


def test_both_directions_at_the_same_time_have_the_bits_of_each_alone(two_threads: None) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 3, 40)).astype(np.float32)
    dy = rng.standard_normal((60, 3, 144)).astype(np.float32)
    lengths = np.array([60, 0, 31])
    there, back = ur.LSTM(40, 80, rng=rng), ur.GRU(40, 64, rng=rng)

    def results(count: int, together: bool) -> dict[str, Any]:
        ur.set_num_threads(count)
        both = ur.Bidirectional(there, back)
        parameters = both.parameters()
        both.zero_grad()
        tensor = ur.Tensor(x, requires_grad=True)
        if together:
            y = both(tensor, lengths=lengths)[0]
        else:
            y = ur.concat(
                [there(tensor, lengths=lengths)[0], back(tensor, lengths=lengths, reverse=True)[0]], axis=-1
            )
        y.backward(dy)
        return {"y": y.data, "x": tensor.grad, **{n: p.grad for n, p in parameters.items()}}

    wanted = results(1, False)
    for count in (1, 2, 3):
        assert_same_bits(results(count, True), wanted, f"{count} threads:")


def test_a_direction_without_a_gradient_is_left_out() -> None:
    both = ur.Bidirectional(ur.GRU(2, 3), ur.GRU(2, 3))
    both.backward_cell.freeze()
    y, _ = both(np.zeros((4, 2, 2), np.float32))
    y.sum().backward()
    assert both.forward_cell.b.grad.any() and both.backward_cell.b.grad is None
    both.unfreeze()
    both.zero_grad()
    _, state = both(np.ones((4, 2, 2), np.float32))
    state.backward.h.sum().backward()
    assert both.backward_cell.W_ih.grad.any() and both.forward_cell.W_ih.grad is None
