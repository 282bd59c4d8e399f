"""Choosing the next token from a model's logits.

Temperature, top-k and top-p act in that order on logits `z` of shape (V,):

    p = softmax(z / temperature)
    top-k keeps the k most probable tokens
    top-p keeps the fewest most probable tokens that together have at least the probability top_p
        (A. Holtzman et al., "The Curious Case of Neural Text Degeneration", ICLR 2020)

and what is kept is scaled to sum to 1. Of equally probable tokens the one with the smaller number comes
first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unrolled import checks

__all__ = ["Sampler", "greedy", "sampling_probabilities"]


def greedy(logits: ArrayLike) -> NDArray[np.int64]:
    """The most probable token of every row: (..., V) to (...)."""
    return np.asarray(_checked(logits, "greedy").argmax(axis=-1), dtype=np.int64)


def sampling_probabilities(
    logits: ArrayLike, *, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> NDArray[np.float64]:
    """The probabilities that a token is drawn with, of the shape of `logits` (..., V).

    Temperature 0 gives all the probability to the most probable token.
    """
    _check_options(temperature, top_k, top_p)
    scores = _checked(logits, "sampling_probabilities")
    if temperature == 0.0 or top_k == 1:
        return np.asarray(
            np.arange(scores.shape[-1]) == scores.argmax(axis=-1, keepdims=True), dtype=np.float64
        )
    with np.errstate(over="ignore"):  # close to temperature 0, improbable tokens rightly go to -infinity
        p: NDArray[np.float64] = np.exp((scores - scores.max(axis=-1, keepdims=True)) / temperature)
    p /= p.sum(axis=-1, keepdims=True)
    if top_k is None and top_p is None:
        return p
    order = np.argsort(-p, axis=-1, kind="stable")
    ranked = np.take_along_axis(p, order, axis=-1)
    if top_k is not None:
        ranked[..., top_k:] = 0.0
        ranked /= ranked.sum(axis=-1, keepdims=True)
    if top_p is not None:
        before = np.cumsum(ranked, axis=-1) - ranked
        before[..., 0] = -1.0  # the most probable token always stays
        ranked[before >= top_p] = 0.0
        ranked /= ranked.sum(axis=-1, keepdims=True)
    np.put_along_axis(p, order, ranked, axis=-1)
    return p


class Sampler:
    """Draws tokens: `sampler(logits (..., V)) -> (...)`. The same generator and logits give the same tokens.

    `never` lists tokens that are not to be drawn, such as the one that stands for unknown words.
    """

    def __init__(
        self,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        never: Sequence[int] = (),
        rng: np.random.Generator | None = None,
    ) -> None:
        _check_options(temperature, top_k, top_p)
        self.temperature = temperature
        self.top_k = top_k
        self.top_p = top_p
        self.never = list(never)
        self.rng = checks.generator("Sampler", rng)

    def __repr__(self) -> str:
        options = f"temperature={self.temperature}, top_k={self.top_k}, top_p={self.top_p}"
        return f"Sampler({options}, never={self.never})"

    def __call__(self, logits: ArrayLike) -> NDArray[np.int64]:
        scores = _checked(logits, "Sampler")
        if self.never:
            scores = scores.copy()
            scores[..., self.never] = -np.inf
        p = sampling_probabilities(scores, temperature=self.temperature, top_k=self.top_k, top_p=self.top_p)
        total = np.cumsum(p, axis=-1)
        drawn = self.rng.random(p.shape[:-1])[..., None] * total[..., -1:]
        return np.asarray((total <= drawn).sum(axis=-1), dtype=np.int64)


def _check_options(temperature: float, top_k: int | None, top_p: float | None) -> None:
    if not 0.0 <= temperature < np.inf:
        raise ValueError(
            f"temperature is {temperature}, expected 0 (always the most probable token) or above"
        )
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k is {top_k}, expected 1 or more")
    if top_p is not None and not 0.0 < top_p <= 1.0:
        raise ValueError(f"top_p is {top_p}, expected a probability above 0, at most 1")


def _checked(logits: ArrayLike, who: str) -> NDArray[np.float64]:
    scores = np.asarray(logits, dtype=np.float64)
    if scores.ndim == 0 or scores.shape[-1] == 0:
        raise ValueError(
            f"{who}: logits has shape {scores.shape}, expected (..., tokens) with one token or more"
        )
    if np.isnan(scores).any() or not np.isfinite(scores.max(axis=-1, initial=-np.inf)).all():
        raise ValueError(
            f"{who}: the logits hold NaN or infinity; the model has diverged or its weights are damaged"
        )
    return scores
