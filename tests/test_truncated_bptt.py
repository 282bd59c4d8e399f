"""Truncated BPTT against explicit truncation: which losses, through which steps, from which states."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unrolled as ur
from cases import CASES
from reference import TINY, run
from steps import lstm

T, B, I, H = 11, 3, 4, 5
LSTM = next(case for case in CASES if case.name == "LSTM")


def squares(y: Any, targets: Any, mask: Any = None) -> Any:
    return ur.mean_squared_error(y, targets, mask=mask, reduction="sum")


def problem(how: str = "plain") -> Any:
    rng = np.random.default_rng(0)
    cell = LSTM.make(I, H)
    x, targets = rng.standard_normal((T, B, I)), rng.standard_normal((T, B, H))
    state = cell.State(*rng.standard_normal((2, B, H)))
    given: dict[str, Any] = {}
    if how == "lengths":
        given["lengths"] = np.array([11, 4, 0])
    if how == "reset":
        given["reset"] = rng.random((T, B)) < 0.3
    return cell, x, targets, state, given


def gradients(cell: Any) -> dict[str, Any]:
    found = {name: p.grad for name, p in cell.parameters().items()}
    cell.zero_grad()
    return found


def explicit(values: Any, frozen: Any, bounds: Any, arrays: Any, given: Any) -> Any:
    """Cost, outputs and last state of steps first .. end - 1, run from `start` on; `frozen`: the state there."""
    (start, first, end), (x, targets) = bounds, arrays
    y, after = run(lstm, values, x[start:end], frozen, **piece(given, start, end))
    y = y[first - start :]
    counted = (np.arange(first, end)[:, None] < given.get("lengths", T))[..., None]
    return (counted * (y - targets[first:end]) ** 2).sum(), y, after


def piece(given: Any, start: int, end: int) -> dict[str, Any]:
    """The arguments of the call for steps start .. end - 1."""
    part = {}
    if "lengths" in given:
        part["lengths"] = np.clip(given["lengths"] - start, 0, end - start)
    if "reset" in given:
        part["reset"] = given["reset"][start:end]
    return part


@pytest.mark.parametrize("how", ["plain", "lengths", "reset"])
@pytest.mark.parametrize(("k1", "k2"), [(1, 1), (3, 3), (2, 5), (1, 4), (4, 6), (3, 20), (20, 20)])
def test_parts_are_those_of_explicit_truncation(k1: int, k2: int, how: str) -> None:
    cell, x, targets, state, given = problem(how)
    values = {name: np.asarray(p) for name, p in cell.parameters().items()}
    parts = ur.patterns.truncated_bptt(cell, x, targets, squares, k1=k1, k2=k2, state=state, **given)
    count = 0
    for j, part in enumerate(parts):
        first, end = j * k1, min((j + 1) * k1, T)
        start = max(0, first + k1 - k2)
        assert (part.start, part.first, part.last) == (start, first, end - 1)
        # The state at the start is a constant; everything from there on depends on the parameters.
        _, frozen = run(lstm, values, x[:start], tuple(state), **piece(given, 0, start))
        fixed = (frozen, (start, first, end), (x, targets), given)
        wanted, y, after = explicit(values, *fixed)
        assert part.loss.item() == pytest.approx(wanted, rel=1e-12)
        np.testing.assert_allclose(part.y, y, atol=1e-14)
        np.testing.assert_allclose(part.state.c, after[1], atol=1e-14)
        assert not part.state.h.requires_grad
        part.loss.backward()
        for name, gradient in gradients(cell).items():
            direction = np.random.default_rng(1).standard_normal(gradient.shape)
            moved = {**values, name: values[name] + 1j * TINY * direction}
            slope = explicit(moved, *fixed)[0].imag / TINY
            assert (gradient * direction).sum() == pytest.approx(slope, rel=1e-9, abs=1e-11), (name, j)
        count += 1
    assert count == -(-T // k1)


def test_parts_add_up_to_the_whole_where_nothing_is_cut() -> None:
    cell, x, targets, state, _ = problem()
    squares(cell(x, state)[0], targets).backward()
    wanted = gradients(cell)
    for k1 in (1, 4, T):
        for part in ur.patterns.truncated_bptt(cell, x, targets, squares, k1=k1, k2=2 * T, state=state):
            part.loss.backward()
        for name, gradient in gradients(cell).items():
            np.testing.assert_allclose(gradient, wanted[name], rtol=1e-12, atol=1e-12)


def test_training_goes_on_from_the_state_of_the_part_before() -> None:
    results = []
    for explicit in (True, False):
        cell, x, targets, state, _ = problem()
        output = ur.Linear(H, H, dtype=np.float64, rng=np.random.default_rng(2))
        optimizer = ur.SGD({**cell.parameters(), "W": output.W, "b": output.b}, lr=0.01)
        if explicit:
            for t in range(0, T, 3):
                y, after = cell(x[t : t + 3], state)
                optimizer.zero_grad()
                squares(output(y), targets[t : t + 3]).backward()
                optimizer.step()
                state = cell.State(after.h.detach(), after.c.detach())
        else:
            for part in ur.patterns.truncated_bptt(
                cell, x, targets, squares, k1=3, k2=3, state=state, output=output
            ):
                optimizer.zero_grad()
                part.loss.backward()
                optimizer.step()
        results.append(np.concatenate([np.asarray(cell.W_hh).ravel(), np.asarray(output.W).ravel()]))
    np.testing.assert_array_equal(*results)


def test_the_first_state_is_cut_from_what_made_it() -> None:
    cell, x, targets, *_ = problem()
    encoder = LSTM.make(I, H, seed=3)
    _, made = encoder(x)
    parts = list(ur.patterns.truncated_bptt(cell, x, targets, squares, k1=2, k2=6, state=made))
    assert [part.start for part in parts[:4]] == [0, 0, 0, 2]
    for (
        part
    ) in parts:  # three of them start from the state given: a graph behind it would be freed by the first
        part.loss.backward()
    assert encoder.W_hh.grad is None


def test_a_learned_first_state_gets_gradients_of_the_parts_that_start_there() -> None:
    cell, x, targets, state, _ = problem()
    learned = cell.State(*(ur.Tensor(s, requires_grad=True) for s in state))
    for part in ur.patterns.truncated_bptt(cell, x, targets, squares, k1=3, k2=6, state=learned):
        part.loss.backward()
    again = cell.State(*(ur.Tensor(s, requires_grad=True) for s in state))
    y, _ = cell(x[:6], again)  # the first two parts
    squares(y, targets[:6]).backward()
    for one, other in zip(learned, again, strict=True):
        np.testing.assert_allclose(one.grad, other.grad, rtol=1e-12)


def test_an_overlap_runs_again_with_the_parameters_as_they_are() -> None:
    cell, x, targets, state, _ = problem()
    old = {name: np.asarray(p).copy() for name, p in cell.parameters().items()}
    parts = ur.patterns.truncated_bptt(cell, x, targets, squares, k1=2, k2=4, state=state)
    next(parts), next(parts)
    cell.W_hh.data[...] *= 0.5
    third = next(parts)  # steps 2 to 5, from the state after step 1
    _, at_start = run(lstm, old, x[:2], tuple(state))
    now = {name: np.asarray(p) for name, p in cell.parameters().items()}
    y, _ = run(lstm, now, x[2:6], at_start)
    np.testing.assert_allclose(third.y, y[2:], atol=1e-14)


def test_models_and_stacks_of_symbols() -> None:
    rng = np.random.default_rng(0)
    stack = ur.Stack([ur.GRU(4, 6, rng=rng), ur.LSTM(6, 5, rng=rng)])
    x = rng.standard_normal((7, 2, 4)).astype(np.float32)
    targets = rng.integers(0, 5, (7, 2))
    whole, last = stack(x)
    parts = list(ur.patterns.truncated_bptt(stack, x, targets, ur.cross_entropy, k1=2, k2=3))
    np.testing.assert_array_equal(np.concatenate([np.asarray(part.y) for part in parts]), whole)
    np.testing.assert_array_equal(parts[-1].state[1].c, last[1].c)
    for part in parts:
        assert part.loss.item() == pytest.approx(
            ur.cross_entropy(
                np.asarray(whole)[part.first : part.last + 1], targets[part.first : part.last + 1]
            ).item()
        )
    assert list(ur.patterns.truncated_bptt(stack, x[:0], targets[:0], ur.cross_entropy, k1=2, k2=3)) == []


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"k1": 3, "k2": 2}, ValueError, "truncated_bptt: k2 is 2, expected at least k1=3"),
        ({"k1": 0}, ValueError, "truncated_bptt: k1 is 0, expected at least 1"),
        ({"k2": 2.0}, TypeError, "truncated_bptt: k2 is a float, expected an int"),
        ({"targets": np.zeros((3, B, H))}, ValueError, "targets have 3 steps, expected 11 as x has"),
        ({"lengths": [12, 0, 0]}, ValueError, "truncated_bptt: lengths has 12"),
        ({"reset": np.zeros((2, B), bool)}, ValueError, "truncated_bptt: reset has shape"),
    ],
)
def test_bad_arguments(change: Any, error: type[Exception], message: str) -> None:
    cell, x, targets, *_ = problem()
    arguments = {"x": x, "targets": targets, "k1": 2, "k2": 4, **change}
    with pytest.raises(error, match=message):
        ur.patterns.truncated_bptt(cell, arguments.pop("x"), arguments.pop("targets"), squares, **arguments)


def test_a_layer_that_reads_both_ways_is_refused() -> None:
    rng = np.random.default_rng(0)
    both = ur.Bidirectional(ur.GRU(4, 3, rng=rng), ur.GRU(4, 3, rng=rng))
    for layer in (both, ur.Stack([both, ur.LSTM(6, 5, rng=rng)])):
        with pytest.raises(
            TypeError, match=f"truncated_bptt: {type(layer).__name__} reads both ways, expected"
        ):
            ur.patterns.truncated_bptt(
                layer, np.zeros((4, 1, 4), np.float32), np.zeros((4, 1)), squares, k1=1, k2=2
            )


def test_a_layer_that_joins_steps_is_refused() -> None:
    pyramid = ur.Pyramid([ur.GRU(4, 3), ur.GRU(6, 3)])
    for layer in (pyramid, ur.Sequential(pyramid, ur.Linear(3, 1))):
        with pytest.raises(
            TypeError, match=f"truncated_bptt: {type(layer).__name__} joins steps, expected .* every step"
        ):
            ur.patterns.truncated_bptt(
                layer, np.zeros((4, 1, 4), np.float32), np.zeros((4, 1)), squares, k1=1, k2=2
            )
