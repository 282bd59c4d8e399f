"""Layers around cells in continuous time pass dt on: the right part, in the right direction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import unrolled as ur
from reference import assert_same_bits

T, B, I, H = 7, 4, 3, 6
LENGTHS = np.array([7, 0, 3, 6])


def cell(kind: str, inputs: int = I, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    options = {"missing": {"missing": True}, "plain": {"method": "exponential"}}.get(kind, {})
    made = {"gru_d": ur.GRUD, "lstm": ur.LSTM}.get(kind, ur.CTRNN)(
        inputs, H, dtype=np.float64, rng=rng, **options
    )
    for parameter in made.parameters().values():
        parameter.data[...] += rng.uniform(0, 0.3, parameter.shape)
    return made


def arrays() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    x, dt = rng.normal(size=(T, B, I)), rng.uniform(0.1, 1, (T, B))
    return x, dt


KINDS = ["plain", "missing", "gru_d"]


def turned(array: np.ndarray) -> np.ndarray:
    """The valid part of every row backwards."""
    out = array.copy()
    for b, n in enumerate(LENGTHS):
        out[:n, b] = array[:n, b][::-1]
    return out


@pytest.mark.parametrize("kind", KINDS)
def test_bidirectional(kind: str) -> None:
    """The backward cell reads the sequence turned round. The times between steps turn with it, so that the one before
    the sequence stays first."""
    there, back = cell(kind), cell(kind, seed=1)
    x, dt = arrays()
    if kind != "plain":
        x[np.random.default_rng(2).random(x.shape) < 0.4] = np.nan
    tensor = ur.Tensor(dt, requires_grad=True)
    both = ur.Bidirectional(there, back)
    y, state = both(x, lengths=LENGTHS, dt=tensor)
    first, first_state = there(x, lengths=LENGTHS, dt=dt)
    dt_back = turned(dt)
    if kind != "plain":
        for b, n in enumerate(LENGTHS):
            dt_back[:n, b] = np.concatenate([dt[:1, b], dt[1:n, b][::-1]])[:n]
    second, second_state = back(turned(x), lengths=LENGTHS, dt=dt_back)
    wanted = np.concatenate([np.asarray(first), turned(np.asarray(second))], axis=2)
    assert_same_bits(np.asarray(y), wanted)
    assert_same_bits(tuple(map(np.asarray, state.forward)), tuple(map(np.asarray, first_state)))
    assert_same_bits(tuple(map(np.asarray, state.backward)), tuple(map(np.asarray, second_state)))
    dy = np.random.default_rng(3).normal(size=y.shape)
    y.backward(dy)
    check_gradient(
        lambda d: np.asarray(ur.Bidirectional(there, back)(x, lengths=LENGTHS, dt=d)[0]), dt, dy, tensor.grad
    )


def check_gradient(
    f: Callable[[np.ndarray], np.ndarray], dt: np.ndarray, dy: np.ndarray, gradient: np.ndarray
) -> None:
    direction = np.random.default_rng(4).normal(size=dt.shape)
    above, below = ((f(dt + sign * 1e-6 * direction) * dy).sum() for sign in (1, -1))
    numeric = (above - below) / 2e-6
    # Truncation of order 1e-12, cancellation 1e-16 / 1e-6 times the loss.
    assert abs(numeric - (gradient * direction).sum()) < 1e-7 * (1 + abs(numeric))


def test_a_stack_gives_dt_to_the_layers_that_take_it() -> None:
    layers = [cell("gru_d"), cell("lstm", H), cell("plain", H)]
    stack = ur.Stack(layers)
    x, dt = arrays()
    y, _ = stack(x, lengths=LENGTHS, dt=dt)
    below, _ = layers[0](x, lengths=LENGTHS, dt=dt)
    middle, _ = layers[1](below, lengths=LENGTHS)
    assert_same_bits(np.asarray(y), np.asarray(layers[2](middle, lengths=LENGTHS, dt=dt)[0]))
    with ur.no_grad():
        whole, _ = stack(x, dt=dt)
    state = stack.initial_state(B)
    for t in range(T):
        y_t, state = stack.step(x[t], state, dt=dt[t])
        assert_same_bits(y_t, np.asarray(whole)[t])


@pytest.mark.parametrize("wrapper", [ur.Residual, ur.Highway])
def test_ways_around_a_layer(wrapper: Any) -> None:
    inner = cell("plain", H)
    layer = wrapper(inner, rng=np.random.default_rng(5))
    rng = np.random.default_rng(6)
    x, dt = rng.normal(size=(T, B, H)), rng.uniform(0.1, 1, (T, B))
    tensor = ur.Tensor(dt, requires_grad=True)
    y, _ = layer(x, lengths=LENGTHS, dt=tensor)
    assert np.abs(np.asarray(y) - np.asarray(layer(x, lengths=LENGTHS)[0])).max() > 1e-3
    dy = rng.normal(size=y.shape)
    y.backward(dy)
    check_gradient(lambda d: np.asarray(layer(x, lengths=LENGTHS, dt=d)[0]), dt, dy, tensor.grad)
    state = layer.initial_state(B)
    with ur.no_grad():
        whole, _ = layer(x, dt=dt)
    for t in range(T):
        y_t, state = layer.step(x[t], state, dt=dt[t])
        assert_same_bits(y_t, np.asarray(whole)[t])


@pytest.mark.parametrize("form", ["number", "steps", "rows", "tensor"])
def test_a_pyramid_adds_the_dt_of_pairs(form: str) -> None:
    layers = [cell("plain"), cell("plain", 2 * H), cell("gru_d", 2 * H)]
    pyramid = ur.Pyramid(layers)
    x, rows = arrays()
    given = {"number": 0.5, "steps": rows[:, 0], "rows": rows, "tensor": ur.Tensor(rows, requires_grad=True)}[
        form
    ]
    dt = (
        np.full((T, B), 0.5)
        if form == "number"
        else np.repeat(rows[:, :1], B, axis=1)
        if form == "steps"
        else rows
    )
    y, _, sizes = pyramid(x, lengths=LENGTHS, dt=given)
    lengths, below = LENGTHS, layers[0](x, lengths=LENGTHS, dt=dt)[0]
    for layer in layers[1:]:
        padded = np.where(np.arange(len(dt))[:, None] < lengths, dt, 0)
        padded = np.concatenate([padded, np.zeros((len(dt) % 2, B))])
        dt = padded[::2] + padded[1::2]
        below, lengths = ur.join_pairs(below, lengths)
        below = layer(below, lengths=lengths, dt=dt)[0]
    assert_same_bits(np.asarray(y), np.asarray(below))
    np.testing.assert_array_equal(sizes, lengths)
    np.testing.assert_array_equal(np.asarray(pyramid.joined_dt(given, (T, B), LENGTHS)), dt)
    if form == "tensor":
        dy = np.random.default_rng(7).normal(size=y.shape)
        y.backward(dy)
        check_gradient(lambda d: np.asarray(pyramid(x, lengths=LENGTHS, dt=d)[0]), rows, dy, given.grad)


def test_sequential_passes_on_what_a_pyramid_leaves_of_dt() -> None:
    pyramid, last = ur.Pyramid([cell("plain"), cell("plain", 2 * H)]), cell("plain", H, 3)
    linear = ur.Linear(H, 2, dtype=np.float64)
    model = ur.Sequential(pyramid, ur.Sequential(last, linear))
    x, dt = arrays()
    y, _, lengths = pyramid(x, lengths=LENGTHS, dt=dt)
    after, _ = last(y, lengths=lengths, dt=pyramid.joined_dt(dt, (T, B), LENGTHS))
    assert_same_bits(np.asarray(model(x, lengths=LENGTHS, dt=dt)), np.asarray(linear(after)))


def test_dt_without_a_taker_is_an_error() -> None:
    x = np.zeros((T, B, H))
    plain = [ur.LSTM(H, H, dtype=np.float64), ur.GRU(H, H, dtype=np.float64)]
    for layer, kinds in [
        (ur.Stack(plain), "LSTM, GRU"),
        (ur.Bidirectional(*plain), "LSTM, GRU"),
        (ur.Residual(plain[0]), "LSTM"),
        (ur.Highway(plain[0]), "LSTM"),
        (ur.Sequential(*plain), "LSTM, GRU"),
        (ur.Pyramid(plain[:1]), "LSTM"),
    ]:
        name = type(layer).__name__
        message = rf"{name}: dt is given, expected None because no layer inside takes it \({kinds}\)"
        with pytest.raises(TypeError, match=message):
            layer(x, dt=0.5)
        assert not layer.takes_dt
