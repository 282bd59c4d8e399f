"""The text that comes with Python, reading files, and splitting."""

import sys
from collections import Counter

import pytest

from unrolled.data.corpus import default_text, read_text, split_text


def test_default_text_is_long_english_without_repeated_passages():
    text = default_text()
    assert len(text) > 250_000
    assert "The Python" in text
    passages = Counter(" ".join(p.split()) for p in text.split("\n\n") if len(" ".join(p.split())) >= 30)
    assert max(passages.values()) == 1
    assert text == default_text()


def test_python_without_the_text(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(FileNotFoundError, match="name a text file"):
        default_text()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("näïve ✓\n".encode(), "näïve ✓\n"),
        (b"\xef\xbb\xbfmark", "mark"),
        (b"a\r\nb\rc\n", "a\nb\nc\n"),
    ],
)
def test_read_text(tmp_path, content, text):
    (tmp_path / "text").write_bytes(content)
    assert read_text(tmp_path / "text") == text


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "the file is empty"),
        (b" \n\t\n", "nothing but white space"),
        (b"abc\0def", "byte 3 is zero, so this is a binary file"),
        (b"caf\xe9 au lait", "byte 3 is 0xe9, not valid UTF-8"),
        (b"cut \xe2\x82", "byte 4 is 0xe2, not valid UTF-8"),
    ],
)
def test_files_that_are_not_text(tmp_path, content, sentence):
    (tmp_path / "text").write_bytes(content)
    with pytest.raises(ValueError, match=sentence):
        read_text(tmp_path / "text")


def test_split_gives_every_character_once_and_cuts_at_lines():
    text = "".join(f"line {i}\n" for i in range(1000))
    parts = split_text(text)
    assert "".join(parts) == text
    assert len(parts.validation) == pytest.approx(0.05 * len(text), rel=0.2)
    assert len(parts.test) == pytest.approx(0.05 * len(text), rel=0.2)
    assert parts.train.endswith("\n")
    assert parts.validation.endswith("\n")


def test_split_without_lines_and_wrong_shares():
    parts = split_text("x" * 100, validation=0.1, test=0.2)
    assert tuple(map(len, parts)) == (70, 10, 20)
    assert tuple(map(len, split_text(""))) == (0, 0, 0)
    with pytest.raises(ValueError, match=r"validation=0.5, test=0.5"):
        split_text("x", validation=0.5, test=0.5)
