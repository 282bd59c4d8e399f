"""Stacks with a tape: one op, layers in a pipeline there and back, the bits and gradients of the long way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unrolled as ur
from cases import CASES, Case
from unrolled._native import core
from unrolled.layers import stack as stacks
from unrolled.layers.quick import stacked_with_tape


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What every attempt at the quick way came to: its result, or None."""
    seen: list[Any] = []

    def watched(*arguments: Any) -> Any:
        seen.append(stacked_with_tape(*arguments))
        return seen[-1]

    monkeypatch.setattr(stacks, "stacked_with_tape", watched)
    return seen


def leaves(state: Any) -> list[Any]:
    return [leaf for part in state for leaf in leaves(part)] if isinstance(state, tuple) else [state]


def everything(
    stack: ur.Stack, x: np.ndarray, state: Any = None, *, only_last: bool = False
) -> list[np.ndarray]:
    """y, the last states, and the gradients of x, the states and the parameters."""
    source = ur.Tensor(x, requires_grad=True)
    if state is not None:
        state = tuple(type(s)(*[ur.Tensor(a, requires_grad=True) for a in s]) for s in state)
    y, last = stack(source, state)
    loss = 0 if only_last else (y * y).sum()
    for s in leaves(last):
        loss = loss + (s * s * s).sum()
    loss.backward()
    read = [source, *(leaves(state) if state else []), *stack.parameters().values()]
    gradients = [tensor.grad for tensor in read]
    for tensor in read:
        tensor.grad = None
    return [np.array(y), *map(np.array, leaves(last)), *[g for g in gradients if g is not None]]


def assert_as_the_long_way(stack: ur.Stack, *arguments: Any, monkeypatch: Any, **options: Any) -> None:
    ours = everything(stack, *arguments, **options)
    with monkeypatch.context() as patch:
        patch.setattr(stacks, "stacked_with_tape", lambda *arguments: None)
        theirs = everything(stack, *arguments, **options)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


