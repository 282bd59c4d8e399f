"""Arrays whose elements do not lie where their type may, as views of bytes from an odd one on: they are copied."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unrolled as ur
from unrolled._native import core
from unrolled.arrays import for_kernels
from unrolled.optim import clip_grad_norm

Array = np.ndarray[Any, Any]


def odd(array: Any) -> Array:
    """The same values one byte off."""
    array = np.asarray(array)
    memory = np.zeros(array.nbytes + 1, np.uint8)[1:]
    made = memory.view(array.dtype).reshape(array.shape)
    made[...] = array
    assert made.flags.c_contiguous and not made.flags.aligned
    return made


def test_what_is_as_it_should_be_is_not_copied() -> None:
    array = np.ones((2, 3))
    assert for_kernels(array) is array
    for other in (array.T, odd(array), odd(np.float32(3))):
        copy = for_kernels(other)
        assert copy.flags.c_contiguous and copy.flags.aligned and copy.shape == other.shape
        np.testing.assert_array_equal(copy, other)


def test_tensors_hold_aligned_arrays() -> None:
    tensor = ur.Tensor(odd(np.arange(3.0)))
    assert tensor.data.flags.aligned
    tensor.data = odd(np.ones(3))
    assert tensor.data.flags.aligned
    assert ur.tensor.wrap(odd(np.ones(3))).data.flags.aligned


@pytest.mark.parametrize("quick", [True, False])
def test_a_cell_computes_with_copies(quick: bool) -> None:
    rng = np.random.default_rng(0)
    cell = ur.GRU(3, 5, rng=rng)
    x, h, dy = (rng.normal(size=s).astype(np.float32) for s in ((4, 2, 3), (2, 5), (4, 2, 5)))
    lengths = None if quick else np.array([4, 2])
    found = []
    for other in (np.asarray, odd):
        source, start = ur.Tensor(x, requires_grad=True), ur.Tensor(h, requires_grad=True)
        y, _ = cell(source, (start,), lengths)
        y.backward(other(dy))
        with ur.no_grad():
            whole, _ = cell(other(x), (other(h),), None if quick else other(lengths))
        step, _ = cell.step(other(x[0]), (other(h),))
        found.append([np.asarray(whole), step, source.grad, start.grad])
    for plain, copied in zip(*found, strict=True):
        np.testing.assert_array_equal(plain, copied)


def test_optimizers_read_copies_of_gradients() -> None:
    p = ur.Tensor(np.ones(3), requires_grad=True)
    p.grad = odd(np.full(3, 2.0))
    assert clip_grad_norm({"p": p}) == pytest.approx(np.sqrt(12))
    ur.optim.SGD({"p": p}, 0.5).step()
    np.testing.assert_array_equal(p.data, np.zeros(3))


def test_the_kernels_refuse_what_was_not_copied() -> None:
    aligned, other = np.ones((1, 1, 1)), odd(np.ones((1, 1, 1)))
    with pytest.raises(ValueError, match="aligned"):
        core.op("tanh").forward((other,), {})
    for p, g in ((other, aligned), (aligned, other)):
        with pytest.raises(TypeError, match=r"aligned|layout"):
            core.optimizer_update("sgd", p, g, [], {"rate": 1.0, "decay": 0.0})
    with pytest.raises(TypeError, match="aligned"):
        core.sum_of_squares(other)
    assert core.is_like(aligned, other) and not core.is_like(other, aligned)
    cell = ur.RNN(1, 1, dtype=np.float64)
    assert cell._step is None or cell._step(other[0], None) is None
