"""The sequences of the recipes are what their papers say, and a seed fixes them."""

from __future__ import annotations

import re

import numpy as np
import pytest

from unrolled.recipes import tasks

REBER = re.compile(r"B(T(S)*X|P(T)*V)")
B, T, S, X, P, V, E = range(7)
FORMS = {
    "adding": lambda rng: tasks.adding(rng, 5, 30),
    "adding with ends": lambda rng: tasks.adding_with_ends(rng, 5, 30),
    "order": lambda rng: tasks.temporal_order(rng, 5, 30),
    "order with ends": lambda rng: tasks.temporal_order_with_ends(rng, 5, 30),
    "lag": lambda rng: tasks.noise_free_lag(rng, 5, 7),
    "copy": lambda rng: tasks.copy_memory(rng, 5, 7),
    "reber": lambda rng: tasks.reber_batch(rng, 5),
    "streams": lambda rng: tasks.reber_streams(rng, 5, 40),
    "parity": lambda rng: tasks.parity(rng, 5, 12),
    "memorisation": lambda rng: tasks.memorisation(rng, 5, 6, 9),
    "spirals": lambda rng: tasks.irregular_spirals(rng, 5, 10),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_seed_fixes_the_data(name):
    first, again, other = (FORMS[name](np.random.default_rng(seed)) for seed in (3, 3, 4))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any(a.shape != b.shape or (a != b).any() for a, b in zip(first, other, strict=True))


def reber_automaton(symbols):
    """A second description of the grammar: (state, symbol) -> state. Gives the symbols allowed after each."""
    moves = {
        (0, B): 1, (1, T): 2, (1, P): 3, (2, S): 2, (2, X): 4, (3, T): 3, (3, V): 5,
        (4, X): 3, (4, S): 6, (5, P): 4, (5, V): 6, (6, E): 7,
    }  # fmt: skip
    state, allowed = 0, []
    for symbol in symbols:
        state = moves[state, symbol]
        allowed.append({s for q, s in moves if q == state})
    assert state == 7
    return allowed


def test_embedded_reber_strings():
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(300):
        text = tasks.embedded_reber(rng)
        first, middle, *inner, again, last = text.symbols.tolist()
        assert (first, last, again) == (B, E, middle)
        assert middle in (T, P)
        expected = [{T, P}, {B}, *reber_automaton(inner)[:-1], {middle}, {E}, {B}]
        assert [set(np.flatnonzero(row)) for row in text.legal] == expected
        seen.add(tuple(text.symbols))
    assert len(seen) > 100
    assert {text[1] for text in seen} == {T, P}
    assert min(map(len, seen)) == 9  # B T BTXSE T E is the shortest
    joined = "".join(tasks.REBER_SYMBOLS[s] for s in next(iter(seen)))
    assert REBER.match(joined[2:])


def test_reber_batches_and_streams():
    batch = tasks.reber_batch(np.random.default_rng(0), 6)
    for row, length in enumerate(batch.lengths):
        symbols = batch.x[:length, row].argmax(axis=1)
        np.testing.assert_array_equal(symbols[1:], batch.targets[: length - 1, row])
        assert batch.targets[length - 1, row] == E
        assert batch.legal[np.arange(length), row, batch.targets[:length, row]].all()
    assert (batch.lengths == batch.lengths.max()).sum() < 6
    stream = tasks.reber_streams(np.random.default_rng(0), 3, 200)
    assert stream.x.shape == (200, 3, 7)
    np.testing.assert_array_equal(stream.x[1:].argmax(axis=2), stream.targets[:-1])
    rows, steps = np.meshgrid(np.arange(3), np.arange(200))
    assert stream.legal[steps, rows, stream.targets].all()
    for row in range(3):
        text = "".join(tasks.REBER_SYMBOLS[s] for s in stream.x[:, row].argmax(axis=1))
        whole = re.split(r"(?<=[TP]E)(?=B[TP]B)", text)[:-1]
        assert len(whole) > 5
        place = 0
        for part in whole:
            inner = reber_automaton([tasks.REBER_SYMBOLS.index(s) for s in part[2:-2]])
            kept = tasks.REBER_SYMBOLS.index(part[1])
            following = [{T, P}, {B}, *inner[:-1], {kept}, {E}, {B}]
            for t, symbols in enumerate(following, start=place):
                assert set(np.flatnonzero(stream.legal[t, row])) == symbols
            place += len(part)


def test_adding():
    x, targets = tasks.adding(np.random.default_rng(0), 1000, 50)
    np.testing.assert_array_equal(x[:25, :, 1].sum(axis=0), 1)
    np.testing.assert_array_equal(x[25:, :, 1].sum(axis=0), 1)
    np.testing.assert_allclose((x[..., 0] * x[..., 1]).sum(axis=0), targets[:, 0], rtol=1e-6)
    # The error of the answer 1: variance 1/6 of the sum, known to 1 / sqrt(1000) of itself.
    assert ((targets - 1) ** 2).mean() == pytest.approx(1 / 6, rel=0.1)


def test_adding_with_ends():
    x, targets, lengths = tasks.adding_with_ends(np.random.default_rng(0), 2000, 100)
    assert set(lengths) == set(range(100, 111))
    for row, length in enumerate(lengths):
        marked = np.flatnonzero(x[:, row, 1] == 1)
        assert len(marked) == 2
        assert marked[0] < 10
        assert marked[1] < 49
        numbers = np.where(marked == 0, 0, x[marked, row, 0])
        assert targets[row, 0] == pytest.approx(0.5 + numbers.sum() / 4, rel=1e-5)
        assert x[length - 1, row, 1] == -1
        assert x[0, row, 1] == (1 if marked[0] == 0 else -1)
        assert (x[length:, row] == 0).all()
        assert np.abs(x[:, row, 0]).max() <= 1


def test_temporal_order():
    x, classes = tasks.temporal_order(np.random.default_rng(0), 500, 50)
    symbols = x.argmax(axis=2)
    assert set(classes) == {0, 1, 2, 3}
    for row, kind in enumerate(classes):
        first, second = np.flatnonzero(symbols[:, row] < 2)
        assert 5 <= first < 10
        assert 25 <= second < 30
        assert kind == symbols[first, row] + 2 * symbols[second, row]


def test_temporal_order_with_ends():
    x, classes, lengths = tasks.temporal_order_with_ends(np.random.default_rng(0), 500)
    assert set(classes) == {0, 1, 2, 3}
    assert lengths.min() == 100
    assert lengths.max() == 110
    for row, length in enumerate(lengths):
        symbols = x[:length, row].argmax(axis=1)
        assert (symbols[0], symbols[-1]) == (6, 7)
        assert set(symbols[1:-1]) <= set(range(6))
        first, second = np.flatnonzero(symbols < 2)
        assert 10 <= first <= 20
        assert 50 <= second <= 60
        assert classes[row] == symbols[first] + 2 * symbols[second]
        assert not x[length:, row].any()


def test_noise_free_lag():
    x, following = tasks.noise_free_lag(np.random.default_rng(0), 50, 6)
    symbols = np.concatenate([x.argmax(axis=2), following[-1:]])
    np.testing.assert_array_equal(symbols[1:], following)
    assert {tuple(column) for column in symbols.T} == {(0, 2, 3, 4, 5, 6, 0), (1, 2, 3, 4, 5, 6, 1)}


def test_copy_memory():
    x, targets = tasks.copy_memory(np.random.default_rng(0), 4, 15)
    assert x.shape == targets.shape == (35, 4)
    np.testing.assert_array_equal(x[:10], targets[-10:])
    assert set(x[:10].ravel()) <= set(range(1, 9))
    assert (x[10:24] == 0).all()
    assert (x[24:] == 9).all()
    assert (targets[:-10] == 0).all()


def test_counting():
    x, legal, lengths = tasks.counting([1, 3])
    np.testing.assert_array_equal(lengths, [4, 10])
    assert "".join("abcS"[s] for s in x[:, 1].argmax(axis=1)) == "Saaabbbccc"
    answers = ["".join("abcS"[s] for s in np.flatnonzero(row)) for row in legal[:, 1]]
    assert answers == ["a", "ab", "ab", "ab", "b", "b", "c", "c", "c", "S"]
    answers = ["".join("abcS"[s] for s in np.flatnonzero(row)) for row in legal[:4, 0]]
    assert answers == ["a", "ab", "c", "S"]
    assert not x[4:, 0].any()


def test_parity():
    x, targets = tasks.parity(np.random.default_rng(0), 300, 7)
    assert set(x.ravel()) == {-1, 1}
    # The product of the signs changes with every -1, of which there are 7 less the ones.
    np.testing.assert_array_equal(x.prod(axis=1), np.where(targets == 1, 1, -1))
    assert set(targets) == {0, 1}


def test_memorisation():
    x, targets = tasks.memorisation(np.random.default_rng(0), 30, 4, 6)
    assert x.shape == (8, 30, 7)
    np.testing.assert_array_equal(x.sum(axis=2), 1)
    np.testing.assert_array_equal(x[:4].argmax(axis=2), targets)
    assert (x[4:].argmax(axis=2) == 6).all()
    assert set(targets.ravel()) == set(range(6))


def test_spirals():
    found = tasks.irregular_spirals(np.random.default_rng(0), 400, 30, noise=0.0)
    times = np.cumsum(found.dt, axis=0)
    # exp(-0.02 s) is the radius; float32 times.
    np.testing.assert_allclose(np.linalg.norm(found.x, axis=2), np.exp(-0.02 * times), rtol=1e-4)
    assert found.dt.mean() == pytest.approx(1, rel=0.05)  # of 12,000 exponentials: 1 % expected
    short = found.dt < 3  # less than half a turn
    angle = np.arctan2(found.x[..., 1], found.x[..., 0])
    turned = np.abs(np.angle(np.exp(1j * np.diff(angle, axis=0))))
    speed = [(turned / found.dt[1:])[short[1:] & (found.targets == kind)] for kind in (0, 1)]
    assert speed[0].max() < 0.36
    assert speed[1].min() > 0.39
