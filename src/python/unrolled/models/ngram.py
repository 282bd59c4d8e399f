"""The n-gram with interpolated, modified Kneser-Ney smoothing: the score a recurrent language model has to
beat.

With `c` the count of an n-gram, `h` its history (all but the last token `w`) and `h'` that history without
its oldest token:

    p_k(w | h) = max(c(h w) - D(c(h w)), 0) / c(h .) + gamma(h) p_{k-1}(w | h'),    p_0(w) = 1 / vocabulary_size
    gamma(h)   = (D_1 N_1(h .) + D_2 N_2(h .) + D_3 N_3(h .)) / c(h .)

`N_1`, `N_2`, `N_3` count the distinct tokens seen once, twice, and three times or more after `h`. The highest
order uses plain counts, every lower one continuation counts: the number of distinct tokens seen before the
n-gram. The discounts come from each order's counts of counts:

    Y = n_1 / (n_1 + 2 n_2),    D_j = j - (j + 1) Y n_{j+1} / n_j

S. F. Chen and J. Goodman, "An Empirical Study of Smoothing Techniques for Language Modeling", TR-10-98, 1998,
section 3.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["KneserNey"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_NO_GRAM = -1  # the id of an n-gram that the training text does not have


class _Smoothed(NamedTuple):
    """One order's counts turned into the two numbers that interpolation needs."""

    kept: Floats  # (grams,)     max(c(h w) - D, 0) / c(h .)
    gamma: Floats  # (contexts,)  1 for a history that nothing was counted after


class _Order(NamedTuple):
    """The distinct n-grams of one length; an n-gram's id is its place in the sorted `keys`."""

    keys: Integers  # (grams,) id of the history among the n-grams one shorter * vocabulary_size + last token
    plain: _Smoothed
    continuation: _Smoothed


class KneserNey:
    """A language model over the integer tokens `[0, vocabulary_size)`, counted on the training text `tokens`.

    All orders up to `max_order` are counted at once. `order` says which of them answers: the highest, until
    `tune` picks the one that is best on held-out text. A history of `order - 1` tokens is used, fewer at the
    beginning of a text.

    >>> model = KneserNey([0, 1, 0, 1, 2, 0, 1, 0, 1], 3, max_order=2)
    >>> int(model.distribution([0]).argmax())
    1
    """

    def __init__(self, tokens: ArrayLike, vocabulary_size: int, *, max_order: int = 6) -> None:
        if vocabulary_size < 1:
            raise ValueError(f"KneserNey: vocabulary_size is {vocabulary_size}, expected 1 or more")
        if max_order < 1:
            raise ValueError(f"KneserNey: max_order is {max_order}, expected 1 or more")
        self.vocabulary_size = vocabulary_size
        text = self._text(tokens, "tokens")
        self._orders = _count(text, vocabulary_size, min(max_order, text.size))
        self.order = self.max_order

    @property
    def max_order(self) -> int:
        """The highest order that was counted."""
        return len(self._orders)

    def __repr__(self) -> str:
        grams = sum(part.keys.size for part in self._orders)
        return f"KneserNey(order={self.order}, vocabulary_size={self.vocabulary_size}, n-grams={grams})"

    def probabilities(self, tokens: ArrayLike) -> Floats:
        """The probability of every token given the ones before it, shape (N,)."""
        return self._by_order(self._text(tokens, "tokens"), self._checked_order())[-1]

    def bits(self, tokens: ArrayLike) -> float:
        """The cross-entropy on `tokens` in bits per token."""
        return _bits(self.probabilities(tokens))

    def tune(self, tokens: ArrayLike) -> dict[int, float]:
        """Sets `order` to the one with the fewest bits per token on `tokens`, and returns the bits of every
        order.
        """
        by_order = self._by_order(self._text(tokens, "tokens"), self.max_order)
        scores = {n: _bits(by_order[n]) for n in range(1, self.max_order + 1)}
        self.order = min(scores, key=lambda n: scores[n])
        return scores

    def distribution(self, context: ArrayLike = ()) -> Floats:
        """The probability of every token after `context`, shape (vocabulary_size,)."""
        history = self._text(context, "context", least=0)
        n = min(self._checked_order(), history.size + 1)
        size = self.vocabulary_size
        tokens = np.arange(size)
        p = np.full(size, 1.0 / size)
        for k in range(1, n + 1):
            ids = np.zeros(1, np.int64)
            for part, token in zip(self._orders, history[history.size - (k - 1) :], strict=False):
                ids = _find(part.keys, ids, np.array([token]), size)
            contexts = np.full(size, ids[0])
            grams = _find(self._orders[k - 1].keys, contexts, tokens, size)
            p = _interpolate(self._smoothed(k, k == self.order), contexts, grams, p)
        return p

    def _smoothed(self, k: int, highest: bool) -> _Smoothed:
        return self._orders[k - 1].plain if highest else self._orders[k - 1].continuation

    def _by_order(self, text: Integers, max_order: int) -> list[Floats]:
        """The probabilities of `text` under the models of order 0 .. max_order, which share all but their
        highest order.
        """
        lower = np.full(text.size, 1.0 / self.vocabulary_size)
        answers = [lower]
        grams = np.zeros(
            text.size + 1, np.int64
        )  # grams[s]: id of the n-gram that starts at position s; now of length 0
        for k in range(1, min(max_order, text.size) + 1):
            contexts = grams[: text.size - k + 1]
            grams = _find(self._orders[k - 1].keys, contexts, text[k - 1 :], self.vocabulary_size)
            head, tail = (
                lower[: k - 1],
                lower[k - 1 :],
            )  # the head has shorter histories than this order asks for
            highest = _interpolate(self._smoothed(k, True), contexts, grams, tail)
            answers.append(np.concatenate([head, highest]))
            if k < self.max_order:
                lower = np.concatenate([head, _interpolate(self._smoothed(k, False), contexts, grams, tail)])
        return answers + [lower] * (max_order + 1 - len(answers))

    def _checked_order(self) -> int:
        if not 1 <= self.order <= self.max_order:
            raise ValueError(
                f"KneserNey: order is {self.order}, expected 1 to {self.max_order}, the orders counted"
            )
        return self.order

    def _text(self, tokens: ArrayLike, name: str, least: int = 1) -> Integers:
        text = np.asarray(tokens)
        if text.size and not np.issubdtype(text.dtype, np.integer):
            raise TypeError(f"KneserNey: {name} has dtype {text.dtype}, expected integers")
        if text.ndim != 1:
            raise ValueError(f"KneserNey: {name} has shape {text.shape}, expected one dimension")
        if text.size < least:
            raise ValueError(f"KneserNey: {name} is empty, expected {least} token or more")
        if text.size and not 0 <= int(text.min()) <= int(text.max()) < self.vocabulary_size:
            raise ValueError(
                f"KneserNey: {name} has values from {text.min()} to {text.max()}, expected 0 to "
                f"{self.vocabulary_size - 1} because vocabulary_size={self.vocabulary_size}"
            )
        return text.astype(np.int64)


