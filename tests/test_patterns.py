"""The ways to read and write sequences, against loops over single steps in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unrolled as ur
from cases import CASES
from steps import gru
from unrolled import patterns

T, B, I, H, O = 6, 3, 4, 5, 4
GRU = next(case for case in CASES if case.name == "GRU")
RNG = np.random.default_rng(0)
X, START = RNG.standard_normal((T, B, I)), RNG.standard_normal((B, H))
CELL = GRU.make(I, H)
OUTPUT = ur.Linear(H, O, dtype=np.float64, rng=np.random.default_rng(1))
P = {name: np.asarray(p) for name, p in CELL.parameters().items()}
LENGTHS = np.array([6, 1, 0])


def readout(h: Any) -> Any:
    return h @ np.asarray(OUTPUT.W).T + np.asarray(OUTPUT.b)


def steps_of(inputs: Any, h: Any) -> Any:
    """The outputs of all steps, by the step of the paper."""
    outputs = []
    for x in inputs:
        h, _ = gru(P, x, (h,))
        outputs.append(h)
    return np.array(outputs)


def close(actual: Any, wanted: Any) -> None:
    assert actual.shape == wanted.shape
    np.testing.assert_allclose(actual, wanted, atol=1e-13)  # a few dozen roundings of numbers of size one


def test_one_to_one() -> None:
    y, state = patterns.one_to_one(CELL, X[0], state=(START,), output=OUTPUT)
    h = steps_of(X[:1], START)[0]
    close(y, readout(h))
    close(state.h, h)
    close(patterns.one_to_one(CELL, X[0])[0], steps_of(X[:1], np.zeros((B, H)))[0])


def test_many_to_one_of_a_layer_that_shortens_sequences() -> None:
    pyramid = ur.Pyramid([ur.GRU(I, 3, dtype=np.float64), ur.GRU(6, 2, dtype=np.float64)])
    found, state = patterns.many_to_one(pyramid, X, lengths=LENGTHS)
    for row, length in enumerate(LENGTHS[:2]):
        y, last, _ = pyramid(X[:length, row : row + 1])
        close(found[row], np.asarray(y)[-1, 0])
        close(state[1].h[row], np.asarray(last[1].h)[0])
    assert not np.asarray(found[2]).any()
    decoder = ur.Stack([ur.GRU(I, 3, dtype=np.float64), ur.GRU(3, 2, dtype=np.float64)])
    y, _ = patterns.many_to_one_to_many(pyramid, decoder, X, X[:2], lengths=LENGTHS)
    close(y, np.asarray(decoder(X[:2], tuple(state))[0]))


def test_many_to_one() -> None:
    h = steps_of(X, START)
    y, state = patterns.many_to_one(CELL, X, state=(START,), output=OUTPUT)
    close(y, readout(h[-1]))
    close(state.h, h[-1])
    y, _ = patterns.many_to_one(CELL, X, state=(START,), lengths=LENGTHS)
    close(y, np.array([h[5, 0], h[0, 1], np.zeros(H)]))
    y, state = patterns.many_to_one(CELL, X[:0], state=(START,), output=OUTPUT)
    close(y, readout(np.zeros((B, H))))
    close(state.h, START)
    both = ur.Bidirectional(GRU.make(I, H, seed=1), GRU.make(I, H, seed=2))
    close(patterns.many_to_one(both, X, lengths=LENGTHS)[0][1], np.asarray(both(X[:1])[0])[0, 1])


def test_one_to_many_with_silence() -> None:
    y, state = patterns.one_to_many(CELL, X[0], 4, state=(START,), output=OUTPUT)
    h = steps_of([X[0], *np.zeros((3, B, I))], START)
    close(y, readout(h))
    close(state.h, h[-1])


def fed_back(x: Any, h: Any, count: int) -> Any:
    outputs = []
    for _ in range(count):
        h = steps_of([x], h)[0]
        outputs.append(readout(h))
        x = np.tanh(outputs[-1])
    return np.array(outputs), h


def test_one_to_many_with_feedback_and_its_gradient() -> None:
    x = ur.Tensor(X[0], requires_grad=True)
    y, state = patterns.one_to_many(CELL, x, 4, state=(START,), output=OUTPUT, feedback=ur.tanh)
    wanted, h = fed_back(X[0], START, 4)
    close(y, wanted)
    close(state.h, h)
    y[-1].sum().backward()
    direction = RNG.standard_normal(X[0].shape)
    derivative = fed_back(X[0] + 1e-30j * direction, START, 4)[0][-1].sum().imag / 1e-30
    assert (x.grad * direction).sum() == pytest.approx(derivative, rel=1e-10)
    CELL.zero_grad()
    OUTPUT.zero_grad()


def test_many_to_one_to_many() -> None:
    encoder = GRU.make(I, H, seed=5)
    _, last = encoder(X, lengths=LENGTHS)
    start = np.asarray(last.h)
    y, state = patterns.many_to_one_to_many(encoder, CELL, X, X[0], 3, lengths=LENGTHS, output=OUTPUT)
    h = steps_of([X[0], *np.zeros((2, B, I))], start)
    close(y, readout(h))
    close(state.h, h[-1])
    y, _ = patterns.many_to_one_to_many(
        encoder, CELL, X, X[0], 3, lengths=LENGTHS, output=OUTPUT, feedback=ur.tanh
    )
    close(y, fed_back(X[0], start, 3)[0])
    y, _ = patterns.many_to_one_to_many(encoder, CELL, X, X[1:3], lengths=LENGTHS, output=OUTPUT)
    close(y, readout(steps_of(X[1:3], start)))


def test_many_to_many() -> None:
    h = steps_of(X, START)
    y, state = patterns.many_to_many(CELL, X, state=(START,), output=OUTPUT)
    close(y, readout(h))
    close(state.h, h[-1])
    for delay in (1, 2, 8):
        y, state = patterns.many_to_many(CELL, X, delay=delay, state=(START,), output=OUTPUT)
        later = steps_of([*X, *np.zeros((delay, B, I))], START)
        close(y, readout(later[delay:]))
        close(state.h, later[-1])


def test_a_delayed_row_reads_zeros_behind_its_own_end() -> None:
    spoilt = X.copy()
    for b, n in enumerate(LENGTHS):
        spoilt[n:, b] = np.nan
    y, _ = patterns.many_to_many(CELL, spoilt, delay=2, lengths=LENGTHS)
    for b, n in enumerate(LENGTHS):
        alone, _ = patterns.many_to_many(CELL, X[:n, b : b + 1], delay=2)
        close(np.asarray(y)[:n, b], np.asarray(alone)[:, 0])
        assert not np.asarray(y)[n:, b].any()


Y, TARGETS = RNG.standard_normal((2, T, B, O))
SQUARES = (Y - TARGETS) ** 2


@pytest.mark.parametrize(
    ("window", "low", "high"),
    [
        ((), 0, 5),
        ((2,), 2, 5),
        ((1, 3), 1, 3),
        ((-2,), 4, 5),
        ((0, -3), 0, 3),
        ((-4, 4), 2, 4),
        ((-1, -1), 5, 5),
    ],
)
def test_a_window_of_steps(window: Any, low: int, high: int) -> None:
    cost = patterns.window_cost(ur.mean_squared_error, Y, TARGETS, *window)
    assert cost.item() == pytest.approx(SQUARES[low : high + 1].mean())
    cost = patterns.window_cost(ur.mean_squared_error, Y, TARGETS, *window, reduction="sum")
    assert cost.item() == pytest.approx(SQUARES[low : high + 1].sum())


@pytest.mark.parametrize("window", [(0, None), (1, 3), (-2, -1), (-3, -2), (1, -2), (-5, 2)])
def test_a_window_of_rows_of_different_lengths(window: Any) -> None:
    lengths = [6, 3, 1]
    cost = patterns.window_cost(ur.mean_squared_error, Y, TARGETS, *window, lengths=lengths, reduction="sum")
    low, high = window[0], -1 if window[1] is None else window[1]
    wanted = 0.0
    for b, n in enumerate(lengths):
        for t in range(n):
            if (n + low if low < 0 else low) <= t <= (n + high if high < 0 else high):
                wanted += SQUARES[t, b].sum()
    assert cost.item() == pytest.approx(wanted)


def test_the_last_steps() -> None:
    cost = patterns.last_cost(ur.mean_squared_error, Y, TARGETS)
    assert cost.item() == pytest.approx(SQUARES[-1].mean())
    assert patterns.last_cost(ur.mean_squared_error, Y, TARGETS, 99).item() == pytest.approx(SQUARES.mean())
    cost = patterns.last_cost(ur.mean_squared_error, Y, TARGETS, 2, lengths=[6, 1, 0], reduction="sum")
    assert cost.item() == pytest.approx(SQUARES[4:, 0].sum() + SQUARES[0, 1].sum())
    logits, classes = ur.Tensor(Y, requires_grad=True), RNG.integers(0, O, (T, B))
    patterns.last_cost(ur.cross_entropy, logits, classes, 2).backward()
    np.testing.assert_array_equal(np.abs(logits.grad).sum((1, 2)) > 0, [False] * 4 + [True] * 2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: patterns.one_to_many(CELL, X[0], 0), ValueError, "one_to_many: steps is 0, expected at least 1"),
        (lambda: patterns.many_to_many(CELL, X, delay=-1), ValueError, "many_to_many: delay is -1"),
        (lambda: patterns.many_to_one(CELL, X[0]), ValueError, "GRU: x has shape"),
        (
            lambda: patterns.many_to_one_to_many(CELL, CELL, X, X, feedback=ur.tanh), ValueError,
            "many_to_one_to_many: feedback is given without steps",
        ),
        (lambda: patterns.window_cost(None, Y, TARGETS, 6), ValueError, "the window is 6 to None"),
        (lambda: patterns.window_cost(None, Y, TARGETS, 3, 2), ValueError, "the window is 3 to 2, expected t_min <="),
        (lambda: patterns.window_cost(None, Y, TARGETS, -1, -2), ValueError, "the window is -1 to -2"),
        (lambda: patterns.window_cost(None, Y, TARGETS, -1, 2), ValueError, "the window is -1 to 2"),
        (lambda: patterns.window_cost(None, Y, TARGETS, -7), ValueError, "t_min is -7, expected at least -6"),
        (lambda: patterns.window_cost(None, Y, TARGETS, 0.5), TypeError, "window_cost: t_min is a float"),
        (lambda: patterns.window_cost(None, Y, TARGETS, lengths=[7, 0, 0]), ValueError, "lengths has 7"),
        (lambda: patterns.last_cost(None, Y, TARGETS, 0), ValueError, "last_cost: n is 0, expected at least 1"),
    ],
)  # fmt: skip
def test_bad_arguments(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
