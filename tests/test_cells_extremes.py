"""Cells with quotients, where what they divide by underflows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unrolled as ur
from steps import sigmoid

T, B, I, H = 6, 4, 3, 19
scales = pytest.mark.parametrize("scale", [1.0, 30.0, 300.0, 1e4])
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def softmax(a: Any) -> Any:
    e = np.exp(a - a.max(axis=0))
    return e / e.sum(axis=0)


def make(kind: Any, dtype: Any, scale: float) -> tuple[Any, Any, list[Any]]:
    """A cell without a recurrent matrix, an input whose sums grow with `scale`, and these sums in float64."""
    rng = np.random.default_rng(3)
    cell = kind(I, H, dtype=dtype, rng=rng)
    cell.b.data[...] = rng.normal(size=cell.b.shape)
    if hasattr(cell, "W_hh"):
        cell.W_hh.data[...] = 0
    x = (rng.normal(size=(T, B, I)) * scale).astype(dtype)
    sums = x.astype(np.float64) @ np.asarray(cell.W_ih, np.float64).T + np.asarray(cell.b, np.float64)
    return cell, ur.Tensor(x, requires_grad=True), np.split(sums, len(cell.gates), axis=2)


@scales
@dtypes
def test_slstm_is_a_weighted_mean_of_its_candidates(scale: float, dtype: Any) -> None:
    """Beck et al. (2024): h[t] = o sum_k w_k z_k / sum_k w_k, log w_k = a_i[k] + a_f[k + 1] + .. + a_f[t]."""
    cell, x, (i, f, z, o) = make(ur.sLSTM, dtype, scale)
    y, state = cell(x)
    for t in range(T):
        logs = np.stack([i[k] + f[k + 1 : t + 1].sum(axis=0) for k in range(t + 1)])
        wanted = sigmoid(o[t]) * (softmax(logs) * np.tanh(z[: t + 1])).sum(axis=0)
        # Logarithms of the size of `scale` are known to their rounding, and so is the quotient.
        assert np.abs(np.asarray(y)[t] - wanted).max() < 100 * scale * np.finfo(dtype).eps + 1e-14
    assert (np.asarray(state.n) >= 1).all()
    y.sum().backward()
    for gradient in (x.grad, *(p.grad for p in cell.parameters().values())):
        assert np.isfinite(gradient).all()


@scales
@dtypes
def test_minimal_lstm_with_both_gates_shut(scale: float, dtype: Any) -> None:
    """Feng et al. (2024): f / (f + i) = 1 / (1 + exp(log i - log f)), log f = -log(1 + exp(-a_f))."""
    cell, x, (f, i, n) = make(ur.MinimalLSTM, dtype, scale)
    keep = sigmoid(np.logaddexp(0, -i) - np.logaddexp(0, -f))
    start = np.random.default_rng(4).normal(size=(B, H)).astype(dtype)
    y, _ = cell(x, (start,))
    h = start.astype(np.float64)
    for t in range(T):
        h = keep[t] * h + (1 - keep[t]) * n[t]
        assert np.abs(np.asarray(y)[t] - h).max() < 100 * scale * np.finfo(dtype).eps * max(
            1, np.abs(n).max()
        )
    y.sum().backward()
    # dL/da_f = dh (h' - n) keep (1 - keep) (1 - f), for the last step and the bias.
    found = np.split(cell.b.grad, 3)
    assert all(np.isfinite(part).all() for part in found)
    one = ur.Tensor(np.asarray(x)[:1], requires_grad=True)
    cell.b.grad = None
    cell(one, (start,))[0].sum().backward()
    slope = (start - n[0]) * keep[0] * (1 - keep[0])
    wanted = [slope * (1 - sigmoid(f[0])), -slope * (1 - sigmoid(i[0])), 1 - keep[0]]
    for part, array in zip(np.split(cell.b.grad, 3), wanted, strict=True):
        bound = 100 * scale * np.finfo(dtype).eps * max(1, np.abs(n).max())
        np.testing.assert_allclose(part, array.sum(axis=0), rtol=0, atol=bound)


@pytest.mark.parametrize("kind", [ur.GRU, ur.GRUResetBefore])
def test_a_gate_that_takes_the_new_is_that_which_keeps_the_past_with_its_sum_negated(kind: Any) -> None:
    """To all digits, also where hardly anything of the past is kept."""
    rng = np.random.default_rng(5)
    cells = [kind(I, H, update=update, rng=np.random.default_rng(6)) for update in ("keep", "new")]
    x, start = (rng.normal(size=shape).astype(np.float32) for shape in ((T, B, I), (B, H)))
    found: list[list[Any]] = []
    for cell, sign in zip(cells, (1, -1), strict=True):
        for tensor in (cell.W_ih, cell.W_hh, cell.b):
            tensor.data[H : 2 * H] *= sign
        cell.b.data[H : 2 * H] = sign * np.linspace(-20, -10, H)  # keeps 2e-9 to 5e-5
        h0 = ur.Tensor(start, requires_grad=True)
        y, _ = cell(x, (h0,))
        y.sum().backward()
        gradients = [cell.W_ih.grad, cell.W_hh.grad, cell.b.grad]
        for gradient in gradients:
            gradient[H : 2 * H] *= sign
        found.append([np.asarray(y), h0.grad, *gradients])
    assert np.abs(found[0][4][H : 2 * H]).min() > 0
    for keep, new in zip(*found, strict=True):
        np.testing.assert_array_equal(keep, new)


def test_a_small_euler_step_of_a_ctrnn_keeps_its_digits_on_the_way_back() -> None:
    """h[t] = h[t-1] + k (a - h[t-1]) with k = dt / tau: da = k, as far as the loss is the sum of one step."""
    cell = ur.CTRNN(I, H, nonlinearity="identity", tau=2.0)
    cell(np.zeros((1, B, I), np.float32), dt=1e-8)[0].sum().backward()
    np.testing.assert_allclose(cell.b.grad, B * 0.5e-8, rtol=1e-6)  # some units in the last place of float32
