"""Gradients through stacks with a tape as one op."""

from __future__ import annotations

from typing import Any

import numpy as np

import unrolled as ur

H = 60


def stack_of(make: Any, **options: Any) -> ur.Stack:
    rng = np.random.default_rng(0)
    return ur.Stack([make(H, H, rng=rng, **options) for _ in range(3)])


def taken(stack: ur.Stack) -> list[np.ndarray | None]:
    gradients = [p.grad for p in stack.parameters().values()]
    stack.zero_grad()
    return gradients


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