def sequences(T: int, B: int, columns: int, dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((T, B, columns)).astype(dtype)


@pytest.mark.parametrize(("rows", "one_op"), [(40, True), (3, False)])
def test_rows_of_a_large_table_are_read_as_any_x(rows: int, one_op: bool, made: list[Any]) -> None:
    embedding, stack = ur.Embedding(rows, 6), ur.Stack([ur.LSTM(6, 5), ur.GRU(5, 4)])
    ids = np.random.default_rng(0).integers(0, 3, (9, 2))
    y, _ = stack(embedding(ids))
    assert (made[-1] is not None) == one_op
    np.testing.assert_allclose(y, stack(np.asarray(embedding.W)[ids])[0], rtol=1e-6)
    y.sum().backward()
    assert embedding.W.grad is not None


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("T", "B"), [(0, 2), (1, 1), (11, 1), (12, 1), (13, 3), (61, 1), (97, 7), (60, 8), (4, 0)]
)
def test_mixed_layers(
    count: int, T: int, B: int, dtype: Any, threads: Any, made: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads(count)
    rng = np.random.default_rng(0)
    sizes = {"dtype": dtype, "rng": rng}
    stack = ur.Stack([ur.LSTM(20, 60, **sizes), ur.GRU(60, 50, **sizes), ur.LayerNormRNN(50, 40, **sizes)])
    state = tuple(
        type(s)(*[rng.standard_normal(a.shape).astype(dtype) for a in s]) for s in stack.initial_state(B)
    )
    for given in (None, state):
        assert_as_the_long_way(stack, sequences(T, B, 20, dtype), given, monkeypatch=monkeypatch)
    assert len(made) == 2 and None not in made


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_cell(case: Case, two_threads: None, made: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    below = case.new(20, 20, rng=rng)
    stack = ur.Stack([below, ur.RNN(below.output_size, 20, rng=rng), case.new(20, 20, rng=rng)])
    for only_last in (False, True):
        assert_as_the_long_way(stack, sequences(70, 3, 20), only_last=only_last, monkeypatch=monkeypatch)
    own_call = type(below).forward is not ur.RNN.forward  # with dt, or a mask
    assert len(made) == 2 and (None in made) == own_call


def test_weights_that_change_between_calls(two_threads: None, made: list[Any]) -> None:
    rng = np.random.default_rng(0)
    stack, x = ur.Stack([ur.LSTM(20, 60, rng=rng), ur.LSTM(60, 60, rng=rng)]), sequences(100, 1, 20)
    fresh = ur.Stack([ur.LSTM(20, 60), ur.LSTM(60, 60)])
    optimizer = ur.SGD(stack, 0.1)
    for _ in range(3):
        stack(x)[0].sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    for name, parameter in stack.parameters().items():
        fresh.parameters()[name].data[...] = parameter.data
    np.testing.assert_array_equal(np.array(stack(x)[0]), np.array(fresh(x)[0]))
    assert None not in made


def test_long_ways(made: list[Any]) -> None:
    x = sequences(5, 2, 20)

    def new(**options: Any) -> ur.Stack:
        return ur.Stack([ur.LSTM(20, 20, **options), ur.GRU(20, 20)])

    frozen, dropping, clipped = (
        new(),
        ur.Stack([ur.LSTM(20, 20), ur.GRU(20, 20)], dropout=0.5),
        new(gradient_clip=1.0),
    )
    frozen.cells[0].W_ih.requires_grad = False
    for stack in (frozen, dropping, clipped):
        stack(x)[0].sum().backward()
        assert all(p.grad is not None for p in stack.parameters().values() if p.requires_grad)
    new()(x, lengths=np.array([5, 3]))[0].sum().backward()
    assert made == [None, None]  # frozen and clipped; the others did not try
    dropping.eval()(x)[0].sum().backward()
    assert made[-1] is not None


def test_wrong_arguments_name_the_layer() -> None:
    stack = ur.Stack([ur.LSTM(20, 20), ur.GRU(20, 20)])
    with pytest.raises(ValueError, match="LSTM: x has shape"):
        stack(sequences(5, 2, 21))
    with pytest.raises(ValueError, match="GRU: state is a tuple of 2"):
        stack(sequences(5, 2, 20), (None, (np.zeros((2, 20), np.float32),) * 2))


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("used", ["both", "forwards", "backwards", "last"])
def test_both_directions(case: Case, used: str, two_threads: None, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    both = ur.Bidirectional(case.new(20, 30, rng=rng), ur.GRU(20, 30, rng=rng))
    x, width = sequences(50, 2, 20), both.forward_cell.output_size
    state = tuple(
        type(s)(*[rng.standard_normal(a.shape).astype(a.dtype) * 0.1 + 1 for a in s])
        for s in both.initial_state(2)
    )

    def run(given: Any) -> list[Any]:
        source = ur.Tensor(x, requires_grad=True)
        if given is not None:
            given = tuple(type(s)(*[ur.Tensor(a, requires_grad=True) for a in s]) for s in given)
        y, last = both(source, given)
        parts = {"both": y, "forwards": y[..., :width], "backwards": y[..., width:], "last": last[1].h}
        (parts[used] * parts[used]).sum().backward()
        read = [source, *leaves(tuple(given or ())), *both.parameters().values()]
        gradients = [tensor.grad for tensor in read]
        for tensor in read:
            tensor.grad = None
        return [np.array(y), *map(np.array, leaves(tuple(last))), *gradients]

    ours = [*run(None), *run(state)]
    with monkeypatch.context() as patch:
        patch.setattr("unrolled.layers.bidirectional.side_by_side_with_tape", lambda *arguments: None)
        theirs = [*run(None), *run(state)]
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) <= (used in ("forwards", "last"))
        np.testing.assert_array_equal(0 if a is None else a, 0 if b is None else b)


def test_native_calls_count_what_they_get() -> None:
    rng = np.random.default_rng(0)
    both, stack = (
        ur.Bidirectional(ur.RNN(20, 5, rng=rng), ur.RNN(20, 5, rng=rng)),
        ur.Stack([ur.RNN(20, 5, rng=rng)]),
    )
    x = sequences(4, 2, 20)
    both(x), stack(x)
    cells = both.forward_cell, both.backward_cell
    recorders, weights = [cell._recorder[0] for cell in cells], [cell._weights() for cell in cells]
    none = [None, None]
    source = ur.Tensor(x, requires_grad=True)
    shapes = [(4, 2, 20), None, (5, 20), (5, 5), (5,)]
    for columns in (0, 10):
        ys, last = core.record_beside(source, recorders, none, weights, [False, True], none, columns)
        vjp, dy, dh = ys[-1]._node.vjp, np.array(ys[-1]), np.array(last[1].h)
        with pytest.raises(ValueError, match="expected"):
            vjp([dy, dh])
        if columns:
            assert [a if a is None else a.shape for a in vjp([None, None, dh])] == [None] * 5 + shapes
        else:
            assert [a if a is None else a.shape for a in vjp([None, None, dy, dh])] == [None] * 5 + shapes
    for columns in (9, 5, 1, 11, 20, -10):
        with pytest.raises(ValueError, match="do not fit one array"):
            core.record_beside(source, recorders, none, weights, [False, True], none, columns)
    with pytest.raises(ValueError, match="dy"):
        core.record_beside(source, recorders, none, weights, [False, True], none, 10)[0][0]._node.vjp(
            [dh] * 3
        )
    with pytest.raises(ValueError, match="at least one cell"):
        core.record_stack(x, [], [], [], [])
    with pytest.raises(ValueError, match="None"):
        core.record_stack(x, [None], [None], weights[:1], [None])
    for kernel, more in ((core.stacked, ()), (core.side_by_side, ([False], 0))):
        with pytest.raises(ValueError, match="None"):
            kernel(x, [None], [None], *more)
    with pytest.raises((ValueError, IndexError)):
        core.record_beside(x, recorders, [None], weights, [False], [None], 0)
