"""The way back along the tape where ops, threads or leaves do not behave."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import unrolled as ur
from unrolled import tape
from unrolled.row_gradient import RowGradient
from unrolled.tensor import Tensor, record


def leaf(*shape: int) -> Tensor:
    return Tensor(np.ones(shape), requires_grad=True)


def in_threads(count: int, go: Callable[[], None]) -> None:
    threads = [threading.Thread(target=go) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_only_one_of_many_threads_goes_through_a_graph() -> None:
    other = leaf(2)
    for _ in range(4):
        x, done = leaf(2), []
        y = ur.concat([x * 2.0 for _ in range(20000)], 0)
        other.touch()  # from now on backward looks for writes, which is Python

        def go(y: Tensor = y, done: list[int] = done) -> None:
            try:
                y.backward(np.ones(40000))
                done.append(1)
            except RuntimeError:
                pass

        in_threads(3, go)
        assert len(done) <= 1 and (not done or (x.grad == 40000).all())


def test_a_walk_that_meets_what_another_has_freed_says_so() -> None:
    x = leaf(2)
    trunk = x * 1.0

    def vjp(gradients: Any) -> Any:
        trunk.backward(np.ones(2))
        return (gradients[0],)

    (y,) = record("meddling", [trunk], [trunk._data * 2], vjp)
    with pytest.raises(RuntimeError, match="freed by an earlier backward"):
        y.backward(np.ones(2))
    np.testing.assert_array_equal(x.grad, [1, 1])  # of the walk inside


@pytest.mark.parametrize("wrong", [1.0, [1, 2], "abc"], ids=repr)
def test_what_is_no_gradient_is_refused_and_no_leaf_gets_anything(wrong: Any) -> None:
    a, b = leaf(2), leaf(2)
    (y,) = record("odd", [a, b], [a._data + b._data], lambda gradients: (gradients[0] * 2, wrong))
    with pytest.raises(TypeError, match="the vjp of odd gave a"):
        y.backward(np.ones(2))
    assert a.grad is None and b.grad is None


@pytest.mark.parametrize("dtype, shape", [(np.float32, (7, 2)), (np.float64, (3, 3))])
def test_rows_of_another_table_are_refused_and_no_leaf_gets_anything(
    dtype: type, shape: tuple[int, int]
) -> None:
    a, b = leaf(7, 2), leaf(7, 2)
    b.grad = np.ones((7, 2))
    rows = RowGradient(np.array([1]), np.ones((1, shape[1]), dtype), shape)
    (y,) = record("odd", [a, b], [np.ones(1)], lambda gradients: (np.ones((7, 2)), rows))
    with pytest.raises(RuntimeError, match="the vjp of an op is wrong"):
        y.backward()
    assert a.grad is None and (b.grad == 1).all()


@pytest.mark.parametrize("first, second", [((1,), (3,)), ((3,), (1,))])
def test_parts_that_would_be_broadcast_are_refused(first: tuple[int], second: tuple[int]) -> None:
    x = leaf(3)
    parts = iter([np.ones(first), np.ones(second)])
    results = [record("odd", [x], [x._data], lambda gradients: (next(parts),))[0] for _ in range(2)]
    with pytest.raises(RuntimeError, match="the vjp of an op is wrong"):
        (results[0] + results[1]).backward(np.ones(3))
    assert x.grad is None


def test_a_view_whose_owner_is_unknown_is_not_written_to() -> None:
    p, q = leaf(4), leaf(4)

    def vjp(gradients: Any) -> Any:
        whole = gradients[0] * 2
        return whole, np.lib.stride_tricks.as_strided(whole, (4,), whole.strides)

    (y,) = record("odd", [p, q], [p._data + q._data], vjp)
    (y + p * 10.0).backward(np.ones(4))
    np.testing.assert_array_equal(p.grad, np.full(4, 12.0))
    np.testing.assert_array_equal(q.grad, np.full(4, 2.0))


def test_gradients_are_plain_arrays_that_may_be_written_to() -> None:
    a, b = leaf(3), leaf(3)

    def vjp(gradients: Any) -> Any:
        fixed = gradients[0] * 2
        fixed.flags.writeable = False
        return fixed, np.ma.masked_array(gradients[0] * 3)

    record("odd", [a, b], [a._data + b._data], vjp)[0].backward(np.ones(3))
    for tensor, value in ((a, 2), (b, 3)):
        assert (
            type(tensor.grad) is np.ndarray and tensor.grad.flags.writeable and (tensor.grad == value).all()
        )


def test_a_flag_that_is_no_truth_value_raises_its_own_error() -> None:
    cell, x = ur.LSTM(3, 4), np.zeros((2, 1, 3), np.float32)
    cell.W_ih.requires_grad = np.array([1, 2])
    with pytest.raises(ValueError, match="ambiguous"):
        cell(x)
    with pytest.raises(AttributeError):
        ur.LSTM(3, 4)(Tensor.__new__(Tensor))


@pytest.mark.parametrize(
    "layer", [ur.LSTM(64, 64), ur.Stack([ur.GRU(64, 64), ur.GRU(64, 64)])], ids=["cell", "stack"]
)
def test_another_thread_may_replace_what_a_call_without_a_tape_reads(layer: ur.Module) -> None:
    shape, stop = (60, 32, 64), threading.Event()
    x = Tensor(np.ones(shape, np.float32))
    with ur.no_grad():
        expected = np.array(layer(x)[0])

    def swap() -> None:
        while not stop.is_set():
            x.data = np.ones(shape, np.float32)
            np.full(shape, np.nan, np.float32)  # where the one before was

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        with ur.no_grad():
            for _ in range(60):
                np.testing.assert_array_equal(np.array(layer(x)[0]), expected)
    finally:
        stop.set()
        thread.join()


def test_a_lock_that_cannot_be_let_go_of_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stuck:
        def acquire(self) -> None: ...

        def release(self) -> None:
            raise RuntimeError("stuck")

    seen: list[str] = []
    monkeypatch.setattr(tape, "_delivery", Stuck())
    monkeypatch.setattr("sys.unraisablehook", lambda what: seen.append(str(what.exc_value)))
    x = leaf(2)
    (x * 2.0).backward(np.ones(2))
    np.testing.assert_array_equal(x.grad, [2, 2])
    assert seen == ["stuck"]
