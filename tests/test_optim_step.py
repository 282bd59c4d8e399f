"""One step of an optimizer: all parameters in one call, rows of tables in place, nothing half done."""

from __future__ import annotations

import numpy as np
import pytest

from unrolled._native import core
from unrolled.layers import Embedding
from unrolled.optim import SGD, Adagrad, Adam, clip_grad_norm, clip_grad_value
from unrolled.tensor import Tensor


def test_native_updates_check_their_arguments():
    p, g = np.zeros(5, np.float32), np.zeros(5, np.float32)
    for rule, gradient, state, error in [
        ("magic", g, [], ValueError),
        ("sgd", g, [p], ValueError),
        ("adam", g, [p, p], ValueError),  # coefficients are missing
        ("sgd", g[:3], [], TypeError),
        ("sgd", g.astype(np.float64), [], TypeError),
        ("adagrad", g, [np.zeros(4, np.float32)], ValueError),
        ("adagrad", g, [np.zeros(10, np.float32)[::2]], TypeError),
    ]:
        with pytest.raises(error):
            core.optimizer_update(rule, [(p, gradient, None, state)], {"rate": 1.0, "decay": 0.0})
    g[:] = 1
    table, rows = np.zeros((4, 5), np.float32), np.array([0, 3])
    for wrong, error in [
        ((p, g[:3], None, []), TypeError),
        ((p, g, None, [p]), ValueError),
        ((p, g, rows, []), ValueError),  # no table
        ((table, g, rows, []), TypeError),  # one row for two
        ((table, np.ones((2, 5), np.float32), rows[::-1], []), TypeError),
        ((table, np.ones((2, 5), np.float32), np.array([3, 0]), []), ValueError),
        ((table, np.ones((2, 5), np.float32), np.array([3, 3]), []), ValueError),
        ((table, np.ones((2, 5), np.float32), np.array([-1, 3]), []), ValueError),
        ((table, np.ones((2, 5), np.float32), np.array([0, 4]), []), ValueError),
    ]:
        with pytest.raises(error):
            core.optimizer_update("sgd", [(p, g, None, []), wrong], {"rate": 1.0, "decay": 0.0})
    assert not p.any() and not table.any()  # all or none
    with pytest.raises(TypeError):
        core.sums_of_squares([np.zeros(3), np.zeros(3, np.int64)])


@pytest.mark.parametrize("optimizer", [SGD, Adagrad])
def test_a_table_in_the_memory_of_a_matrix(optimizer):
    """Both updates arrive, one after the other, as if all rows of the table had had a gradient."""
    found = []
    for dense in (False, True):
        table = Embedding(10, 4)
        table.W.data[:] = 1
        matrix = Tensor(table.W, requires_grad=True)
        step = optimizer({"table": table.W, "matrix": matrix}, 0.1).step
        table([3, 3]).backward(np.ones((2, 4), np.float32))
        if dense:
            assert table.W.grad is not None  # no longer rows
        matrix.grad = np.ones((10, 4), np.float32)
        step()
        found.append(table.W._data.copy())
    np.testing.assert_array_equal(*found)
    assert (found[0][3] < found[0][2]).all() and (found[0][2] < 1).all()


def test_what_is_read_only_is_named_before_anything_changes():
    a, table = Tensor(np.ones(3), requires_grad=True), Tensor(np.ones((9, 2)), requires_grad=True)
    parameters = {"a": a, "table": table}
    optimizer = SGD(parameters, 0.1)
    a.grad = np.ones(3)
    table.grad = np.broadcast_to(1.0, (9, 2))
    assert clip_grad_norm(parameters) == pytest.approx(np.sqrt(21))  # only reports
    assert clip_grad_value(parameters, np.inf) == 1
    with pytest.raises(ValueError, match="clip_grad_value: the gradient of 'table' is read-only"):
        clip_grad_value(parameters, 0.1)
    with pytest.raises(ValueError, match="clip_grad_norm: the gradient of 'table' is read-only"):
        clip_grad_norm(parameters, 0.1)
    table._data.flags.writeable = False
    with pytest.raises(ValueError, match="SGD: parameter 'table' is read-only"):
        optimizer.step()
    assert (a._data == 1).all() and (a.grad == 1).all() and optimizer.updates["a"] == 0


def test_one_array_as_the_gradient_of_two():
    a, b = (Tensor(np.zeros(2), requires_grad=True) for _ in range(2))
    a.grad = b.grad = np.array([3.0, 4.0])
    norm = clip_grad_norm({"a": a, "b": b}, 1.0)
    np.testing.assert_allclose(a.grad, np.array([3, 4]) / norm)


def test_momentum_may_be_set_later():
    p = Tensor(np.zeros(2), requires_grad=True)
    optimizer = SGD({"p": p}, 1.0)
    for momentum, velocity in ((0.0, 1.0), (0.5, 1.0), (0.5, 1.5), (0.0, 1.0)):
        before, optimizer.momentum, p.grad = p._data.copy(), momentum, np.ones(2)
        optimizer.step()
        np.testing.assert_allclose(before - p._data, velocity)


def test_an_interrupt_leaves_no_update_unnoticed(monkeypatch):
    """It arrives when the native update is through."""
    p = Tensor(np.zeros(2), requires_grad=True)
    optimizer, native, version = Adam({"p": p}), core.optimizer_update, p._version
    p.grad = np.ones(2)

    def interrupted(*arguments):
        native(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(core, "optimizer_update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        optimizer.step()
    assert p._data.all() and optimizer.updates["p"] == 1 and p._version > version
