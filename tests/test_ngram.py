"""The Kneser-Ney n-gram against a second implementation with dictionaries, written from the paper."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.models.ngram import KneserNey


def text_of(size, length, seed=0):
    """Tokens of a random second-order chain, so that there is something to learn."""
    rng = np.random.default_rng(seed)
    table = rng.dirichlet(np.full(size, 0.3), size=(size, size))
    tokens = [0, 0]
    for _ in range(length - 2):
        tokens.append(int(rng.choice(size, p=table[tokens[-2], tokens[-1]])))
    return tokens[:length]


class Reference:
    """Chen and Goodman's equations on dictionaries of tuples."""

    def __init__(self, tokens, size, order):
        self.size, self.order = size, order
        self.counts = {order: Counter(tuple(tokens[i : i + order]) for i in range(len(tokens) - order + 1))}
        for k in range(1, order):
            before = defaultdict(set)
            for i in range(len(tokens) - k):
                before[tuple(tokens[i + 1 : i + 1 + k])].add(tokens[i])
            self.counts[k] = Counter({gram: len(found) for gram, found in before.items()})
        self.discounts = {k: self.discount(self.counts[k]) for k in self.counts}
        self.after = {k: defaultdict(list) for k in self.counts}
        for k, counts in self.counts.items():
            for gram, count in counts.items():
                self.after[k][gram[:-1]].append(count)

    @staticmethod
    def discount(counts):
        n = Counter(counts.values())
        if not (n[1] and n[2] and n[3] and n[4]):
            return [0, 0.5, 1.0, 1.5]
        y = n[1] / (n[1] + 2 * n[2])
        d = [1 - 2 * y * n[2] / n[1], 2 - 3 * y * n[3] / n[2], 3 - 4 * y * n[4] / n[3]]
        return [0] + [min(max(value, 0), j) for j, value in enumerate(d, 1)]

    def p(self, word, history, k=None):
        k = self.order if k is None else k
        if k == 0:
            return 1 / self.size
        history = tuple(history)[-(k - 1) :] if k > 1 else ()
        if len(history) < k - 1:
            return self.p(word, history, k - 1)
        counts, discounts = self.after[k].get(history, []), self.discounts[k]
        if not counts:
            return self.p(word, history[1:], k - 1)
        count = self.counts[k][(*history, word)]
        gamma = sum(discounts[min(c, 3)] for c in counts) / sum(counts)
        kept = max(count - discounts[min(count, 3)], 0) / sum(counts)
        return kept + gamma * self.p(word, history[1:], k - 1)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_equals_the_equations(order):
    train, held_out = text_of(6, 600), text_of(6, 80, seed=1)
    model, reference = KneserNey(train, 7, max_order=5), Reference(train, 7, order)
    model.order = order
    want = [reference.p(token, held_out[:i]) for i, token in enumerate(held_out)]
    got = model.probabilities(held_out)
    # 1e-13: both are sums of a handful of float64 terms, in different orders.
    np.testing.assert_allclose(got, want, rtol=1e-13)
    assert model.bits(held_out) == pytest.approx(-np.log2(got).mean())


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=60),
    st.lists(st.integers(0, 4), max_size=8),
    st.integers(1, 7),
)
def test_sums_to_one_and_agrees_with_itself(train, context, order):
    model = KneserNey(train, 5, max_order=order)
    p = model.distribution(context)
    assert p.min() > 0.0
    assert p.sum() == pytest.approx(1.0, abs=1e-12)
    scored = [model.probabilities([*context, token])[-1] for token in range(5)]
    np.testing.assert_allclose(scored, p, rtol=1e-12)


def test_continuation_counts_not_frequency():
    """'Francisco' (2) follows only 'San' (1), often; 'it' (3) follows many words: after a new word it is
    likelier.
    """
    train = [1, 2] * 30 + [w for other in (0, 4, 5, 6) for w in (other, 3)] * 2
    model = KneserNey(train, 9, max_order=2)
    after_new_word = model.distribution([8])
    assert train.count(2) > train.count(3)
    assert after_new_word[3] > after_new_word[2]
    assert model.distribution([1]).argmax() == 2


def test_tune_picks_the_best_order():
    train, held_out = text_of(8, 4000), text_of(8, 500)
    model = KneserNey(train, 8, max_order=6)
    scores = model.tune(held_out)
    assert list(scores) == [1, 2, 3, 4, 5, 6]
    assert scores[model.order] == min(scores.values())
    assert model.order >= 3  # the chain looks two tokens back
    for order in scores:
        model.order = order
        assert model.bits(held_out) == pytest.approx(scores[order], rel=1e-12)


def test_beats_shorter_histories_on_text():
    sentence = "the cat sat on the mat and the dog sat on the log; "
    train = [ord(c) for c in sentence * 5]
    model = KneserNey(train, 128, max_order=4)
    scores = model.tune([ord(c) for c in sentence])
    assert scores[4] < scores[2] < scores[1] < 7.0


def test_text_shorter_than_the_order():
    model = KneserNey([0, 1], 3, max_order=8)
    assert model.max_order == 2
    assert model.probabilities([2]).shape == (1,)
    assert model.distribution([0]).argmax() == 1
    assert list(model.tune([1])) == [1, 2]


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda: KneserNey([], 3), ValueError, "tokens is empty"),
        (lambda: KneserNey([0, 3], 3), ValueError, "values from 0 to 3, expected 0 to 2"),
        (lambda: KneserNey([-1, 0], 3), ValueError, "values from -1"),
        (lambda: KneserNey([0.5], 3), TypeError, "float64, expected integers"),
        (lambda: KneserNey([[0]], 3), ValueError, r"shape \(1, 1\)"),
        (lambda: KneserNey([0], 0), ValueError, "vocabulary_size is 0"),
        (lambda: KneserNey([0], 1, max_order=0), ValueError, "max_order is 0"),
        (lambda: KneserNey([0], 1).bits([]), ValueError, "tokens is empty"),
        (lambda: KneserNey([0], 2).tune([]), ValueError, "tokens is empty"),
    ],
)
def test_errors(make, error, sentence):
    with pytest.raises(error, match=sentence):
        make()


def test_order_out_of_range():
    model = KneserNey([0, 1, 0], 2, max_order=2)
    model.order = 3
    with pytest.raises(ValueError, match="order is 3, expected 1 to 2"):
        model.bits([0])
    assert "order=3" in repr(model)
