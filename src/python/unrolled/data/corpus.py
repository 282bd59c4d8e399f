"""Text to learn a language from: the one every CPython carries, files, the split into three parts, and
scoring.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from unrolled.arrays import array_of
from unrolled.data.batches import Batch
from unrolled.io.file import open_regular

__all__ = ["ScoredText", "Splits", "default_text", "read_text", "split_text"]

_PASSAGE = 30  # characters; what is shorter, such as "Changed in version 3.8:", repeats as language does


class Splits(NamedTuple):
    """A text in three parts: to train on, to choose settings with, and to report once."""

    train: str
    validation: str
    test: str


def default_text() -> str:
    """The language reference in `pydoc_data.topics`, which `help()` prints: English with code, 300 to 700 KB.

    The topics quote one another at length; each passage is kept once, so that held-out text is not a copy of
    what was trained on.
    """
    try:
        topics: dict[str, str] = import_module("pydoc_data.topics").topics
    except ImportError:
        raise FileNotFoundError(
            "this Python carries no pydoc_data.topics, the default text; name a text file"
        ) from None
    seen: set[str] = set()
    kept: list[str] = []
    for name in sorted(topics):
        passages = []
        for passage in topics[name].split("\n\n"):
            words = " ".join(passage.split())
            if len(words) < _PASSAGE or words not in seen:
                passages.append(passage)
            seen.add(words)
        kept.append("\n\n".join(passages).strip("\n"))
    return "\n\n\n".join(kept) + "\n"


def read_text(path: str | os.PathLike[str]) -> str:
    """The UTF-8 text of a file, with `\\n` ends of lines. A file that is empty or is not text is a
    ValueError; a device or a pipe, which may have no end, is an OSError.
    """
    with open_regular(path) as file:
        content = file.read()
    if not content:
        raise ValueError(f"{os.fspath(path)}: the file is empty, expected UTF-8 text")
    place = content.find(b"\0")
    if place >= 0:
        raise ValueError(
            f"{os.fspath(path)}: byte {place} is zero, so this is a binary file, expected UTF-8 text"
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{os.fspath(path)}: byte {error.start} is 0x{content[error.start]:02x}, not valid UTF-8, "
            "expected UTF-8 text (`iconv -t UTF-8` converts other encodings)"
        ) from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise ValueError(f"{os.fspath(path)}: the file holds nothing but white space, expected UTF-8 text")
    return text


def split_text(text: str, *, validation: float = 0.05, test: float = 0.05) -> Splits:
    """The beginning of a text to train on, then the part for validation, then the part for the test.

    `validation` and `test` are shares of the characters. The parts are cut after the end of a line where one
    is near, at most a tenth of a part away.
    """
    if not (0 < validation < 1 and 0 < test < 1 and validation + test < 1):
        raise ValueError(
            f"split_text: validation={validation}, test={test}, expected shares above 0 that leave a rest"
        )
    first = _end_of_line(text, round(len(text) * (1 - validation - test)), round(len(text) * validation / 10))
    second = _end_of_line(text, round(len(text) * (1 - test)), round(len(text) * test / 10))
    return Splits(text[:first], text[first:second], text[second:])


def _end_of_line(text: str, place: int, near: int) -> int:
    found = text.rfind("\n", max(place - near, 0), place)
    return place if found < 0 else found + 1


class ScoredText:
    """A text (N,) to be scored: every token but the first once, given those before it. For `ur.evaluate` and
    `ur.fit`.

    The text is read as `rows` parts side by side, `steps` tokens at a time; each part but the first begins
    with the last `overlap` tokens of the part before it, which are read and not scored, so that it has a
    history. Gives inputs, targets and mask, all (T, rows).
    """

    carries_state = True

    def __init__(self, tokens: ArrayLike, *, rows: int = 16, overlap: int = 64, steps: int = 256) -> None:
        text = array_of("ScoredText", "tokens", tokens)
        if text.ndim != 1 or text.size < 2:
            raise ValueError(
                f"ScoredText: tokens has shape {text.shape}, expected (N,) with 2 tokens or more"
            )
        rows = min(rows, text.size - 1)
        length = -(-(text.size - 1) // rows)
        first = length * np.arange(rows)
        place = np.maximum(first - overlap, 0) + np.arange(length + overlap)[:, None]
        self._mask = (place >= first) & (place < first + length) & (place < text.size - 1)
        place = np.minimum(place, text.size - 2)
        self._inputs, self._targets = text[place], text[place + 1]
        self.steps = steps

    def __len__(self) -> int:
        return -(-len(self._mask) // self.steps)

    def __iter__(self) -> Iterator[Batch]:
        for begin in range(0, len(self._mask), self.steps):
            part = slice(begin, begin + self.steps)
            yield Batch(self._inputs[part], self._targets[part], None, self._mask[part])
