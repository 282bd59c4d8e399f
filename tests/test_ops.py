"""Every op of the table: values against NumPy, gradients against differences, float32, strided arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from op_cases import CASES, OpCase
from unrolled import ops
from unrolled.tensor import Tensor

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def result(case: OpCase, arrays: Any) -> Any:
    return case.call(*map(Tensor, arrays))


@each_case
def test_values(case: OpCase) -> None:
    arrays = case.arrays(np.float64)
    y, wanted = result(case, arrays), np.asarray(case.reference(*arrays))
    assert isinstance(y, Tensor)
    assert y.shape == wanted.shape
    # exp, tanh and sigmoid are good to 2 ULP (4e-16); sums of up to 70 terms round as often.
    np.testing.assert_allclose(y, wanted, rtol=2e-14, atol=2e-14)


@each_case
def test_float32_stays_near_float64(case: OpCase) -> None:
    arrays = case.arrays(np.float32)
    y = result(case, arrays)
    wanted = np.asarray(case.reference(*[a.astype(np.float64) for a in arrays]))
    assert y.dtype == np.float32 or case.name == "astype"
    # 70 roundings of 6e-8 each, in sums whose terms are at most a few units.
    np.testing.assert_allclose(y, wanted, rtol=5e-6, atol=5e-6)


@each_case
def test_gradients_are_those_of_differences(case: OpCase) -> None:
    rng = np.random.default_rng(3)
    arrays = case.arrays(np.float64)
    tensors = [Tensor(a, requires_grad=True) for a in arrays]
    y = case.call(*tensors)
    weights = rng.standard_normal(y.shape)
    y.backward(weights)
    for i, tensor in enumerate(tensors):
        assert tensor.grad is not None
        assert tensor.grad.shape == tensor.shape
        direction = rng.standard_normal(tensor.shape)
        step = 1e-5  # truncation about step^2, rounding about 1e-16 / step: both near 1e-10
        ends = []
        for sign in (1, -1):
            moved = [a + sign * step * direction if j == i else a for j, a in enumerate(arrays)]
            ends.append(float(np.sum(weights * result(case, moved)._data)))
        wanted = (ends[0] - ends[1]) / (2 * step)
        actual = float(np.sum(tensor.grad * direction))
        assert actual == pytest.approx(wanted, rel=1e-7, abs=1e-7), f"gradient of argument {i}"


@each_case
def test_float32_gradients_stay_near_float64(case: OpCase) -> None:
    gradients = []
    for dtype in (np.float32, np.float64):
        tensors = [Tensor(a.astype(dtype), requires_grad=True) for a in case.arrays(np.float32)]
        y = case.call(*tensors)
        y.backward(np.random.default_rng(3).uniform(-1, 1, y.shape).astype(y.dtype))
        for tensor in tensors:
            assert tensor.grad is not None
            assert tensor.grad.dtype == dtype
        gradients.append([t.grad for t in tensors])
    for single, double in zip(*gradients, strict=True):
        # As for values; derivatives of power and divide enlarge rounding by at most 2 / 0.3^2.
        np.testing.assert_allclose(single, double, rtol=1e-4, atol=1e-4)


@each_case
def test_strided_and_fortran_arguments_give_the_same(case: OpCase) -> None:
    arrays = case.arrays(np.float32)
    wanted = np.asarray(result(case, arrays))
    strided = [np.stack([a, a], -1)[..., 0] if a.ndim else a for a in arrays]
    assert all(not a.flags.c_contiguous for a in strided if a.size > 1)
    for other in (strided, [np.asfortranarray(a) if a.ndim else a for a in arrays]):
        np.testing.assert_array_equal(result(case, other), wanted)


@each_case
def test_arguments_and_gradients_are_left_alone(case: OpCase) -> None:
    arrays = case.arrays(np.float64)
    tensors = [Tensor(a.copy(), requires_grad=True) for a in arrays]
    y = case.call(*tensors)
    dy = np.random.default_rng(0).standard_normal(y.shape)
    before, values = dy.copy(), y._data.copy()
    y.backward(dy)
    np.testing.assert_array_equal(dy, before)
    np.testing.assert_array_equal(y._data, values)
    for tensor, array in zip(tensors, arrays, strict=True):
        np.testing.assert_array_equal(tensor._data, array)
        assert tensor.grad is not None
        assert not np.shares_memory(tensor.grad, dy)
        assert not np.shares_memory(tensor.grad, y._data)
        assert not any(np.shares_memory(tensor.grad, t._data) for t in tensors)
    for i, tensor in enumerate(tensors):
        assert not any(np.shares_memory(tensor.grad, t.grad) for t in tensors[:i])


def test_every_op_has_a_row() -> None:
    elsewhere = {"apply", "as_tensor", "dropout", "getitem"}
    public = {name for name in vars(ops) if not name.startswith("_") and callable(getattr(ops, name))}
    rows = {case.name for case in CASES}
    missing = {n for n in public - elsewhere if not any(r == n or r.startswith(n + "_") for r in rows)}
    assert missing == set()


def test_only_wanted_gradients_are_computed() -> None:
    x, W = Tensor(np.ones((2, 3))), Tensor(np.ones((4, 3)), requires_grad=True)
    ops.linear(x, W).sum().backward()
    assert x.grad is None
    np.testing.assert_array_equal(W.grad, np.full((4, 3), 2.0))


def test_equal_extremes_share_the_gradient() -> None:
    x = Tensor([1.0, 3.0, 3.0], requires_grad=True)
    x.max().backward()
    np.testing.assert_array_equal(x.grad, [0, 0.5, 0.5])
    a, b = Tensor([1.0, 2.0], requires_grad=True), Tensor([1.0, 1.0], requires_grad=True)
    ops.maximum(a, b).backward(np.ones(2))
    np.testing.assert_array_equal(a.grad, [0.5, 1])
    np.testing.assert_array_equal(b.grad, [0.5, 0])


@pytest.mark.parametrize("convert", [np.int64, np.uint8, np.bool_])
def test_integers_and_booleans_follow_floats(convert: Any) -> None:
    x = Tensor(np.array([0.5, 2.0], np.float32), requires_grad=True)
    y = x * np.array([0, 1]).astype(convert)
    assert y.dtype == np.float32
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, [0, 1])


def test_numbers_take_the_dtype_of_the_tensor() -> None:
    x = Tensor(np.ones(2, np.float32))
    for number in (2, 0.1, np.float64(0.1), np.float32(0.1), np.int64(2), True):
        assert (x * number).dtype == np.float32
        assert (number * x).dtype == np.float32
