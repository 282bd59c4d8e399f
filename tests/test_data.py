"""Vocabularies, padding, windows, splits, one-hot."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unrolled.data import ArrayBatches, CharVocabulary, WordVocabulary, one_hot, pad, split, windows
from unrolled.registry import decode


@given(st.text(min_size=1))
def test_characters_come_back(text):
    vocabulary = CharVocabulary.from_text(text)
    tokens = vocabulary.encode(text)
    assert tokens.dtype == np.int64 and tokens.shape == (len(text),)
    assert vocabulary.decode(tokens) == text
    assert list(vocabulary.symbols) == sorted(set(text))


def test_characters_keep_the_order_given():
    vocabulary = CharVocabulary("helo")
    assert vocabulary.encode("hello").tolist() == [0, 1, 2, 2, 3]
    assert vocabulary.encode("").shape == (0,) and vocabulary.decode([]) == ""
    assert len(vocabulary) == 4 and "e" in vocabulary and "x" not in vocabulary
    assert repr(vocabulary) == "CharVocabulary(4 symbols)"


def test_unknown_character():
    with pytest.raises(ValueError, match="character 'p' at position 3 is not among the 4 known characters"):
        CharVocabulary("helo").encode("help")
    assert CharVocabulary("helo?", unknown="?").encode("help\U0001f600").tolist() == [0, 1, 2, 4, 4]
    assert CharVocabulary.from_text("ab", unknown="?").symbols == ("?", "a", "b")


def test_words_by_count_then_alphabet():
    vocabulary = WordVocabulary.from_text("b a b c a d b")
    assert vocabulary.symbols == ("<unk>", "b", "a", "c", "d")
    assert vocabulary.encode("a x  b\n").tolist() == [2, 0, 1]
    assert vocabulary.decode([2, 0, 1]) == "a <unk> b"
    assert WordVocabulary.from_text("b a b c a d b", min_count=2).symbols == ("<unk>", "b", "a")
    assert WordVocabulary.from_text("b a b c a d b", max_size=1).symbols == ("<unk>", "b")
    assert WordVocabulary.from_text("a <unk> b <unk>").symbols == ("<unk>", "a", "b")


def test_words_with_line_ends():
    vocabulary = WordVocabulary.from_text("one two\nthree", end_of_line="<eos>")
    text = "one two\nthree\n\none\n"
    assert vocabulary.symbols[:2] == ("<unk>", "<eos>")
    assert vocabulary.decode(vocabulary.encode(text)) == text


@given(st.lists(st.lists(st.sampled_from(["a", ".5", "..", "5."]), max_size=4), min_size=1, max_size=4))
def test_words_that_look_like_line_ends_stay_words(lines):
    text = "\n".join(" ".join(words) for words in lines)
    vocabulary = WordVocabulary(["a", ".5", "..", "5."], end_of_line=".")
    assert vocabulary.decode(vocabulary.encode(text)) == text


@pytest.mark.parametrize(
    "vocabulary",
    [CharVocabulary("ba\nß", unknown="a"), WordVocabulary(["x", "ÿ"], unknown="?", end_of_line="$")],
)
def test_vocabularies_are_stored_in_configurations(vocabulary):
    again = decode(json.loads(json.dumps(vocabulary.config())))
    assert again == vocabulary and hash(again) == hash(vocabulary)
    assert again.symbols == vocabulary.symbols and again.unknown == vocabulary.unknown
    assert again != CharVocabulary("ab")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: CharVocabulary(""), ValueError, "no symbols"),
        (lambda: CharVocabulary.from_text(""), ValueError, "no symbols"),
        (lambda: CharVocabulary("aba"), ValueError, "'a' is given twice"),
        (lambda: CharVocabulary("ab", unknown="c"), ValueError, "unknown is 'c'"),
        (lambda: WordVocabulary.from_text(" \n"), ValueError, "no words"),
        (lambda: CharVocabulary("ab").decode([0, 2]), ValueError, r"token 2 is outside 0 .. 1"),
        (lambda: CharVocabulary("ab").decode([-1]), ValueError, "token -1 is outside"),
        (lambda: CharVocabulary("ab").decode([0.5]), TypeError, "dtype float64, expected integers"),
        (lambda: CharVocabulary("ab").decode([[0]]), ValueError, r"shape \(1, 1\)"),
        (lambda: pad([]), ValueError, "empty"),
        (lambda: pad([np.zeros((2, 3)), np.zeros((2, 4))]), ValueError, r"sequence 1 has shape \(2, 4\)"),
        (
            lambda: pad([np.zeros(2), np.zeros(2, int)]),
            TypeError,
            "sequence 1 has dtype int64, expected float64",
        ),
        (lambda: pad([1, 2]), ValueError, "sequence 0 is a single number"),
        (lambda: windows(np.zeros((2, 2, 2)), 1), ValueError, "expected .length.* or .length, features"),
        (lambda: windows(np.zeros(5), 0), ValueError, "size is 0"),
        (lambda: windows(np.zeros(5), 4, horizon=2), ValueError, "has 5 values, expected at least .* = 6"),
        (lambda: windows(np.zeros(5), 2.0), TypeError, "windows: size is a float, expected an int"),
        (lambda: split(np.zeros((2, 3)), axis=2), ValueError, r"axis is 2, an array has shape \(2, 3\)"),
        (
            lambda: split(np.zeros((2, 3)), np.zeros(3), axis=1),
            ValueError,
            r"axis is 1, an array has shape \(3,\); axis may be one for each argument, as \(1, 0\)",
        ),
        (lambda: split([1, 2], [1, 2], axis=(0,)), ValueError, r"axis is \(0,\), expected one number, or 2"),
        (lambda: split([1]), ValueError, "there is 1 item, expected at least 2"),
        (
            lambda: split([1, 2], [1, 2, 3]),
            ValueError,
            "have 2, 3 items, expected equal numbers; axis may be",
        ),
        (lambda: split([1, 2], fraction=1.0), ValueError, "fraction is 1.0"),
        (lambda: split([1, 2], 0.2), TypeError, "received a float, expected arrays or lists"),
        (lambda: one_hot([0, 3], 3), ValueError, "index 3 is outside 0 .. 2"),
        (lambda: one_hot([-1], 3), ValueError, "index -1 is outside"),
        (lambda: one_hot([0.0], 3), TypeError, "dtype float64"),
        (lambda: one_hot([], -1), ValueError, "size is -1"),
        (lambda: CharVocabulary("ab").encode(b"ab"), TypeError, "text is bytes, expected a str"),
        (lambda: WordVocabulary(["ab"]).encode(None), TypeError, "text is NoneType, expected a str"),
        (lambda: WordVocabulary.from_text("a b", max_size=-1), ValueError, "max_size is -1"),
        (lambda: WordVocabulary.from_text("a b", min_count=0.5), TypeError, "min_count is a float"),
    ],
)
def test_bad_data(call, error, message):
    with pytest.raises(error, match=message):
        call()


@given(st.lists(st.integers(0, 6), min_size=1, max_size=6), st.sampled_from([(), (2,), (2, 3)]))
def test_pad_puts_every_sequence_into_its_column(lengths, inner):
    rng = np.random.default_rng(0)
    sequences = [rng.standard_normal((length, *inner)).astype(np.float32) for length in lengths]
    padded, found = pad(sequences, value=-1)
    assert padded.shape == (max(lengths), len(lengths), *inner) and padded.dtype == np.float32
    assert found.dtype == np.int64 and found.tolist() == lengths
    for column, sequence in enumerate(sequences):
        np.testing.assert_array_equal(padded[: len(sequence), column], sequence)
        assert (padded[len(sequence) :, column] == -1).all()


def test_pad_takes_lists():
    padded, lengths = pad([[1, 2, 3], [], [4]])
    assert padded.T.tolist() == [[1, 2, 3], [0, 0, 0], [4, 0, 0]] and padded.dtype == np.int64
    assert lengths.tolist() == [3, 0, 1]


@pytest.mark.parametrize(
    ("sequences", "value", "error", "message"),
    [
        (
            [[], [1, 2], [0.5, 0.7]],
            0,
            TypeError,
            "sequence 2 has dtype float64, expected int64 as sequence 1",
        ),
        ([[1], [1, 2]], 0.5, ValueError, "value=0.5 is no int64"),
        ([[1], [1, 2]], np.nan, ValueError, "value=nan is no int64"),
        ([[True], [False, True]], 2, ValueError, "value=2 is no bool"),
        ([np.zeros((2, 4)), np.zeros((2, 3))], 0, ValueError, r"expected \(time, 4\) as sequence 0"),
        ([np.zeros(2), np.zeros((2, 3))], 0, ValueError, r"expected \(time\) as sequence 0"),
    ],
)
def test_pad_loses_nothing(sequences, value, error, message):
    with pytest.raises(error, match=f"pad: .*{message}"):
        pad(sequences, value=value)


def test_pad_takes_values_that_a_type_rounds():
    padded, _ = pad([np.zeros(1, np.float32), np.zeros(2, np.float32)], value=0.1)
    assert padded[1, 0] == np.float32(0.1)
    assert np.isnan(pad([[1.0], [1.0, 2.0]], value=np.nan)[0][1, 0])


def test_windows():
    series = np.arange(10.0)
    inputs, targets = windows(series, 3, horizon=2, stride=2)
    assert inputs.shape == (3, 3, 1) and targets.shape == (2, 3, 1)
    assert inputs[:, :, 0].T.tolist() == [[0, 1, 2], [2, 3, 4], [4, 5, 6]]
    assert targets[:, :, 0].T.tolist() == [[3, 4], [5, 6], [7, 8]]
    inputs, targets = windows(np.stack([series, -series], axis=1), 9)
    assert inputs.shape == (9, 1, 2) and targets.tolist() == [[[9, -9]]]


def test_split_keeps_the_order_unless_asked():
    train, valid = split(np.arange(20))
    assert train.tolist() == list(range(18)) and valid.tolist() == [18, 19]
    assert split("abcd", fraction=0.25) == ("abc", "d")
    assert split([1, 2, 3], fraction=0.01) == ([1, 2], [3])
    assert split([1, 2, 3], fraction=0.99) == ([1], [2, 3])


def test_split_counts_axes_from_the_end_too():
    x = np.arange(12).reshape(2, 6)
    train, valid = split(x, axis=-1, fraction=0.5)
    np.testing.assert_array_equal(train, x[:, :3])
    np.testing.assert_array_equal(valid, x[:, 3:])


def test_split_cuts_several_alike():
    x, y = np.arange(24).reshape(2, 12, 1), list(range(12))
    ((x_train, x_valid),) = [split(x, fraction=0.25, axis=1)]
    assert x_train.shape == (2, 9, 1) and x_valid[0, :, 0].tolist() == [9, 10, 11]
    a = np.arange(12)
    (a_train, a_valid), (y_train, y_valid) = split(
        a, y, fraction=0.25, shuffle=True, rng=np.random.default_rng(1)
    )
    assert a_train.tolist() == y_train and a_valid.tolist() == y_valid
    assert sorted(y_train + y_valid) == y and y_train != sorted(y_train)
    again = split(a, fraction=0.25, shuffle=True, rng=np.random.default_rng(1))
    assert again[0].tolist() == y_train


def test_split_cuts_each_along_its_own_axis():
    x, y = np.arange(24).reshape(3, 8, 1), np.arange(8)
    (x_train, x_valid), (y_train, y_valid) = split(x, y, fraction=0.25, axis=(1, 0))
    assert (x_train.shape, x_valid.shape) == ((3, 6, 1), (3, 2, 1))
    np.testing.assert_array_equal(x_train[0, :, 0], y_train)
    np.testing.assert_array_equal(x_valid[1, :, 0], y_valid + 8)
    data, validation = (x_train, y_train), (x_valid, y_valid)
    assert [len(ArrayBatches(*pair, 2)) for pair in (data, validation)] == [3, 1]  # the data of `fit`


def test_one_hot():
    hot = one_hot(np.array([[0, 2], [1, 1]]), 3)
    assert hot.dtype == np.float32
    assert hot.tolist() == [[[1, 0, 0], [0, 0, 1]], [[0, 1, 0], [0, 1, 0]]]
    assert one_hot(2, 3, dtype=np.float64).tolist() == [0, 0, 1]
    assert one_hot(np.zeros((0, 2), int), 3).shape == (0, 2, 3)
