"""A saved state of an optimizer that does not fit changes nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from unrolled.optim import SGD, RMSprop
from unrolled.tensor import Tensor

SHAPES = {"W": (3, 2), "b": (7,), "s": ()}


def make() -> dict[str, Tensor]:
    return {name: Tensor(np.ones(shape), requires_grad=True) for name, shape in SHAPES.items()}


def changed(*path, value=None):
    """A state with one entry replaced, or without it."""

    def change(state):
        for key in path[:-1]:
            state = state[key]
        if value is None:
            del state[path[-1]]
        else:
            state[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (changed("hyper"), ValueError, "the saved state has no hyper"),
        (changed("hyper", value=[1]), TypeError, "hyper of the saved state is list, expected a mapping"),
        (changed("hyper", "eps"), ValueError, "hyper of the saved state has eps missing or too much"),
        (changed("hyper", "magic", value=1.0), ValueError, "hyper of the saved state has magic missing or"),
        (changed("hyper", "lr", value="x"), TypeError, "lr is a str, expected a number"),
        (changed("hyper", "alpha", value=1.5), ValueError, r"alpha is 1.5, expected a number in \[0, 1\)"),
        (changed("hyper", "centered", value=1.0), TypeError, "centered is a float, expected a bool"),
        (changed("updates", "W", value=-1), ValueError, "the number of updates of 'W' is -1"),
        (changed("updates", 3, value=1), ValueError, "of other parameters; they differ in 3"),
        (changed("arrays", "W"), ValueError, "has no arrays of 'W', which has been updated"),
        (changed("arrays", "other", value={}), ValueError, "has arrays of 'other', which is not among the"),
        (changed("arrays", "W", value=3), TypeError, "saved arrays of 'W' are int, expected a mapping"),
        (changed("arrays", "W", "square"), ValueError, "the saved state has no square of 'W'"),
        (changed("arrays", "W", "magic", value=3), ValueError, "saved arrays of 'W' have 'magic', expected"),
        (changed("arrays", "W", "square", value=[3]), TypeError, "saved square of 'W' is list, expected an"),
        (
            changed("arrays", "s", "mean", value=np.array("x")),
            TypeError,
            "saved mean of 's' is of dtype <U1, expected an array of floats",
        ),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, error, message):
    def trained(**options):
        tensors = make()
        optimizer = RMSprop(tensors, **options)
        for tensor in tensors.values():
            tensor.grad = np.ones(tensor.shape)
        optimizer.step()
        return optimizer

    optimizer, state = trained(centered=True), trained(lr=0.5, momentum=0.5, centered=True).state_dict()
    del state["arrays"]["b"]
    state["updates"]["b"] = 0  # without gradients so far
    change(state)
    before = optimizer.state_dict()
    with pytest.raises(error, match=f"RMSprop: .*{message}"):
        optimizer.load_state_dict(state)
    np.testing.assert_equal(optimizer.state_dict(), before)


def test_a_state_that_is_none_and_a_rate_that_is_none():
    optimizer = SGD(make(), lr=0.5)
    with pytest.raises(TypeError, match="SGD: state is None, expected what state_dict gave"):
        optimizer.load_state_dict(None)
    for value, error in [("x", TypeError), (-1.0, ValueError), (math.inf, ValueError)]:
        with pytest.raises(error, match="SGD: lr is "):
            optimizer.lr = value
    assert optimizer.lr == 0.5
