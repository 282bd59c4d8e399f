"""Pyramid, Residual and Highway beside their values: pairs of steps, initial values, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unrolled as ur

X = np.zeros((4, 2, 3), np.float32)


def test_pairs_of_steps() -> None:
    x = np.arange(5 * 2 * 3, dtype=np.float64).reshape(5, 2, 3) + 1
    y, lengths = ur.join_pairs(x, [5, 2])
    assert y.shape == (3, 2, 6)
    np.testing.assert_array_equal(lengths, [3, 1])
    np.testing.assert_array_equal(np.asarray(y)[0, 1], [*x[0, 1], *x[1, 1]])
    np.testing.assert_array_equal(np.asarray(y)[2, 0], [*x[4, 0], 0, 0, 0])
    assert not np.asarray(y)[1:, 1].any()
    np.testing.assert_array_equal(ur.join_pairs(x)[1], [3, 3])
    for steps in range(4):
        y, lengths = ur.join_pairs(x[:steps])
        assert len(y) == (steps + 1) // 2
        np.testing.assert_array_equal(lengths, len(y))


def test_sequential_passes_the_shorter_lengths_and_resets_on() -> None:
    rng = np.random.default_rng(0)
    pyramid = ur.Pyramid([ur.RNN(3, 4, rng=rng), ur.RNN(8, 4, rng=rng)])
    top, output = ur.GRU(4, 2, rng=rng), ur.Linear(2, 2, rng=rng)
    x = rng.standard_normal((7, 3, 3)).astype(np.float32)
    lengths, reset = np.array([7, 3, 0]), np.zeros((7, 3), bool)
    reset[[2, 4], [0, 0]] = True
    y, _, shorter = pyramid(x, None, lengths, reset)
    np.testing.assert_array_equal(shorter, [4, 2, 0])
    wanted = output(top(y, None, shorter, reset[::2])[0])
    model = ur.Sequential(pyramid, top, output)
    np.testing.assert_array_equal(model(x, lengths=lengths, reset=reset), wanted)
    np.testing.assert_array_equal(model(x), output(top(pyramid(x)[0])[0]))


def test_dropout_of_a_pyramid_acts_between_layers_in_training_only() -> None:
    rng = np.random.default_rng(0)
    layers = [ur.RNN(3, 40, rng=rng), ur.RNN(80, 4, rng=rng)]
    pyramid, plain = ur.Pyramid(layers, dropout=0.5, rng=rng), ur.Pyramid(layers)
    x = rng.standard_normal((4, 2, 3)).astype(np.float32)
    assert (np.asarray(pyramid(x)[0]) != np.asarray(plain(x)[0])).any()
    np.testing.assert_array_equal(pyramid.eval()(x)[0], plain(x)[0])


def test_a_new_highway_carries_its_input() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 3, 8)).astype(np.float32)
    layer = ur.Highway(ur.LSTM(8, 8, rng=rng), transform_bias=-20, rng=rng)
    np.testing.assert_allclose(layer(x)[0], x, atol=1e-5)
    np.testing.assert_array_equal(ur.Highway(ur.RNN(3, 3)).b_s, np.full(3, -2.0))
    assert (np.asarray(ur.Highway(ur.RNN(3, 3), rng=rng).W_s) != 0).all()
    open_gate = ur.Highway(ur.LSTM(8, 8, rng=rng), transform_bias=30, rng=rng)
    np.testing.assert_allclose(open_gate(x)[0], open_gate.layer(x)[0], atol=1e-6)


def test_initial_matrices_come_from_the_generator() -> None:
    cell = ur.RNN(3, 4)
    for make in (ur.Residual, ur.Highway):
        one, two = (make(cell, projection=True, rng=np.random.default_rng(5)) for _ in range(2))
        np.testing.assert_array_equal(one.W, two.W)
        assert (np.asarray(make(cell, projection=True).W) != np.asarray(one.W)).any()


PYRAMID = ur.Pyramid([ur.RNN(3, 2), ur.RNN(4, 2)])
RESET = np.zeros((4, 2), bool)
RESET[3, 1] = True


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ur.Residual(ur.RNN(3, 4)), ValueError, "Residual: the layer has input_size=3 and output_size=4"),
        (lambda: ur.Highway(ur.RNN(3, 4)), ValueError, "Highway: .*projection=True"),
        (lambda: ur.Residual(ur.Linear(3, 3)), TypeError, "Residual: layer is a Linear, expected a recurrent layer"),
        (lambda: ur.Residual(ur.RNN(3, 3), projection=1), TypeError, "Residual: projection is a int, expected a bool"),
        (lambda: ur.Residual(ur.RNN(3, 3), rng=1), TypeError, "Residual: rng is a int"),
        (lambda: ur.Highway(ur.RNN(3, 3), transform_bias="a"), TypeError, "Highway: transform_bias is a str"),
        (lambda: ur.Highway(ur.RNN(3, 3), transform_bias=np.inf), ValueError, "transform_bias is inf"),
        (lambda: ur.Residual(PYRAMID), TypeError, "Residual: layer is a Pyramid, which gives fewer steps"),
        (lambda: ur.Stack([PYRAMID]), TypeError, "Stack: layer 0 is a Pyramid, which gives fewer steps"),
        (lambda: ur.Bidirectional(PYRAMID, PYRAMID), TypeError, "forward_cell is a Pyramid"),
        (lambda: ur.Pyramid([ur.RNN(3, 2), ur.RNN(2, 2)]), ValueError, "input_size=2, expected 4, twice the output"),
        (lambda: ur.Pyramid([]), ValueError, "Pyramid: there are no layers"),
        (lambda: ur.Pyramid(ur.RNN(3, 2)), TypeError, r"Pyramid: cells is RNN, expected .*Pyramid\(\[a, b\]\)"),
        (lambda: ur.Pyramid([ur.Linear(3, 2)]), TypeError, "Pyramid: layer 0 is a Linear"),
        (lambda: PYRAMID(X, reset=RESET), ValueError, "reset is set between the two steps of pair 1 of row 1"),
        (lambda: PYRAMID(X, lengths=[5, 1]), ValueError, "RNN: lengths has 5, expected 0 to 4"),
        (lambda: PYRAMID(X, (None,)), ValueError, "Pyramid: state is 1 states, expected a tuple of 2"),
        (lambda: PYRAMID(X.astype(float)), TypeError, "RNN: x has dtype float64"),
        (lambda: PYRAMID.step(X[0]), TypeError, "Pyramid: there is no step"),
        (lambda: ur.join_pairs(X[0]), ValueError, r"join_pairs: x has shape \(2, 3\), expected \(time, batch"),
        (lambda: ur.join_pairs(X, [5, 1]), ValueError, "join_pairs: lengths has 5"),
        (lambda: ur.Residual(ur.RNN(3, 3))(X[0]), ValueError, r"RNN: x has shape \(2, 3\)"),
        (lambda: ur.Residual(ur.RNN(3, 3)).step(X), ValueError, r"RNN: x_t has shape"),
    ],
)  # fmt: skip
def test_bad_layers(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
