"""HighwayNetwork against a loop over layers in NumPy; initial values, threads, copies, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unrolled as ur
from reference import TINY, assert_same_bits
from roundtrip import WAYS, came_back
from steps import relu, sigmoid
from unrolled._native import core


def random(*shape: int, dtype: Any = np.float64, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def reference(p: Any, x: Any, depth: int, f: Any) -> Any:
    """Srivastava et al. (2015), equation 2, with the carry gate C = 1 - T named z."""
    for t in range(depth):
        W, b = p["W"][t if len(p["W"]) > 1 else 0], p["b"][t if len(p["b"]) > 1 else 0] if "b" in p else 0.0
        H = x.shape[-1]
        sums = x @ W.T + b
        z, h = sigmoid(sums[..., :H]), f(sums[..., H:])
        x = x * z + h * (1 - z)
    return x


def network(size: int, depth: int, **options: Any) -> Any:
    """With random biases too."""
    model = ur.HighwayNetwork(size, depth, rng=np.random.default_rng(3), **options)
    for number, parameter in enumerate(model.parameters().values()):
        parameter.data[...] = random(*parameter.shape, seed=number) * size**-0.5
    return model


@pytest.mark.parametrize("options", [{}, {"tied": True}, {"nonlinearity": "relu"}, {"bias": False}])
@pytest.mark.parametrize("shape", [(5,), (3, 18), (40, 7), (4, 2, 5), (0, 5)])
@pytest.mark.parametrize("depth", [1, 4])
def test_values_and_gradients_are_those_of_the_reference(depth: int, shape: Any, options: Any) -> None:
    model = network(shape[-1], depth, dtype=np.float64, **options)
    f = relu if "nonlinearity" in options else np.tanh
    tensors = {"x": ur.Tensor(random(*shape, seed=9), requires_grad=True), **model.parameters()}
    y = model(tensors["x"])
    values = {name: np.asarray(t) for name, t in tensors.items()}
    # Four layers of sums of at most 18 terms of size one.
    np.testing.assert_allclose(y, reference(values, values["x"], depth, f), atol=1e-14)
    weights = random(*y.shape, seed=8)
    y.backward(weights)
    for name, tensor in tensors.items():
        direction = random(*tensor.shape, seed=7)
        moved = {**values, name: values[name] + 1j * TINY * direction}
        wanted = (reference(moved, moved["x"], depth, f) * weights).sum().imag / TINY
        assert (tensor.grad * direction).sum() == pytest.approx(wanted, rel=1e-10, abs=1e-11), name


def test_float32_stays_near_float64() -> None:
    results = []
    for dtype in (np.float32, np.float64):
        model = network(19, 6, dtype=dtype)
        x = ur.Tensor(random(33, 19).astype(dtype), requires_grad=True)
        y = model(x)
        assert y.dtype == dtype
        y.sum().backward()
        results.append([np.asarray(y), x.grad, model.W.grad, model.b.grad])
    for single, double in zip(*results, strict=True):
        np.testing.assert_allclose(single, double, rtol=1e-4, atol=2e-5)  # a few dozen roundings of 6e-8


@pytest.mark.parametrize("tied", [False, True])
def test_threads_and_neighbours_do_not_matter(tied: bool, threads: Any) -> None:
    model = network(70, 5, tied=tied)
    x = random(300, 70, dtype=np.float32)
    seen = []
    for count in (1, 2, 5):
        threads(count)
        model.zero_grad()
        tensor = ur.Tensor(x, requires_grad=True)
        y = model(tensor)
        y.backward(random(300, 70, dtype=np.float32, seed=2))
        seen.append((np.asarray(y), tensor.grad, model.W.grad, model.b.grad))
    assert_same_bits(seen[1], seen[0])
    assert_same_bits(seen[2], seen[0])
    for row in (0, 31, 299):
        assert_same_bits(np.asarray(model(x[row : row + 1])), seen[0][0][row : row + 1])


def test_a_new_network_of_a_hundred_layers_carries_and_trains() -> None:
    x = random(20, 8, dtype=np.float32)
    shallow = ur.HighwayNetwork(8, 100, carry_bias=20, rng=np.random.default_rng(0))
    np.testing.assert_allclose(shallow(x), x, atol=1e-5)
    np.testing.assert_array_equal(ur.HighwayNetwork(2, 3).b, [[2, 2, 0, 0]] * 3)
    deep = ur.HighwayNetwork(8, 100, carry_bias=4, rng=np.random.default_rng(0))
    tensor = ur.Tensor(x, requires_grad=True)
    deep(tensor).backward(np.ones_like(x))
    # Gradients that passed a hundred tanh layers without a gate would be gone or huge.
    assert 0.05 < np.abs(tensor.grad).mean() < 20
    first, last = np.abs(deep.W.grad[0]).mean(), np.abs(deep.W.grad[-1]).mean()
    assert 0.02 < first / last < 50


@pytest.mark.parametrize("how", WAYS)
def test_networks_come_back(how: str, tmp_path: Any) -> None:
    model = network(4, 3, tied=True, nonlinearity="relu")
    again = came_back(model, how, tmp_path)
    assert "tied=True" in repr(model)
    x = random(5, 4, dtype=np.float32)
    assert_same_bits(np.asarray(again(x)), np.asarray(model(x)))


X, W = np.zeros((3, 4)), np.zeros((2, 8, 4))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ur.HighwayNetwork(0, 2), ValueError, "HighwayNetwork: size is 0"),
        (lambda: ur.HighwayNetwork(2, 0), ValueError, "HighwayNetwork: depth is 0"),
        (lambda: ur.HighwayNetwork(2, 2, tied=1), TypeError, "HighwayNetwork: tied is a int"),
        (lambda: ur.HighwayNetwork(2, 2, nonlinearity="sin"), ValueError, "nonlinearity is 'sin', expected one of"),
        (lambda: ur.HighwayNetwork(2, 2, nonlinearity=None), TypeError, "HighwayNetwork: nonlinearity is None"),
        (lambda: ur.HighwayNetwork(2, 2, carry_bias=np.nan), ValueError, "carry_bias is nan"),
        (lambda: ur.HighwayNetwork(2, 2)(X.astype("f")), ValueError, r"x has shape \(3, 4\), expected \(..., 2\)"),
        (lambda: ur.HighwayNetwork(4, 2)(X), TypeError, "HighwayNetwork: x has dtype float64"),
        (lambda: core.op("highway").forward([X[0], W], {"depth": 2, "relu": 0}), ValueError, "highway needs x"),
        (lambda: core.op("highway").forward([X, W], {"depth": 0, "relu": 0}), ValueError, "depth of at least 1"),
        (lambda: core.op("highway").forward([X, W], {"depth": 3, "relu": 0}), ValueError, "one layer or for each"),
        (lambda: core.op("highway").forward([X, W[:, 1:].copy()], {"depth": 2, "relu": 0}), ValueError, "2 units"),
        (lambda: core.op("highway").forward([X, W, X], {"depth": 2, "relu": 0}), ValueError, "highway needs biases"),
    ],
)  # fmt: skip
def test_bad_arguments(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
