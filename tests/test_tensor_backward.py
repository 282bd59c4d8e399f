"""Backward: what reaches the leaves, what is freed, what a wrong or broken vjp does."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import unrolled as ur
from unrolled import ops
from unrolled._native import core
from unrolled.tensor import Tensor, record


def leaf(*shape: int) -> Tensor:
    return Tensor(np.random.default_rng(0).standard_normal(shape), requires_grad=True)


def test_gradients_accumulate_in_arrays_of_their_own() -> None:
    x = leaf(3)
    (x * 2).sum().backward()
    first = x.grad
    (x * 3).sum().backward()
    np.testing.assert_array_equal(first, np.full(3, 2.0))
    np.testing.assert_array_equal(x.grad, np.full(3, 5.0))
    x.grad = None
    assert x.grad is None


def test_backward_from_a_leaf_and_with_a_given_gradient() -> None:
    x = leaf(2, 2)
    dy = np.arange(4.0).reshape(2, 2)
    x.backward(dy)
    np.testing.assert_array_equal(x.grad, dy)
    assert not np.shares_memory(x.grad, dy)
    y = x + 0
    y.backward(dy)
    np.testing.assert_array_equal(x.grad, 2 * dy)
    x.sum().backward(3)
    np.testing.assert_array_equal(x.grad, 2 * dy + 3)


def test_a_shared_part_is_differentiated_once() -> None:
    calls = []
    x = leaf(2)

    def vjp(gradients):
        calls.append(gradients[0])
        return (gradients[0] * 2,)

    (y,) = record("double", [x], [x._data * 2], vjp)
    (y * y + y.sum() + y[0]).sum().backward()
    assert len(calls) == 1
    np.testing.assert_allclose(x.grad, 2 * (2 * y._data + 2 + np.array([2, 0])))


def test_the_graph_is_freed_by_backward() -> None:
    x = leaf(2)
    y = ops.tanh(x * 2)
    z, w = y.sum(), y.mean()
    node = weakref.ref(y._node)
    z.backward()
    with pytest.raises(RuntimeError, match="freed by an earlier backward"):
        w.backward()
    with pytest.raises(RuntimeError, match="freed by an earlier backward"):
        z.backward()
    del y, z, w
    gc.collect()
    assert node() is None


def test_dropping_a_result_frees_its_graph_without_the_collector() -> None:
    gc.disable()
    try:
        y = ops.tanh(leaf(2) * 2).sum()
        node = weakref.ref(y._node)
        del y
        assert node() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("finish", ["backward", "drop"])
def test_graphs_of_a_hundred_thousand_nodes(finish: str) -> None:
    x = leaf()
    y = x
    for _ in range(100_000):
        y = y + x
    if finish == "backward":
        y.backward()
        assert x.grad == 100_001
    del y


def test_several_outputs_and_unused_ones() -> None:
    x = leaf(3)
    seen = []

    def vjp(gradients):
        seen.extend(gradients)
        return (gradients[0] * 2,)

    twice, _thrice, index = record(
        "multiples", [x, None], [x._data * 2, x._data * 3, np.arange(3)], lambda g: (*vjp(g), None)
    )
    assert not index.requires_grad
    twice.sum().backward()
    assert seen[1] is None
    assert seen[2] is None
    np.testing.assert_array_equal(x.grad, np.full(3, 2.0))


@pytest.mark.parametrize(
    ("vjp", "message"),
    [(lambda g: (), "0 gradients for 1 inputs"), (lambda g: (np.ones(4),), r"shape \(4,\).*expected \(3,\)")],
)
def test_a_wrong_vjp_is_found(vjp, message: str) -> None:
    x = leaf(3)
    with pytest.raises(RuntimeError, match=message):
        record("wrong", [x], [x._data * 2], vjp)[0].sum().backward()
    assert x.grad is None


def test_an_error_in_a_vjp_leaves_gradients_as_they_were() -> None:
    x, z = leaf(3), leaf(3)

    def vjp(gradients):
        raise KeyError("broken")

    y = record("broken", [x], [x._data * 2], vjp)[0] + z
    with pytest.raises(KeyError):
        y.sum().backward()
    assert z.grad is None


def test_a_backward_that_fails_for_want_of_memory_frees_the_graph_and_gives_nothing() -> None:
    x, z = leaf(3), leaf(3)
    inner = x * 2
    kept = weakref.ref(inner._node)

    def vjp(gradients):
        raise MemoryError

    loss = (record("large", [inner], [inner._data * 2], vjp)[0] * z).sum()
    del inner
    with pytest.raises(MemoryError):
        loss.backward()
    assert x.grad is None and z.grad is None
    assert kept() is None
    with pytest.raises(RuntimeError, match="or by one that failed on its way; compute the result again"):
        loss.backward()


def test_a_vjp_may_return_views_of_what_it_returns() -> None:
    a, b = leaf(2, 3), leaf(6)

    def vjp(gradients):
        fresh = gradients[0] * 2
        return fresh, fresh.reshape(6)

    y = record("both", [a, b], [2 * a._data + 2 * b._data.reshape(2, 3)], vjp)[0]
    (y + a * 5).sum().backward()
    np.testing.assert_array_equal(a.grad, np.full((2, 3), 7.0))
    np.testing.assert_array_equal(b.grad, np.full(6, 2.0))


@pytest.mark.parametrize("shape", [(), (1000,)], ids=str)
def test_a_vjp_may_return_one_array_of_all_gradients(shape: tuple[int, ...]) -> None:
    for _ in range(20):
        a, b = leaf(*shape), leaf(*shape)
        (y,) = record("sum of two", (a, b), (a._data + b._data,), lambda given: np.stack([*given, *given]))
        y.backward(np.ones(shape))
        a.grad[...] = 3  # type: ignore[index]
        np.testing.assert_array_equal(b.grad, np.ones(shape))


def test_long_gradients_are_handed_over_not_copied() -> None:
    """Those of a cell lie in memory of ours; it is nobody else's, so that the leaf may have it."""
    cell = ur.LSTM(64, 64)
    x = Tensor(np.ones((20, 16, 64), np.float32), requires_grad=True)
    cell(x)[0].sum().backward()
    for gradient in (x.grad, cell.W_ih.grad, cell.W_hh.grad):
        assert type(gradient.base) is core.ResultMemory


def test_a_view_of_a_long_result_is_copied() -> None:
    y = leaf(100, 100)
    with ur.no_grad():
        kept = ur.RNN(3, 100, dtype=np.float64)(np.ones((100, 2, 3)))[0].data
    assert type(kept.base) is core.ResultMemory
    record("view", [y], [y._data * 2], lambda gradients: (kept.reshape(2, 100, 100)[0],))[0].sum().backward()
    assert not np.shares_memory(y.grad, kept)
