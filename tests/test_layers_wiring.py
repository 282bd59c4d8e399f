"""Every layer around recurrent layers: values and gradients against NumPy, steps, padding, threads, files, copies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unrolled as ur
from reference import TINY, assert_same_bits
from roundtrip import WAYS, came_back
from wiring_cases import CASES, WiringCase

T, B, I = 7, 4, 5
each_case = pytest.mark.parametrize("case", CASES, ids=str)
HOW = ["plain", "lengths", "reset", "reverse", "all"]


def arrays(tree: Any) -> list[Any]:
    """The arrays of nested tuples, in order."""
    return [a for part in tree for a in arrays(part)] if isinstance(tree, tuple) else [np.asarray(tree)]


def like(tree: Any, leaves: Any) -> Any:
    """Nested tuples as `tree`, with the next leaf in the place of every array."""
    if not isinstance(tree, tuple):
        return next(leaves)
    parts = [like(part, leaves) for part in tree]
    return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)


def arguments(case: WiringCase, how: str) -> dict[str, Any]:
    rng = np.random.default_rng(4)
    given: dict[str, Any] = {}
    if how in ("lengths", "all"):
        given["lengths"] = np.array([7, 0, 5, 2])
    if how in ("reset", "all"):
        given["reset"] = (rng.random((T, B)) < 0.4) & (np.arange(T)[:, None] % case.pairs == 0)
    if how in ("reverse", "all"):
        given["reverse"] = True
    return given


def problem(case: WiringCase, dtype: Any = np.float64) -> tuple[Any, Any, Any]:
    """A layer, its input and its initial state."""
    rng = np.random.default_rng(1)
    layer = case.layer(dtype)
    x = rng.standard_normal((T, B, I)).astype(dtype)
    start = layer.initial_state(B)
    return layer, x, like(start, (rng.normal(size=a.shape).astype(dtype) * 0.7 for a in iter(arrays(start))))


def call(layer: Any, x: Any, state: Any, **given: Any) -> tuple[Any, Any]:
    """y and the last state; lengths that are returned are checked."""
    y, last, *lengths = layer(x, state, **given)
    if lengths:
        n = given.get("lengths", np.full(B, T))
        for _ in layer.cells[1:]:
            n = -(-n // 2)
        np.testing.assert_array_equal(lengths[0], n)
    return y, last


@pytest.mark.parametrize("how", HOW)
@each_case
def test_values_are_those_of_the_reference(case: WiringCase, how: str) -> None:
    layer, x, state = problem(case)
    given = arguments(case, how)
    y, last = call(layer, x, state, **given)
    p = {name: np.asarray(t) for name, t in layer.parameters().items()}
    wanted, wanted_last = case.reference(p, x, state, **given)
    assert y.shape == wanted.shape
    # Sums of a dozen terms of size one in three layers, rounded at every step.
    np.testing.assert_allclose(y, wanted, atol=1e-13)
    for ours, theirs in zip(arrays(last), arrays(wanted_last), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-13)


@pytest.mark.parametrize("how", HOW)
@each_case
def test_gradients_are_those_of_the_reference(case: WiringCase, how: str) -> None:
    rng = np.random.default_rng(2)
    layer, x, state = problem(case)
    given = arguments(case, how)
    leaves = {"x": x, **{f"state {i}": a for i, a in enumerate(arrays(state))}}
    tensors = {name: ur.Tensor(a, requires_grad=True) for name, a in leaves.items()}
    states = like(state, (t for name, t in tensors.items() if name != "x"))
    y, last = call(layer, tensors["x"], states, **given)
    parts = [y, *(t for t in flat(last) if isinstance(t, ur.Tensor))]
    weights = [rng.standard_normal(part.shape) for part in parts]
    sum(((part * w).sum() for part, w in zip(parts, weights, strict=True)), ur.Tensor(0.0)).backward()
    tensors.update(layer.parameters())
    values = {name: np.asarray(t) for name, t in tensors.items()}

    def loss(q: dict[str, Any]) -> Any:
        start = like(state, (q[name] for name in leaves if name != "x"))
        p = {name: q[name] for name in layer.parameters()}
        wanted, wanted_last = case.reference(p, q["x"], start, **given)
        return sum((a * w).sum() for a, w in zip([wanted, *flat(wanted_last)], weights, strict=True))

    for name, tensor in tensors.items():
        direction = rng.standard_normal(tensor.shape)
        moved = {**values, name: values[name] + 1j * TINY * direction}
        actual = 0.0 if tensor.grad is None else float((tensor.grad * direction).sum())
        # Both are exact to rounding; the sums have some hundred terms of size one.
        assert actual == pytest.approx(loss(moved).imag / TINY, rel=1e-9, abs=1e-10), name


def flat(tree: Any) -> list[Any]:
    return [a for part in tree for a in flat(part)] if isinstance(tree, tuple) else [tree]


@each_case
def test_float32_stays_near_float64(case: WiringCase) -> None:
    results = []
    for dtype in (np.float32, np.float64):
        layer, x, state = problem(case, dtype)
        x = ur.Tensor(x, requires_grad=True)
        y, last = call(layer, x, state, **arguments(case, "all"))
        assert y.dtype == dtype
        y.backward(np.ones(y.shape, dtype))
        results.append([y, *flat(last), x.grad, *(p.grad for p in layer.parameters().values())])
    for single, double in zip(*results, strict=True):
        # 6e-8 per rounding, some hundred of them in sums of a few units.
        np.testing.assert_allclose(np.asarray(single), np.asarray(double), rtol=1e-4, atol=1e-4)


@each_case
def test_steps_and_parts_equal_the_whole(case: WiringCase) -> None:
    layer, x, state = problem(case, np.float32)
    if not case.streams:
        with pytest.raises(TypeError, match="there is no step"):
            layer.step(x[0], state)
        return
    whole, last = layer(x, state)
    first, middle = layer(x[:3], state)
    second, end = layer(x[3:], middle)
    assert_same_bits(np.concatenate([np.asarray(first), np.asarray(second)]), np.asarray(whole))
    assert_same_bits(tuple(arrays(end)), tuple(arrays(last)))
    for t in range(T):
        y_t, state = layer.step(x[t], state)
        assert_same_bits(y_t, np.asarray(whole)[t])
    assert_same_bits(tuple(arrays(state)), tuple(arrays(last)))
    assert_same_bits(layer.step(x[0])[0], np.asarray(layer(x[:1])[0])[0])


@each_case
def test_padding_is_not_read_and_gives_zeros(case: WiringCase) -> None:
    layer, x, state = problem(case, np.float32)
    lengths = np.array([7, 0, 5, 2])
    y, last, *shorter = layer(x, state, lengths)
    spoilt = x.copy()
    for b, n in enumerate(lengths):
        spoilt[n:, b] = np.nan
    spoilt = ur.Tensor(spoilt, requires_grad=True)
    again, end = layer(spoilt, state, lengths)[:2]
    assert_same_bits(np.asarray(again), np.asarray(y))
    assert_same_bits(tuple(arrays(end)), tuple(arrays(last)))
    again.sum().backward()
    for b, n in enumerate(lengths):
        assert not spoilt.grad[n:, b].any()
        assert not np.asarray(y)[shorter[0][b] if shorter else n :, b].any()
    for name, parameter in layer.parameters().items():
        assert np.isfinite(parameter.grad).all(), name


@each_case
def test_a_row_alone_and_any_number_of_threads_give_the_same_bits(case: WiringCase, threads: Any) -> None:
    layer, x, state = problem(case, np.float32)
    given = arguments(case, "lengths")
    seen = []
    for count in (1, 3):
        threads(count)
        for parameter in layer.parameters().values():
            parameter.grad = None
        y = layer(x, state, **given)[0]
        y.backward(np.ones(y.shape, np.float32))
        seen.append((np.asarray(y), *(p.grad for p in layer.parameters().values())))
    assert_same_bits(seen[1], seen[0])
    one = layer(x[:, 2:3], like(state, (a[2:3] for a in iter(arrays(state)))), lengths=given["lengths"][2:3])[
        0
    ]
    assert_same_bits(np.asarray(one)[:, 0], seen[0][0][:, 2])


@pytest.mark.parametrize("how", WAYS)
@each_case
def test_layers_come_back(case: WiringCase, how: str, tmp_path: Any) -> None:
    layer, x, state = problem(case, np.float32)
    again = came_back(layer, how, tmp_path)
    assert repr(layer).startswith(type(layer).__name__)
    assert_same_bits(np.asarray(again(x, state)[0]), np.asarray(layer(x, state)[0]))


@each_case
def test_empty_sequences_and_batches(case: WiringCase) -> None:
    layer = case.layer(np.float32)
    for steps, rows in ((0, 2), (3, 0), (0, 0)):
        y, last = layer(np.zeros((steps, rows, I), np.float32))[:2]
        assert y.shape[1:] == (rows, layer.output_size)
        for ours, start in zip(arrays(last), arrays(layer.initial_state(rows)), strict=True):
            assert ours.shape == start.shape
