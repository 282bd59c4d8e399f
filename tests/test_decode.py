"""Greedy choice and sampling: exact probabilities, seeds, edges."""

import numpy as np
import pytest

from unrolled.decode import Sampler, greedy, sampling_probabilities

LOGITS = np.log([0.5, 0.25, 0.15, 0.1])


def test_greedy_is_the_first_of_the_most_probable():
    np.testing.assert_array_equal(greedy([[0.0, 2.0, 2.0], [3.0, 1.0, 2.0]]), [1, 0])
    assert greedy([1.0, 5.0]).shape == ()


@pytest.mark.parametrize(
    ("options", "want"),
    [
        ({}, [0.5, 0.25, 0.15, 0.1]),
        ({"temperature": 0.0}, [1, 0, 0, 0]),
        ({"temperature": 0.5}, np.square([0.5, 0.25, 0.15, 0.1]) / np.square([0.5, 0.25, 0.15, 0.1]).sum()),
        ({"top_k": 1}, [1, 0, 0, 0]),
        ({"top_k": 2}, [2 / 3, 1 / 3, 0, 0]),
        ({"top_k": 99}, [0.5, 0.25, 0.15, 0.1]),
        ({"top_p": 0.01}, [1, 0, 0, 0]),
        ({"top_p": 0.6}, [2 / 3, 1 / 3, 0, 0]),
        ({"top_p": 0.8}, [5 / 9, 2.5 / 9, 1.5 / 9, 0]),
        ({"top_p": 1.0}, [0.5, 0.25, 0.15, 0.1]),
        ({"top_k": 2, "top_p": 0.6}, [1, 0, 0, 0]),
    ],
)
def test_probabilities(options, want):
    # 1e-12: one softmax in float64.
    np.testing.assert_allclose(sampling_probabilities(LOGITS, **options), want, atol=1e-12)
    rows = sampling_probabilities(np.stack([LOGITS, LOGITS[::-1]]), **options)
    np.testing.assert_allclose(rows, [want, np.asarray(want)[::-1]], atol=1e-12)


def test_equal_probabilities_keep_exactly_k():
    np.testing.assert_allclose(sampling_probabilities(np.zeros(5), top_k=2), [0.5, 0.5, 0, 0, 0])


def test_extreme_logits_and_temperatures_do_not_overflow():
    for temperature in (1e-308, 1e-3, 1.0, 1e300):
        p = sampling_probabilities([1e30, -1e30, 0.0], temperature=temperature)
        assert p.sum() == pytest.approx(1.0)


def test_draws_follow_the_probabilities():
    sampler = Sampler(rng=np.random.default_rng(0))
    drawn = sampler(np.broadcast_to(LOGITS, (20_000, 4)))
    assert drawn.dtype == np.int64
    share = np.bincount(drawn, minlength=4) / drawn.size
    # Five standard errors of a share: 5 sqrt(0.25 / 20000) = 0.018.
    np.testing.assert_allclose(share, np.exp(LOGITS), atol=0.018)


def test_same_seed_same_tokens():
    def draw(seed):
        sampler = Sampler(temperature=1.5, rng=np.random.default_rng(seed))
        return [int(sampler(LOGITS)) for _ in range(50)]

    assert draw(3) == draw(3)
    assert draw(3) != draw(4)


def test_top_k_and_never_are_never_drawn():
    logits = np.broadcast_to(LOGITS, (2000, 4))
    assert set(Sampler(top_k=2, rng=np.random.default_rng(0))(logits)) == {0, 1}
    assert set(Sampler(never=[0], top_k=2, rng=np.random.default_rng(0))(logits)) == {1, 2}
    assert int(Sampler(temperature=0.0, never=[0])(LOGITS)) == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_k": 0}, "top_k is 0"),
        ({"top_p": 0.0}, "top_p is 0.0"),
        ({"top_p": 1.5}, "top_p is 1.5"),
    ],
)
def test_wrong_options(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        Sampler(**options)
    with pytest.raises(ValueError, match=sentence):
        sampling_probabilities(LOGITS, **options)


@pytest.mark.parametrize("bad", [[np.nan, 0.0], [np.inf, 0.0], [-np.inf, -np.inf]])
def test_damaged_logits(bad):
    with pytest.raises(ValueError, match="NaN or infinity"):
        Sampler()(bad)
    with pytest.raises(ValueError, match="NaN or infinity"):
        greedy(bad)


def test_no_tokens():
    with pytest.raises(ValueError, match=r"shape \(2, 0\)"):
        greedy(np.zeros((2, 0)))
