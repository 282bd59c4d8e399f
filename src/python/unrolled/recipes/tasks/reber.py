"""The embedded Reber grammar: strings whose last but one symbol repeats the second, with a random walk in between."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from unrolled.data import one_hot, pad
from unrolled.tape import Array

SYMBOLS = "BTSXPVE"
_NUMBER = {symbol: number for number, symbol in enumerate(SYMBOLS)}
# The walk of Reber's grammar: at each node, the symbols that may come and where they lead. None: the end.
_NODES: list[dict[str, int | None]] = [
    {"B": 1},
    {"T": 2, "P": 3},
    {"S": 2, "X": 4},
    {"T": 3, "V": 5},
    {"X": 3, "S": 6},
    {"P": 4, "V": 6},
    {"E": None},
]


class Text(NamedTuple):
    """symbols (n,) int64, and legal (n, 7) bool: which symbols the grammar allows after each."""

    symbols: Array
    legal: Array


class ReberBatch(NamedTuple):
    """x (T, B, 7) one-hot, next symbols (T, B), legal (T, B, 7), lengths (B,)."""

    x: Array
    targets: Array
    legal: Array
    lengths: Array


def _walk(rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """A string of the grammar, and after each symbol those that may follow ("" after the last)."""
    node: int | None = 0
    symbols, following = [], []
    while node is not None:
        choices = list(_NODES[node])
        symbol = choices[int(rng.integers(len(choices)))]
        node = _NODES[node][symbol]
        symbols.append(symbol)
        following.append("" if node is None else "".join(_NODES[node]))
    return symbols, following


def embedded_reber(rng: np.random.Generator) -> Text:
    """B, T or P, a string of Reber's grammar, the same T or P, E. After E comes the B of another string."""
    symbols, following = _walk(rng)
    middle = "TP"[int(rng.integers(2))]
    following[-1] = middle
    symbols = ["B", middle, *symbols, middle, "E"]
    following = ["TP", "B", *following, "E", "B"]
    legal = np.zeros((len(symbols), len(SYMBOLS)), bool)
    for place, allowed in enumerate(following):
        legal[place, [_NUMBER[symbol] for symbol in allowed]] = True
    return Text(np.array([_NUMBER[symbol] for symbol in symbols]), legal)


def reber_batch(rng: np.random.Generator, rows: int) -> ReberBatch:
    """Strings one by one: every symbol but the last is read, and the next one is to be predicted."""
    texts = [embedded_reber(rng) for _ in range(rows)]
    symbols, lengths = pad([text.symbols for text in texts])
    legal, _ = pad([text.legal[:-1] for text in texts])
    return ReberBatch(one_hot(symbols[:-1], len(SYMBOLS)), symbols[1:], legal, lengths - 1)


def _machine() -> tuple[Array, Array, Array]:
    """Endless embedded strings as a machine that takes one of two ways at a time, the same where there is but one.

    Gives, for each state, the symbols and the states that two ways lead to, (S, 2) each, and which symbols may come,
    (S, 7). State 0 is the start of a string.
    """
    states: dict[str, list[tuple[str, str]]] = {"start": [("B", "second")], "end": [("E", "start")]}
    states["second"] = [("T", "T0"), ("P", "P0")]
    for kept in "TP":
        states[f"{kept}again"] = [(kept, "end")]
        for number, node in enumerate(_NODES):
            leads = [(s, "again" if to is None else str(to)) for s, to in node.items()]
            states[f"{kept}{number}"] = [(symbol, kept + to) for symbol, to in leads]
    place = {name: number for number, name in enumerate(states)}
    ways = [[(_NUMBER[symbol], place[to]) for symbol, to in (way[0], way[-1])] for way in states.values()]
    symbols, following = np.moveaxis(np.array(ways), 2, 0)
    legal = np.zeros((len(states), len(SYMBOLS)), bool)
    np.put_along_axis(legal, symbols, True, axis=1)
    return symbols, following, legal


def reber_streams(rng: np.random.Generator, rows: int, steps: int) -> ReberBatch:
    """Endless texts of one string after another, without a sign of where one ends: `steps` symbols of `rows` texts."""
    symbol, following, allowed = _machine()
    ways = rng.integers(0, 2, (steps + 1, rows))
    states = np.zeros((steps + 2, rows), np.int64)
    for t, way in enumerate(ways):
        states[t + 1] = following[states[t], way]
    symbols = symbol[states[:-1], ways]
    x = one_hot(symbols[:-1], len(SYMBOLS))
    return ReberBatch(x, symbols[1:], allowed[states[1:-1]], np.full(rows, steps))
