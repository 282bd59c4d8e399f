"""CTRNN: steps of any length, both methods, and how fast they converge."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import unrolled as ur
from reference import assert_same_bits

T, B, I, H = 6, 3, 4, 21
METHODS = ["euler", "exponential"]


def make(method: str, dtype: Any = np.float64, **options: Any) -> Any:
    rng = np.random.default_rng(1)
    cell = ur.CTRNN(I, H, method=method, dtype=dtype, rng=rng, **options)
    cell.tau.data[...] = 0.5 + rng.random(H)
    cell.b.data[...] = rng.normal(size=H)
    return cell


def steps(cell: Any, x: np.ndarray, h: np.ndarray, dt: np.ndarray) -> np.ndarray:
    """The equations in NumPy; dt (T, B)."""
    W, U, b, tau = (np.asarray(cell.parameters()[n], np.float64) for n in ("W_ih", "W_hh", "b", "tau"))
    outputs = []
    for x_t, dt_t in zip(x, dt, strict=True):
        g = np.tanh(x_t @ W.T + h @ U.T + b)
        k = dt_t[:, None] / tau
        h = h + (k if cell.method == "euler" else 1 - np.exp(-k)) * (g - h)
        outputs.append(h)
    return np.stack(outputs)


def arrays() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    return rng.normal(size=(T, B, I)), rng.normal(size=(B, H)), 0.3 * rng.random((T, B))


@pytest.mark.parametrize("method", METHODS)
def test_any_dt_agrees_with_numpy(method: str) -> None:
    cell = make(method)
    x, h, dt = arrays()
    for given, wanted in [
        (0.25, np.full((T, B), 0.25)),
        (dt[:, 0], np.repeat(dt[:, :1], B, axis=1)),
        (dt, dt),
    ]:
        y, state = cell(x, (h,), dt=given)
        exact = steps(cell, x, h, wanted)
        assert np.abs(np.asarray(y) - exact).max() < 1e-12
        assert np.abs(np.asarray(state.h) - exact[-1]).max() < 1e-12


@pytest.mark.parametrize("method", METHODS)
def test_steps_with_dt_are_the_call(method: str) -> None:
    cell = make(method, np.float32)
    x, h, dt = (a.astype(np.float32) for a in arrays())
    with ur.no_grad():
        y, _ = cell(x, (h,), dt=dt)
    state = cell.State(h)
    for t in range(T):
        y_t, state = cell.step(x[t], state, dt=dt[t])
        assert_same_bits(y_t, np.asarray(y)[t])
    y_t, _ = cell.step(x[0], cell.State(h), dt=0.5)
    with ur.no_grad():
        assert_same_bits(y_t, np.asarray(cell(x[:1], (h,), dt=0.5)[0])[0])


@pytest.mark.parametrize("method", METHODS)
def test_dt_follows_lengths_and_direction(method: str) -> None:
    cell = make(method)
    x, h, dt = arrays()
    lengths = np.array([6, 2, 4])
    with ur.no_grad():
        whole, _ = cell(x, (h,), lengths, reverse=True, dt=dt)
        for row, n in enumerate(lengths):
            part = (slice(0, n), slice(row, row + 1))
            alone, _ = cell(
                np.ascontiguousarray(x[part]),
                (h[row : row + 1],),
                reverse=True,
                dt=np.ascontiguousarray(dt[part]),
            )
            assert_same_bits(np.asarray(whole)[:n, row], np.asarray(alone)[:, 0])


@pytest.mark.parametrize("method", METHODS)
def test_gradients_with_dt(method: str) -> None:
    cell = make(method)
    x, h, dt = arrays()
    rng = np.random.default_rng(3)
    dy = rng.normal(size=(T, B, H))
    y, _ = cell(x, (h,), dt=dt)
    y.backward(dy)
    for name, parameter in cell.parameters().items():
        direction = rng.normal(size=parameter.shape)
        losses = []
        for sign in (1, -2, 1):  # there, back beyond, and home
            parameter.data[...] += sign * 1e-6 * direction
            losses.append((steps(cell, x, h, dt) * dy).sum())
        numeric = (losses[0] - losses[1]) / 2e-6
        # Cancellation of a loss near 10 over the step of 1e-6.
        assert abs(numeric - (parameter.grad * direction).sum()) < 1e-7 * (1 + abs(numeric)), name


@pytest.mark.parametrize("method", METHODS)
def test_observed_order_of_convergence_is_one(method: str) -> None:
    """The error at a fixed time halves with dt."""
    cell = make(method)
    x, h, _ = arrays()

    def at_one(count: int) -> np.ndarray:
        with ur.no_grad():
            return np.asarray(cell(np.repeat(x[:1], count, axis=0), (h,), dt=1 / count)[1].h)

    exact = at_one(20000)
    errors = [np.abs(at_one(count) - exact).max() for count in (25, 50, 100)]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert ((orders > 0.9) & (orders < 1.1)).all(), orders


def test_exponential_euler_is_exact_for_a_frozen_drive() -> None:
    cell = make("exponential")
    cell.W_hh.data[...] = 0  # the drive sees x alone
    x, h, _ = arrays()
    with ur.no_grad():
        _, one = cell(x[:1], (h,), dt=2.0)
        _, many = cell(np.repeat(x[:1], 8, axis=0), (h,), dt=0.25)
    assert np.abs(np.asarray(one.h) - np.asarray(many.h)).max() < 1e-14


@pytest.mark.parametrize(
    ("dt", "error", "message"),
    [
        ("x", TypeError, "CTRNN: dt is a str, expected a number or an array"),
        (np.ones(5), ValueError, r"CTRNN: dt has shape \(5,\), expected a number, \(6,\) or \(6, 3\)"),
        (-1.0, ValueError, "CTRNN: dt has a negative, infinite or missing"),
        (np.array([True] * 6), TypeError, "CTRNN: dt has dtype bool, expected numbers"),
    ],
)
def test_wrong_dt(dt: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make("euler")(arrays()[0], dt=dt)


def push_down(cell: ur.CTRNN, kind: type[ur.optim.Optimizer], rate: float) -> np.ndarray:
    """tau after three updates that lead it far below zero."""
    optimizer = kind(cell, lr=rate)
    for _ in range(3):
        cell.tau.grad = np.full_like(cell.tau.data, 5.0)
        optimizer.step()
    return cell.tau.data.copy()


@pytest.mark.parametrize("kind", [ur.SGD, ur.Adam, ur.AdamW, ur.RMSprop, ur.Adagrad])
def test_training_keeps_time_constants_positive(kind: Any, tmp_path: Any) -> None:
    cell = ur.CTRNN(3, 4, tau=2.0)
    ur.save(cell, tmp_path / "cell.safetensors")
    copies = copy.deepcopy(cell), pickle.loads(pickle.dumps(cell)), ur.load(tmp_path / "cell.safetensors")
    for made in (cell, *copies):
        assert (push_down(made, kind, 10.0) == np.float32(0.02)).all()
    bounded = ur.CTRNN(3, 4, tau=2.0, least_tau=0.5)
    assert (push_down(bounded, kind, 10.0) == 0.5).all()
    free = ur.CTRNN(3, 4, tau=2.0)
    assert (push_down(free, kind, 1e-3) > 1.0).all() and (free.tau.data < 2.0).all()


@pytest.mark.parametrize(
    ("least", "message"),
    [
        (0.0, "CTRNN: least_tau is 0.0, expected a number above 0"),
        (3.0, "CTRNN: least_tau is 3.0, expected at most 2.0, the initial tau"),
    ],
)
def test_wrong_bounds_of_time_constants(least: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ur.CTRNN(3, 4, tau=2.0, least_tau=least)


@pytest.mark.parametrize("missing", [False, True])
def test_steps_with_dt_read_packed_weights(missing: bool, monkeypatch: Any) -> None:
    cell = ur.CTRNN(3, 4, missing=missing)
    x, dt = np.ones((2, 3), np.float32), np.array([0.25, 0.5], np.float32)
    y, state = cell.step(x, None, dt=dt)
    cell.step(x, state, dt=0.5)

    def careful(*_: Any) -> Any:
        raise AssertionError("weights were packed again")

    monkeypatch.setattr(ur.CTRNN, "_careful_step", careful)
    again, _ = cell.step(x, None, dt=dt)
    assert_same_bits(again, y)
    cell.step(x, state, dt=0.5)
    cell.step(x, state, dt=np.float64(0.5))
