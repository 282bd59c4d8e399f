"""The truncated gradient against the recursion of its paper, written forward in time."""

from __future__ import annotations

import numpy as np
import pytest

import unrolled as ur
from unrolled.recipes.truncated import Truncated


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def truncated_1997(cell, x, dy):
    """dL/d[W_ih, W_hh, b] of one row, L = sum(dy * y): S = dc/dW is carried forward, and h[t-1] is no function of W."""
    W = np.concatenate([cell.W_ih.data, cell.W_hh.data, cell.b.data[:, None]], axis=1)
    H = cell.hidden_size
    h, c, S = np.zeros(H), np.zeros(H), np.zeros((3, H, W.shape[1]))
    total = np.zeros_like(S)
    for x_t, dy_t in zip(x, dy, strict=True):
        seen = np.concatenate([x_t, h, [1.0]])
        a_i, a_g, a_o = (W @ seen).reshape(3, H)
        i, g, o = sigmoid(a_i), 2 * np.tanh(a_g / 2), sigmoid(a_o)
        S[0] += (g * i * (1 - i))[:, None] * seen
        S[1] += (i * (1 - (g / 2) ** 2))[:, None] * seen
        c = c + i * g
        squashed = np.tanh(c / 2)
        h = o * squashed
        total += (dy_t * o * (1 - squashed**2) / 2)[:, None] * S
        total[2] += (dy_t * squashed * o * (1 - o))[:, None] * seen
    return total.reshape(3 * H, -1)


def test_truncated_gradient_of_1997():
    rng = np.random.default_rng(0)
    cell = ur.LSTM1997(3, 4, dtype=np.float64, rng=rng)
    cell.b.data[...] = rng.normal(0, 0.5, cell.b.shape)
    x, dy = rng.standard_normal((7, 2, 3)), rng.standard_normal((7, 2, 4))
    model = Truncated(cell)
    y, _ = model(x)
    np.testing.assert_allclose(y.data, cell(x)[0].data, rtol=1e-13, atol=1e-14)  # other order of sums
    y.backward(dy)
    expected = sum(truncated_1997(cell, x[:, row], dy[:, row]) for row in range(2))
    found = np.concatenate([cell.W_ih.grad, cell.W_hh.grad, cell.b.grad[:, None]], axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)  # float64 over 7 steps
    cell.W_ih.grad = None
    whole, _ = cell(x)
    whole.backward(dy)
    assert np.abs(cell.W_ih.grad - expected[:, :3]).max() > 0.01  # which the whole gradient is not


@pytest.mark.parametrize("kind", [ur.LSTM, ur.LSTM1997])
def test_truncated_in_pieces(kind):
    rng = np.random.default_rng(1)
    model = Truncated(kind(3, 4, dtype=np.float64, rng=rng))
    x = rng.standard_normal((6, 2, 3))
    whole, last = model(x)
    first, state = model(x[:2])
    rest, end = model(x[2:], type(state)(*(part.detach() for part in state)))
    np.testing.assert_allclose(np.concatenate([first.data, rest.data]), whole.data, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(end.c.data, last.c.data, rtol=1e-13, atol=1e-14)
    with ur.no_grad():
        np.testing.assert_array_equal(model(x)[0].data, model.cell(x)[0].data)
    assert not [name for name, p in model.parameters().items() if p.requires_grad and "gates" in name]
