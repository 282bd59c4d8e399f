"""Gradient clipping, by global norm and by value."""

from __future__ import annotations

import math

import numpy as np
import pytest

from unrolled.optim import DivergenceError, clip_grad_norm, clip_grad_value
from unrolled.tensor import Tensor

SHAPES = {"W": (130, 70), "b": (7,), "s": ()}


def make(dtype=np.float64):
    return {name: Tensor(np.zeros(shape, dtype), requires_grad=True) for name, shape in SHAPES.items()}


def set_gradients(tensors, rng):
    for tensor in tensors.values():
        tensor.grad = np.asarray(rng.standard_normal(tensor.shape), tensor.dtype)


def test_clip_by_global_norm():
    tensors = make(np.float32)
    set_gradients(tensors, np.random.default_rng(0))
    tensors["s"].grad = None
    before = {name: tensors[name].grad.copy() for name in ("W", "b")}
    expected = math.sqrt(sum(float((g.astype(np.float64) ** 2).sum()) for g in before.values()))
    assert clip_grad_norm(tensors) == pytest.approx(expected, rel=1e-12)
    assert clip_grad_norm(tensors, 1000.0) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_array_equal(tensors["W"].grad, before["W"])
    assert clip_grad_norm(tensors, 2.0) == pytest.approx(expected, rel=1e-12)
    assert clip_grad_norm(tensors) == pytest.approx(2.0, rel=1e-6)  # float32 rounding of the scaled gradients
    np.testing.assert_allclose(tensors["b"].grad, before["b"] * (2 / expected), rtol=1e-6)


def test_the_norm_does_not_overflow_in_float32():
    tensor = Tensor(np.zeros(4, np.float32), requires_grad=True)
    tensor.grad = np.full(4, 1e30, np.float32)
    assert clip_grad_norm({"w": tensor}, 1.0) == pytest.approx(2e30, rel=1e-6)
    np.testing.assert_allclose(tensor.grad, 0.5, rtol=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_is_named_and_nothing_scaled(bad):
    tensors = make()
    set_gradients(tensors, np.random.default_rng(0))
    tensors["b"].grad[3] = bad
    before = tensors["W"].grad.copy()
    with pytest.raises(DivergenceError, match="gradient of 'b' is not finite"):
        clip_grad_norm(tensors, 0.1)
    assert math.isnan(clip_grad_norm(tensors, 0.1, check_finite=False))
    np.testing.assert_array_equal(tensors["W"].grad, before)


def test_clip_by_value():
    tensors = make()
    set_gradients(tensors, np.random.default_rng(0))
    before = tensors["W"].grad.copy()
    assert clip_grad_value(tensors, math.inf) == np.abs(before).max()
    assert clip_grad_value(tensors, 0.5) == max(np.abs(before).max(), 0)
    np.testing.assert_array_equal(tensors["W"].grad, np.clip(before, -0.5, 0.5))
    tensors["b"].grad[0] = math.nan
    assert math.isnan(clip_grad_value(tensors, 0.5))
