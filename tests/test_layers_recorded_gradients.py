"""Gradients through stacks with a tape as one op: what arrives in another layout, from below the top, or is tiny."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unrolled as ur

H = 60


def stack_of(make: Any, **options: Any) -> ur.Stack:
    rng = np.random.default_rng(0)
    return ur.Stack([make(H, H, rng=rng, **options) for _ in range(3)])


def taken(stack: ur.Stack) -> list[np.ndarray | None]:
    gradients = [p.grad for p in stack.parameters().values()]
    stack.zero_grad()
    return gradients


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(("T", "B"), [(5, 3), (97, 3)])
def test_a_gradient_that_is_not_contiguous(count: int, T: int, B: int, threads: Any) -> None:
    threads(count)
    rng = np.random.default_rng(1)
    stack, x = stack_of(ur.LSTM), rng.standard_normal((T, B, H)).astype(np.float32)
    dy = rng.standard_normal((T, B, H)).astype(np.float32)
    dh = rng.standard_normal((B, H)).astype(np.float32)
    y, last = stack(x)
    ((y * dy).sum() + (last[0].h * dh).sum()).backward()
    expected = taken(stack)
    y, last = stack(x)
    swapped = ur.ops.transpose(y, (2, 1, 0)) * dy.T.copy()
    (swapped.sum() + (ur.ops.transpose(last[0].h, (1, 0)) * dh.T.copy()).sum()).backward()
    for a, b in zip(taken(stack), expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("T", [5, 97])
def test_layers_above_the_last_one_that_is_read_get_nothing(T: int, two_threads: None) -> None:
    stack, x = stack_of(ur.GRU), np.ones((T, 3, H), np.float32)
    (stack(x)[1][1].h ** 2).sum().backward()
    names = {name for name, p in stack.parameters().items() if p.grad is None}
    assert names == {name for name in stack.parameters() if name.startswith("cells.2.")}
    one, two = taken(stack)[0], ur.Stack(stack.cells[:2])
    (two(x)[1][1].h ** 2).sum().backward()
    np.testing.assert_array_equal(one, two.cells[0].W_ih.grad)


def test_denormal_numbers_are_zero_in_a_pipeline_too(threads: Any) -> None:
    stack, x = stack_of(ur.RNN, nonlinearity="relu"), np.ones((97, 4, H), np.float32)
    for cell in stack.cells:  # whose gradient of b is the sum of dy
        cell.W_ih.data[...] = cell.W_hh.data[...] = 0
        cell.b.data[...] = 1
    made = []
    for count in (1, 2):
        threads(count)
        y, _ = stack(x)
        dy = np.zeros(y.shape, np.float32)
        dy[0], dy[1] = 1.5e-38, -1.45e-38
        y.backward(dy)
        made.append(taken(stack))
    for a, b in zip(*made, strict=True):
        np.testing.assert_array_equal(a, b)
