"""Vocabularies: text to token numbers and back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from unrolled import checks
from unrolled.arrays import array_of
from unrolled.registry import Configurable


class Vocabulary(Configurable):
    """Distinct symbols, numbered from zero in the order given."""

    def __init__(self, symbols: Iterable[str]) -> None:
        self.symbols = tuple(symbols)
        if not self.symbols:
            raise ValueError(f"{type(self).__name__}: there are no symbols (is the text empty?)")
        self._numbers = {symbol: number for number, symbol in enumerate(self.symbols)}
        if len(self._numbers) != len(self.symbols):
            repeated = next(symbol for symbol, times in Counter(self.symbols).items() if times > 1)
            raise ValueError(f"{type(self).__name__}: symbol {repeated!r} is given twice")

    def __len__(self) -> int:
        return len(self.symbols)

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._numbers

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.config() == other.config()

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.symbols))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self):,} symbols)"

    def _checked(self, tokens: Any) -> np.ndarray:
        who = type(self).__name__
        array = array_of(who, "tokens", tokens)
        if array.size == 0:
            return array.reshape(-1).astype(np.int64)
        if array.dtype.kind not in "iu":
            raise TypeError(f"{who}: tokens have dtype {array.dtype}, expected integers")
        if array.ndim > 1:
            raise ValueError(f"{who}: tokens have shape {array.shape}, expected one dimension")
        if array.min() < 0 or array.max() >= len(self):
            wrong = array.min() if array.min() < 0 else array.max()
            raise ValueError(f"{who}: token {wrong} is outside 0 .. {len(self) - 1}")
        return array.reshape(-1).astype(np.int64)


class CharVocabulary(Vocabulary):
    """One token per character. `unknown`: a character of the vocabulary that stands for all others; None
    makes them errors.
    """

    def __init__(self, characters: str, *, unknown: str | None = None) -> None:
        super().__init__(characters)
        if unknown is not None and unknown not in self:
            raise ValueError(f"CharVocabulary: unknown is {unknown!r}, expected one of the characters")
        self.unknown = unknown
        codes = _code_points(characters)
        order = np.argsort(codes)
        self._codes, self._tokens = codes[order], order.astype(np.int64)

    @classmethod
    def from_text(cls, text: str, *, unknown: str | None = None) -> CharVocabulary:
        """The characters of the text (and `unknown`) in the order of their code points."""
        codes = np.unique(_code_points(_checked_text("CharVocabulary", text) + (unknown or "")))
        return cls(_text(codes), unknown=unknown)

    def encode(self, text: str) -> np.ndarray:
        """int64 token numbers, one per character."""
        codes = _code_points(_checked_text("CharVocabulary", text))
        places = np.minimum(np.searchsorted(self._codes, codes), len(self) - 1)
        tokens = self._tokens[places]
        known = self._codes[places] == codes
        if not known.all():
            if self.unknown is None:
                position = int(np.argmin(known))
                raise ValueError(
                    f"CharVocabulary: character {text[position]!r} at position {position} is not among the "
                    f"{len(self)} known characters"
                )
            tokens[~known] = self._numbers[self.unknown]
        return tokens

    def decode(self, tokens: Any) -> str:
        """The text of token numbers."""
        return _text(_code_points("".join(self.symbols))[self._checked(tokens)])


def _checked_text(who: str, text: Any) -> str:
    if not isinstance(text, str):
        raise TypeError(f"{who}: text is {type(text).__name__}, expected a str")
    return text


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def _text(codes: np.ndarray) -> str:
    return codes.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


class WordVocabulary(Vocabulary):
    """One token per word; words are what stands between white space.

    `unknown` (number 0, unless it is listed elsewhere) stands for every other word. With `end_of_line`, each
    line break becomes that token, as in the usual word-level data sets, and `decode` turns it back into a
    line break.
    """

    def __init__(
        self, words: Iterable[str], *, unknown: str = "<unk>", end_of_line: str | None = None
    ) -> None:
        words = list(words)
        special = [unknown] if end_of_line is None else [unknown, end_of_line]
        super().__init__([*(symbol for symbol in special if symbol not in words), *words])
        self.unknown = unknown
        self.end_of_line = end_of_line

    @classmethod
    def from_text(
        cls,
        text: str,
        *,
        min_count: int = 1,
        max_size: int | None = None,
        unknown: str = "<unk>",
        end_of_line: str | None = None,
    ) -> WordVocabulary:
        """At most `max_size` words seen at least `min_count` times, by falling count, then by alphabet."""
        checks.size("WordVocabulary", "min_count", min_count)
        if max_size is not None:
            checks.size("WordVocabulary", "max_size", max_size)
        counts = Counter(_checked_text("WordVocabulary", text).split())
        if not counts:
            raise ValueError("WordVocabulary: the text has no words")
        words = sorted(
            (word for word, times in counts.items() if times >= min_count),
            key=lambda word: (-counts[word], word),
        )
        return cls(words[:max_size], unknown=unknown, end_of_line=end_of_line)

    def split(self, text: str) -> list[str]:
        """The words of a text, line breaks included if they are tokens."""
        _checked_text("WordVocabulary", text)
        if self.end_of_line is None:
            return text.split()
        return text.replace("\n", f" {self.end_of_line} ").split()

    def encode(self, text: str) -> np.ndarray:
        """int64 token numbers, one per word."""
        unknown = self._numbers[self.unknown]
        return np.array([self._numbers.get(word, unknown) for word in self.split(text)], np.int64)

    def decode(self, tokens: Any) -> str:
        """The words of token numbers, with single spaces between them."""
        lines: list[list[str]] = [[]]
        for token in self._checked(tokens):
            if self.symbols[token] == self.end_of_line:
                lines.append([])
            else:
                lines[-1].append(self.symbols[token])
        return "\n".join(map(" ".join, lines))