def _count(text: Integers, size: int, max_order: int) -> list[_Order]:
    """Counts every order. An n-gram is its history's id and its last token, so keys stay small at any order
    and size.
    """
    grams = np.zeros(text.size + 1, np.int64)  # grams[s]: id of the n-gram that starts at position s
    contexts = 1
    found: list[tuple[Integers, Integers, Integers, int]] = []
    for k in range(1, max_order + 1):
        pairs = grams[: text.size - k + 1] * size + text[k - 1 :]
        keys, first, ids, counts = np.unique(
            pairs, return_index=True, return_inverse=True, return_counts=True
        )
        if found:  # n-grams of this order, each counted once for what follows their first token
            shorter, plain, _, before = found[-1]
            continuation = np.bincount(grams[first + 1], minlength=shorter.size)
            found[-1] = shorter, plain, continuation.astype(np.int64), before
        found.append((keys, counts.astype(np.int64), np.zeros(0, np.int64), contexts))
        grams, contexts = ids.reshape(-1), keys.size
    return [
        _Order(keys, _smooth(plain, keys // size, before), _smooth(continuation, keys // size, before))
        for keys, plain, continuation, before in found
    ]


def _smooth(counts: Integers, context: Integers, contexts: int) -> _Smoothed:
    """Discounts the counts (grams,) of n-grams with the histories `context` (grams,), numbered below
    `contexts`.
    """
    if counts.size == 0:  # the highest order counted has no continuation counts, and is never asked for them
        return _Smoothed(np.zeros(0), np.ones(0))
    discount = _discounts(counts)[np.minimum(counts, 3)]
    total = np.bincount(context, weights=counts, minlength=contexts)
    removed = np.bincount(context, weights=discount, minlength=contexts)
    safe = np.where(total > 0, total, 1.0)
    return _Smoothed((counts - discount) / safe[context], np.where(total > 0, removed / safe, 1.0))


def _discounts(counts: Integers) -> Floats:
    """D_0 .. D_3 by the count, 3 standing for three and more."""
    n = np.bincount(np.minimum(counts, 5), minlength=6)[:5].astype(np.float64)
    if not n[
        1:
    ].all():  # too little text to estimate them from (or too few distinct n-grams, as single characters are)
        return np.array([0.0, 0.5, 1.0, 1.5])
    y = n[1] / (n[1] + 2.0 * n[2])
    estimated = [j - (j + 1) * y * n[j + 1] / n[j] for j in (1, 2, 3)]
    return np.array([0.0, *(min(max(d, 0.0), float(j)) for j, d in zip((1, 2, 3), estimated, strict=True))])


def _find(keys: Integers, contexts: Integers, tokens: Integers, size: int) -> Integers:
    """The ids of the n-grams made of a history's id and a token; of an unknown history, too, nothing is
    known.
    """
    wanted = np.where(contexts == _NO_GRAM, _NO_GRAM, contexts * size + tokens)
    place = np.minimum(np.searchsorted(keys, wanted), keys.size - 1)
    return np.where(keys[place] == wanted, place, _NO_GRAM)


def _interpolate(part: _Smoothed, contexts: Integers, grams: Integers, lower: Floats) -> Floats:
    """p_k from p_{k-1}: nothing is kept of an n-gram never seen, and gamma is 1 after a history never
    seen.
    """
    kept = np.where(grams == _NO_GRAM, 0.0, part.kept[grams])
    gamma = np.where(contexts == _NO_GRAM, 1.0, part.gamma[contexts])
    return kept + gamma * lower


def _bits(probabilities: Floats) -> float:
    return float(-np.log2(probabilities).mean())
