"""The language model: equations, scores, streaming, generation, saving."""

import copy
import math
import pickle
from itertools import pairwise

import numpy as np
import pytest

import unrolled as ur
from unrolled.decode import greedy
from unrolled.models.language_model import CELLS, LanguageModel

TEXT = "the quick brown fox jumps over the lazy dog\n" * 4


def make(level="char", *, seed=0, **options):
    if level == "char":
        vocabulary = ur.CharVocabulary.from_text(TEXT, unknown="\ufffd")
    else:
        vocabulary = ur.WordVocabulary.from_text(TEXT, end_of_line="<eol>")
    options = {"embedding_size": 5, "hidden_size": 7, **options}
    return LanguageModel(vocabulary, rng=np.random.default_rng(seed), **options).eval()


def train(model, updates=150):
    tokens = model.vocabulary.encode(TEXT)
    optimizer = ur.Adam(model, lr=0.02)
    for _ in range(updates):
        logits, _ = model(tokens[:-1, None])
        loss = ur.cross_entropy(logits, tokens[1:, None])
        model.zero_grad()
        loss.backward()
        optimizer.step()
    return float(loss)


def reference_bits(model, tokens):
    """One token at a time, with a softmax in float64."""
    state, total = model.initial_state(1), 0.0
    for token, following in pairwise(tokens):
        logits, state = model.step(np.array([token]), state)
        z = logits[0].astype(np.float64)
        total += np.log(np.exp(z - z.max()).sum()) + z.max() - z[following]
    return total / (len(tokens) - 1) / math.log(2)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 3])
def test_steps_equal_the_whole_sequence(cell, layers):
    model = make(cell=cell, layers=layers)
    tokens = model.vocabulary.encode(TEXT)[:60].reshape(20, 3)
    with ur.no_grad():
        whole, last = model(tokens)
        first, middle = model(tokens[:11])
        second, _ = model(tokens[11:], middle)
    np.testing.assert_array_equal(np.concatenate([first.data, second.data]), whole.data)
    state = model.initial_state(3)
    for t in range(20):
        logits, state = model.step(tokens[t], state)
        np.testing.assert_array_equal(logits, whole.data[t])
    for got, want in zip(state, last, strict=True):
        for part, whole_part in zip(got, want, strict=True):
            np.testing.assert_array_equal(part, whole_part.data)


def test_reset_forgets():
    model = make(layers=2)
    tokens = model.vocabulary.encode(TEXT)[:12].reshape(12, 1)
    with ur.no_grad():
        _, state = model(tokens[:5])
        cut, _ = model(tokens, state, reset=np.arange(12)[:, None] == 4)
        fresh, _ = model(tokens[4:])
    np.testing.assert_array_equal(cut.data[4:], fresh.data)


@pytest.mark.parametrize("size", [2, 3, 17, 40, 64])
def test_bits_of_short_texts_are_exact(size):
    """Every part of the text reads up to 64 tokens before its own: here the whole history."""
    model = make(dtype=np.float64, seed=1)
    tokens = model.vocabulary.encode(TEXT)[:size]
    assert model.bits(tokens) == pytest.approx(reference_bits(model, tokens), rel=1e-12)


def test_bits_of_a_long_text_and_of_a_uniform_model():
    model = make(seed=2)
    tokens = np.tile(
        model.vocabulary.encode(TEXT), 12
    )  # parts of 132 tokens, each with 64 more to begin with
    # An LSTM of 7 units has forgotten almost all after 64 tokens.
    assert model.bits(tokens) == pytest.approx(reference_bits(model, tokens), rel=1e-4)
    model.output.W.data[...] = 0.0
    model.output.b.data[...] = 0.0
    assert model.bits(tokens) == pytest.approx(math.log2(len(model.vocabulary)), rel=1e-6)


def test_bits_leaves_the_mode_alone():
    model = make(dropout=0.5, layers=2)
    tokens = model.vocabulary.encode(TEXT)
    evaluated = model.bits(tokens)
    model.train()
    assert model.bits(tokens) == evaluated
    assert model.training
    assert model.cells.training


