"""Backward refuses to go through an op that has read what has been written to since; reading raises no alarm."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import unrolled as ur
from unrolled import ops
from unrolled.tensor import Tensor


class Model(ur.Module):
    def __init__(self) -> None:
        self.cell = ur.LSTM(3, 4, rng=np.random.default_rng(0))
        self.output = ur.Linear(4, 2, rng=np.random.default_rng(1))

    def forward(self, x: Any) -> Tensor:
        return self.output(self.cell(x)[0])


X = np.random.default_rng(2).standard_normal((5, 2, 3)).astype(np.float32)


def step(model: Model) -> None:
    optimizer = ur.SGD(model, lr=0.1)
    model(X).sum().backward()
    optimizer.step()


WRITES: dict[str, Callable[[Model], Any]] = {
    "optimizer": step,
    "load_parameters": lambda model: model.load_parameters(
        {name: t._data.copy() for name, t in model.parameters().items()}
    ),
    "init": lambda model: ur.init.zeros(model),
    "touch": lambda model: model.cell.W_hh.touch(),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_write_before_backward_is_refused(write: Callable[[Model], Any]) -> None:
    model = Model()
    loss = model(X).sum()
    write(model)
    model.zero_grad()
    with pytest.raises(RuntimeError, match=r"(LSTM|linear) has read a tensor of shape .* written to since"):
        loss.backward()
    assert all(parameter.grad is None for parameter in model.parameters().values())
    model(X).sum().backward()  # what is computed anew goes through


def test_a_frozen_weight_counts_too() -> None:
    model = Model()
    model.freeze("cell.*")
    x = Tensor(X, requires_grad=True)
    loss = model(x).sum()
    ur.init.zeros(model.cell)
    with pytest.raises(RuntimeError, match="LSTM has read a tensor"):
        loss.backward()


@pytest.mark.parametrize(
    "view", [lambda p: p.reshape(-1), lambda p: p[0:4].reshape(-1), Tensor.detach, Tensor]
)
def test_a_write_is_noticed_through_views(view: Callable[[Tensor], Tensor]) -> None:
    for written in ("whole", "part"):
        p, q = (Tensor(np.arange(4.0).reshape(4, 1) + 1, requires_grad=True) for _ in range(2))
        part = view(p)
        product = part * q.reshape(part.shape)
        (p if written == "whole" else part).touch()
        with pytest.raises(RuntimeError, match="multiply has read a tensor"):
            product.sum().backward()


def test_reading_raises_no_alarm() -> None:
    model = Model()
    x = Tensor(X, requires_grad=True)
    loss = model(x).sum()
    for tensor in (x, *model.parameters().values()):
        for read in (np.asarray, repr, copy.deepcopy, Tensor.detach, Tensor.copy, lambda t: t.data):
            read(tensor)
    model.cell.step(X[0], model.cell.initial_state(2))
    model.config()
    loss.backward()
    assert x.grad is not None


def test_other_contents_do_not_change_what_was_computed() -> None:
    """`p.data = array` puts another array in the place of the one that the op has read, which stays as it was."""
    p, q = Tensor(np.array([2.0, 3.0]), requires_grad=True), Tensor(np.array([5.0, 7.0]), requires_grad=True)
    product = p * q
    p.data = np.array([11.0, 13.0])
    product.backward(np.ones(2))
    np.testing.assert_array_equal(q.grad, [2.0, 3.0])


READ: list[tuple[str, Callable[[Tensor], Tensor], bool]] = [
    ("add", lambda p: p + 1.0, False),
    ("multiply by a number", lambda p: p * 3.0, False),
    ("divide by a number", lambda p: p / 3.0, False),
    ("negative", lambda p: -p, False),
    ("sum", lambda p: p.sum(0), False),
    ("getitem", lambda p: p[1:], False),
    ("reshape", lambda p: p.reshape(-1), False),
    ("concat", lambda p: ops.concat([p, p]), False),
    ("split", lambda p: ops.split(p, 2)[0], False),
    ("unstack", lambda p: ops.unstack(p)[0], False),
    ("where", lambda p: ops.where(np.array([[True, False]]), p, 0.0), False),
    ("embedding", lambda p: ops.embedding(p, [1, 1, 0]), False),
    ("tanh", ops.tanh, False),
    ("softmax", ops.softmax, False),
    ("sqrt", lambda p: ops.sqrt(p), False),
    ("weight of a product with a constant", lambda p: ops.linear(np.ones((3, 2)), p), False),
    ("mean squared error", lambda p: ur.mean_squared_error(p, np.zeros((4, 2))), False),
    ("multiply by itself", lambda p: p * p, True),
    ("divide a number", lambda p: 1.0 / p, True),
    ("square", lambda p: p**2, True),
    ("power", lambda p: p**3.0, True),
    ("log", ops.log, True),
    ("maximum", lambda p: ops.maximum(p, 0.5), True),
    ("max", lambda p: p.max(0), True),
    ("absolute", lambda p: ops.absolute(p), True),
    ("product of two", lambda p: ops.matmul(p, ops.transpose(p)), True),
    ("layer norm", lambda p: ops.layer_norm(p), True),
    ("cross entropy", lambda p: ur.cross_entropy(p, np.zeros(4, int)), True),
    ("binary cross entropy", lambda p: ur.binary_cross_entropy(p, np.zeros((4, 2))), True),
]


@pytest.mark.parametrize(("call", "reads"), [row[1:] for row in READ], ids=[row[0] for row in READ])
def test_an_alarm_where_the_gradient_would_be_wrong_and_nowhere_else(
    call: Callable[[Tensor], Tensor], reads: bool
) -> None:
    """After a write that is not reported the gradient is wrong where the op reads its input again; only there may a
    reported one be refused."""

    def gradient(write: Callable[[Tensor], None]) -> np.ndarray:
        p = Tensor(np.linspace(0.3, 2.0, 8).reshape(4, 2), requires_grad=True)
        result = call(p)
        write(p)
        result.backward(np.linspace(1.0, 2.0, result.size).reshape(result.shape))
        assert p.grad is not None
        return p.grad

    def overwrite(p: Tensor) -> None:
        p._data[...] = 0.1 - 1.5 * p._data[::-1]  # another order, other signs

    wanted = gradient(lambda p: None)
    with np.errstate(invalid="ignore", divide="ignore"):
        assert np.allclose(gradient(overwrite), wanted) is not reads
    if reads:
        with pytest.raises(RuntimeError, match="written to since"):
            gradient(Tensor.touch)
    else:
        np.testing.assert_array_equal(gradient(Tensor.touch), wanted)
