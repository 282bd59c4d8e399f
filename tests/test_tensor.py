"""Tensors: what they hold and hand out, when something is recorded, threads, copies."""

from __future__ import annotations

import copy
import os
import pickle
import threading
from typing import Any

import numpy as np
import pytest

from unrolled import ops
from unrolled.tensor import Tensor, as_tensor, enable_grad, is_grad_enabled, needs_grad, no_grad


def leaf(*shape: int) -> Tensor:
    return Tensor(np.random.default_rng(0).standard_normal(shape), requires_grad=True)


def test_an_array_is_wrapped_without_a_copy() -> None:
    array = np.ones((2, 3), np.float32)
    t = Tensor(array)
    assert t.data is array
    assert np.asarray(t) is array
    assert (t.shape, t.dtype, t.ndim, t.size, len(t)) == ((2, 3), np.float32, 2, 6, 2)
    assert as_tensor(t) is t


def test_other_layouts_are_copied_once() -> None:
    array = np.arange(6.0).reshape(2, 3)
    for other in (array.T, array[:, ::2], np.asfortranarray(array), array.astype(">f8")):
        t = Tensor(other)
        assert t._data.flags.c_contiguous
        assert t.dtype == np.float64
        np.testing.assert_array_equal(t, other)


def test_conversions() -> None:
    t = Tensor([[1.5]])
    assert (t.item(), float(t), int(t), bool(t)) == (1.5, 1.5, 1, True)
    assert [10, 20, 30][Tensor(2)] == 30
    assert np.asarray(t, np.float32).dtype == np.float32
    assert np.array(t) is not t._data
    assert Tensor([1, 2], dtype=np.float32).dtype == np.float32
    assert "float64" in repr(t)
    assert (f"{t:.3f}", f"{t}") == ("1.500", repr(t))
    with pytest.raises(TypeError, match=r"format: the Tensor has shape \(2,\), expected a single element"):
        format(Tensor([1.0, 2.0]), ".3f")


def test_whoever_gets_the_data_may_have_written() -> None:
    t = Tensor(np.zeros(3))
    versions = [t._version]
    for act in (lambda: t.data, lambda: np.asarray(t), t.touch, lambda: setattr(t, "data", np.ones(3))):
        act()
        versions.append(t._version)
    assert versions == sorted(set(versions))
    np.testing.assert_array_equal(t._data, np.ones(3))


def test_comparisons_give_boolean_arrays_and_hash_is_identity() -> None:
    a, b = Tensor([1.0, 2.0, 3.0]), np.array([3.0, 2.0, 1.0])
    for actual, wanted in (
        (a == b, [0, 1, 0]), (a != b, [1, 0, 1]), (a < b, [1, 0, 0]),
        (a <= b, [1, 1, 0]), (a > 2, [0, 0, 1]), (b <= a, [0, 1, 1]),
    ):  # fmt: skip
        assert type(actual) is np.ndarray
        np.testing.assert_array_equal(actual, np.array(wanted, bool))
    assert len({a, Tensor([1.0, 2.0, 3.0])}) == 2


def test_an_array_on_the_left_asks_the_tensor() -> None:
    t = leaf(3)
    for y in (np.ones(3) + t, np.ones(3) * t, np.ones(3) - t, np.ones(3) / t, np.ones((2, 3)) @ t):
        assert isinstance(y, Tensor)
        assert y.requires_grad


def test_numpy_functions_of_tensors() -> None:
    t = leaf(3, 3)
    array = np.asarray(t)
    for f in (np.exp, np.abs, np.negative, np.square, np.sum, np.mean, np.max, np.min, np.var, np.transpose):
        y = f(t)
        assert isinstance(y, Tensor), f
        assert y.requires_grad
        np.testing.assert_allclose(y, f(array), rtol=1e-14)
    assert isinstance(np.maximum(array, t), Tensor)
    for f in (np.isnan, np.sign, np.argmax, np.ravel):
        y = f(t.detach())
        assert not isinstance(y, Tensor)
        np.testing.assert_array_equal(y, f(array))
    assert np.isfinite(t).all()
    assert np.allclose(t, array)
    np.testing.assert_array_equal(np.greater(t, 0), array > 0)
    array += t.detach()
    with no_grad():
        np.testing.assert_array_equal(np.sin(t), np.sin(t._data))


def test_detach_cuts_and_shares() -> None:
    x = leaf(3)
    y = (x * 2).detach()
    assert not y.requires_grad
    (x * y).sum().backward()
    np.testing.assert_array_equal(x.grad, y._data)
    assert x.detach()._data is x._data
    assert not np.shares_memory(x.copy()._data, x._data)


def test_no_grad_nests_decorates_and_ends_with_errors() -> None:
    x = leaf(3)
    assert needs_grad(None, x)
    with no_grad():
        assert not (x * 2).requires_grad
        assert not needs_grad(x)
        with enable_grad():
            assert (x * 2).requires_grad
        assert not is_grad_enabled()
    with pytest.raises(KeyError), no_grad():
        raise KeyError
    assert is_grad_enabled()

    @no_grad()
    def evaluate(depth: int) -> bool:
        return (evaluate(depth - 1) if depth else True) and not is_grad_enabled()

    assert evaluate(2)
    assert is_grad_enabled()


def test_modes_belong_to_threads() -> None:
    seen = []
    with no_grad():
        thread = threading.Thread(target=lambda: seen.append(is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_threads_add_to_one_leaf_without_losing_any() -> None:
    x = Tensor(np.zeros(50_000), requires_grad=True)

    def work() -> None:
        for _ in range(20):
            (x + 1).backward(np.ones(50_000))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(x.grad, np.full(50_000, 160.0))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_backward_works_in_a_forked_child() -> None:
    x = Tensor(np.ones((300, 300), np.float32), requires_grad=True)
    ops.tanh(x @ x).sum().backward()
    child = os.fork()
    if child == 0:
        x.grad = None
        ops.tanh(x @ x).sum().backward()
        os._exit(0 if x.grad is not None and np.isfinite(x.grad).all() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(
    "travel", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))], ids=["deepcopy", "pickle"]
)
def test_copies_carry_no_gradient_and_no_graph(travel) -> None:
    x = leaf(3)
    y = x * 2
    y.sum().backward()
    a, b, c = travel([x, x, x * 2])
    assert a is b
    assert a.requires_grad
    assert a.is_parameter
    assert a.grad is None
    assert not np.shares_memory(a._data, x._data)
    assert not c.requires_grad
    np.testing.assert_array_equal(a, x)


def test_no_grad_decorates_nothing_that_runs_later() -> None:
    def items() -> Any:
        yield is_grad_enabled()

    async def answer() -> bool:
        return is_grad_enabled()

    for function in (items, answer):
        with pytest.raises(
            TypeError, match=f"{function.__name__} is a generator or a coroutine, .* inside it"
        ):
            no_grad()(function)