def test_learns_and_goes_on_greedily():
    model = make(hidden_size=32, embedding_size=16, layers=2)
    assert train(model) < 0.1
    assert "".join(model.generate("the qu", 20, temperature=0.0)) == "ick brown fox jumps "
    tokens = model.generate_tokens(model.vocabulary.encode(TEXT[:37]), 3, greedy)
    assert model.vocabulary.decode(list(tokens)) == "zy "


def test_words_are_joined_with_spaces_and_lines():
    model = make("word", hidden_size=32, embedding_size=16)
    assert train(model, 100) < 0.1
    assert "".join(model.generate("the quick", 3, temperature=0.0)) == " brown fox jumps"
    assert "".join(model.generate("lazy ", 3, temperature=0.0)) == "dog\nthe"
    assert "<unk>" not in "".join(model.generate("", 200, temperature=5.0, rng=np.random.default_rng(0)))


def test_generation_follows_the_seed():
    model = make()

    def text(seed):
        return "".join(model.generate("the", 80, rng=np.random.default_rng(seed)))

    assert text(1) == text(1)
    assert text(1) != text(2)
    assert len(text(1)) == 80
    assert "\ufffd" not in text(1)
    assert "".join(model.generate("the", 0)) == ""


@pytest.mark.parametrize(
    ("prompt", "sentence"), [("thé €", "'é', '€', which the model has never seen"), ("\ufffd", "never seen")]
)
def test_unknown_characters_in_the_prompt(prompt, sentence):
    with pytest.raises(ValueError, match=sentence):
        make().generate(prompt)


def test_unknown_words_in_the_prompt_are_read_as_unknown():
    model = make("word")
    assert len("".join(model.generate("never heard", 5, rng=np.random.default_rng(0)))) > 0
    with pytest.raises(ValueError, match="no words"):
        model.generate("   ")


@pytest.mark.parametrize("tied", [False, True])
def test_save_load_copy_pickle(tmp_path, tied):
    model = make(layers=2, tie_weights=tied, embedding_size=7)
    tokens = model.vocabulary.encode(TEXT)
    ur.save(model, tmp_path / "model.safetensors")
    for other in (
        ur.load(tmp_path / "model.safetensors"),
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
    ):
        assert other.vocabulary == model.vocabulary
        assert other.bits(tokens) == model.bits(tokens)
        assert (other.output.W is other.embedding.W) == tied
        assert other.num_parameters == model.num_parameters


def test_tied_weights_get_both_gradients():
    model = make(tie_weights=True, embedding_size=7)
    train(model, 1)
    assert "output.W" not in model.parameters()
    assert np.abs(model.embedding.W.grad).min(axis=1).max() > 0.0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"cell": "Elman"}, "cell is 'Elman', expected one of BistableGRU, CTRNN"),
        ({"layers": 0}, "layers is 0"),
        ({"tie_weights": True}, "embedding_size=5 and hidden_size=7 differ"),
    ],
)
def test_wrong_options(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        make(**options)


def test_wrong_tokens():
    with pytest.raises(TypeError, match="vocabulary is str, expected a CharVocabulary or WordVocabulary"):
        ur.models.LanguageModel("abc")
    model = make()
    with pytest.raises(
        ValueError, match=r"LanguageModel: tokens has shape \(1,\), expected \(N,\) with 2 tokens"
    ):
        model.bits([3])
    with pytest.raises(ValueError, match=r"tokens has shape \(8,\), expected \(T, B\): time steps and rows"):
        model(np.arange(8))
    with pytest.raises(
        ValueError, match=r"tokens has shape \(1, 2\), expected \(B,\): one token of every row"
    ):
        model.step([[3, 4]])


def test_generation_is_checked_at_the_call():
    model = make()
    with pytest.raises(ValueError, match=r"prompt has shape \(0,\)"):
        model.generate_tokens(np.zeros(0, np.int64), 1, greedy)
    for length, error in [(-1, ValueError), (2.5, TypeError)]:
        with pytest.raises(error, match="LanguageModel: length is "):
            model.generate_tokens([3], length, greedy)
        with pytest.raises(error, match="LanguageModel: length is "):
            model.generate("the", length)


def test_a_step_without_a_state_is_the_first():
    model = make(layers=2)
    for got, want in zip(model.step([3, 4]), model.step([3, 4], model.initial_state(2)), strict=True):
        np.testing.assert_equal(got, want)
