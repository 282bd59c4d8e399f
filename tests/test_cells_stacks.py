"""Three layers, one way and both ways: against the composed reference, in values, gradients and bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unrolled as ur
from cases import CASES, Array, Case, randomize
from reference import TINY, assert_same_bits, run

T, B, I, H = 6, 5, 4, 9
# As in test_cells_values.py: rounding of sums in float64, with room for their order.
EXACT = 1e-10
LAYERS = 3
DIRECTIONS = ["forward", "reverse", "both"]
LENGTHS = np.array([6, 0, 3, 1, 5])


def make(case: Case, directions: str, dtype: Any = np.float64) -> Any:
    rng = np.random.default_rng(5)
    width = (2 if directions == "both" else 1) * case.output(H)

    def layer(size: int) -> Any:
        make_one = lambda: case.new(size, H, dtype=dtype, rng=rng)  # noqa: E731
        return ur.Bidirectional(make_one(), make_one()) if directions == "both" else make_one()

    stack = ur.Stack([layer(I), *(layer(width) for _ in range(LAYERS - 1))])
    for name, parameter in stack.parameters().items():
        randomize(parameter, rng, name)
    return stack


def cells_of(stack: Any, directions: str) -> list[tuple[Any, bool]]:
    """Every cell with whether it runs in reverse, from the first layer on, forward before backward."""
    if directions == "both":
        return [
            pair
            for layer in stack.cells
            for pair in ((layer.forward_cell, False), (layer.backward_cell, True))
        ]
    return [(layer, directions == "reverse") for layer in stack.cells]


def parameters_by_cell(stack: Any, directions: str) -> list[dict[str, str]]:
    """For every cell: short name -> dotted name in the stack, found by identity."""
    names = {id(p): name for name, p in stack.parameters().items()}
    return [
        {n: names[id(p)] for n, p in cell.parameters().items()} for cell, _ in cells_of(stack, directions)
    ]


def initial_states(case: Case, stack: Any, directions: str) -> list[tuple[Array, ...]]:
    rng = np.random.default_rng(6)

    def drawn(name: str, cell: Any) -> Array:
        values: Array = rng.normal(size=(B, case.state_size(name, H, cell.input_size))) * 0.5
        return np.abs(values) + 0.5 if name in case.positive else values

    cells = [cell for cell, _ in cells_of(stack, directions)]
    return [tuple(drawn(name, cell) for name in case.states) for cell in cells]


def reference(
    case: Case, directions: str, q: dict[str, Array], names: list[dict[str, str]], reset: Array
) -> Any:
    """Output of the last layer, final state of every cell. q: quantities by dotted name, "x" and "0.h"."""
    y, states = q["x"], []
    ways = 2 if directions == "both" else 1
    for layer in range(LAYERS):
        outputs = []
        for way in range(ways):
            cell = layer * ways + way
            p = {short: q[name] for short, name in names[cell].items()}
            state = tuple(q[f"{cell}.{s}"] for s in case.states)
            reverse = directions == "reverse" or way == 1
            out, after = run(case.step, p, y, state, LENGTHS, reset, reverse)
            outputs.append(out)
            states.append(after)
        y = np.concatenate(outputs, axis=2)
    return y, states


def nested(stack: Any, directions: str, states: list[Any]) -> tuple[Any, ...]:
    """States of the cells in the shape that the stack takes and gives."""
    cells = [cell for cell, _ in cells_of(stack, directions)]
    named = [cell.State(*s) for cell, s in zip(cells, states, strict=True)]
    if directions != "both":
        return tuple(named)
    return tuple(layer.State(*named[2 * i : 2 * i + 2]) for i, layer in enumerate(stack.cells))


def flat(directions: str, state: Any) -> list[Any]:
    return [s for pair in state for s in pair] if directions == "both" else list(state)


@pytest.mark.parametrize("directions", DIRECTIONS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_three_layers(case: Case, directions: str) -> None:
    stack = make(case, directions)
    rng = np.random.default_rng(8)
    x = rng.normal(size=(T, B, I))
    reset = rng.random((T, B)) < 0.3
    states = initial_states(case, stack, directions)
    names = parameters_by_cell(stack, directions)
    tensors = {"x": ur.Tensor(x, requires_grad=True), **stack.parameters()}
    start = [tuple(ur.Tensor(a, requires_grad=True) for a in s) for s in states]
    for i, s in enumerate(start):
        tensors.update({f"{i}.{n}": t for n, t in zip(case.states, s, strict=True)})
    options = {"reverse": True} if directions == "reverse" else {}
    y, after = stack(tensors["x"], nested(stack, directions, start), lengths=LENGTHS, reset=reset, **options)

    q = {name: np.array(np.asarray(t), np.float64) for name, t in tensors.items()}
    y_wanted, after_wanted = reference(case, directions, q, names, reset)
    assert np.abs(np.asarray(y) - y_wanted).max() < EXACT
    for actual, wanted in zip(flat(directions, after), after_wanted, strict=True):
        assert actual._fields == case.states
        for a, w in zip(actual, wanted, strict=True):
            assert np.abs(np.asarray(a) - w).max() < EXACT

    dy = rng.normal(size=y.shape)
    dstates = [tuple(rng.normal(size=a.shape) for a in s) for s in states]
    total = (y * ur.Tensor(dy)).sum()
    for s, d in zip(flat(directions, after), dstates, strict=True):
        for a, b in zip(s, d, strict=True):
            total = total + (a * ur.Tensor(b)).sum()
    total.backward()
    for name, tensor in tensors.items():
        direction = rng.normal(size=tensor.shape)
        moved: dict[str, Array] = {**q, name: q[name] + 1j * TINY * direction}
        y_moved, states_moved = reference(case, directions, moved, names, reset)
        loss = (y_moved * dy).sum()
        loss = loss + sum(
            (a * b).sum()
            for s, d in zip(states_moved, dstates, strict=True)
            for a, b in zip(s, d, strict=True)
        )
        exact = np.imag(loss) / TINY
        scale = 1 + np.linalg.norm(tensor.grad) * np.linalg.norm(direction)
        assert abs((tensor.grad * direction).sum() - exact) / scale < EXACT, name


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_stack_steps_as_it_runs(case: Case, dtype: type) -> None:
    stack = make(case, "forward", dtype)
    x = np.random.default_rng(9).normal(size=(T, B, I)).astype(dtype)
    with ur.no_grad():
        y, after = stack(x)
    state = stack.initial_state(B)
    for t in range(T):
        y_t, state = stack.step(x[t], state)
        assert_same_bits(y_t, np.asarray(y)[t], f"step {t}:")
    for a, w in zip(state, after, strict=True):
        assert_same_bits(tuple(a), tuple(map(np.asarray, w)))


@pytest.mark.parametrize("directions", DIRECTIONS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_bits_of_a_stack_at_any_thread_count_and_alone(case: Case, directions: str) -> None:
    stack = make(case, directions, np.float32)
    x = np.random.default_rng(10).normal(size=(T, B, I)).astype(np.float32)
    options = {"reverse": True} if directions == "reverse" else {}
    before = ur.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            ur.set_num_threads(count)
            for parameter in stack.parameters().values():
                parameter.grad = None
            y, _ = stack(x, lengths=LENGTHS, **options)
            y.backward(np.ones(y.shape, np.float32))
            results.append((np.asarray(y), *(p.grad for p in stack.parameters().values())))
    finally:
        ur.set_num_threads(before)
    for other in results[1:]:
        assert_same_bits(other, results[0])
    for b, n in enumerate(LENGTHS):
        with ur.no_grad():
            alone, _ = stack(x[:n, b : b + 1].copy(), **options)
        assert_same_bits(np.asarray(alone)[:, 0], results[0][0][:n, b], f"row {b}:")


def test_both_directions_do_not_step() -> None:
    both = make(CASES[3], "both").cells[0]
    with pytest.raises((TypeError, ValueError, AttributeError, RuntimeError), match="Bidirectional"):
        both.step(np.zeros((B, I)), None)
