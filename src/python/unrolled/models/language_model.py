"""A recurrent language model: which token comes next, given all before it.

    e[t] = E w[t]                                 embedding of token w[t]
    y[t], state[t] = cells(e[t], state[t-1])      one cell or a stack
    z[t] = W y[t] + b                             logits;  P(w[t+1] | w[0..t]) = softmax(z[t])

Dropout acts on what every layer hands upwards, not along time: W. Zaremba, I. Sutskever, O. Vinyals,
"Recurrent Neural Network Regularization", 2014. With tied weights, W = E: O. Press and L. Wolf, "Using the
Output Embedding to Improve Language Models", EACL 2017.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from unrolled import cells, checks
from unrolled.data.corpus import ScoredText
from unrolled.data.vocabulary import CharVocabulary, WordVocabulary
from unrolled.decode import Sampler
from unrolled.layers import Dropout, Embedding, Linear, Stack
from unrolled.losses import cross_entropy
from unrolled.module import Module
from unrolled.tensor import Tensor, no_grad
from unrolled.train import evaluate

__all__ = ["CELLS", "LanguageModel"]

# All but the one whose output is narrower than hidden_size.
CELLS: dict[str, type[cells.Recurrent]] = {
    name: cell
    for name, cell in sorted(vars(cells).items())
    if isinstance(cell, type) and hasattr(cell, "gates") and cell is not cells.ProjectedLSTM
}

_ROWS = 16  # parts of a text scored side by side
_LOGITS = 2**22  # most logits held at once while scoring


class LanguageModel(Module):
    """Embedding, recurrent layers, and a linear layer to the scores of the next token.

    `vocabulary` is kept, saved and loaded with the model. `cell` is a name in `CELLS`. `tie_weights` uses the
    embedding as the output weights, and needs `embedding_size == hidden_size`.
    """

    def __init__(
        self,
        vocabulary: CharVocabulary | WordVocabulary,
        *,
        cell: str = "LSTM",
        embedding_size: int = 64,
        hidden_size: int = 256,
        layers: int = 1,
        dropout: float = 0.0,
        tie_weights: bool = False,
        dtype: DTypeLike = np.float32,
        rng: np.random.Generator | None = None,
    ) -> None:
        if not isinstance(vocabulary, (CharVocabulary, WordVocabulary)):
            got = type(vocabulary).__name__
            raise TypeError(
                f"LanguageModel: vocabulary is {got}, expected a CharVocabulary or WordVocabulary"
            )
        if cell not in CELLS:
            raise ValueError(f"LanguageModel: cell is {cell!r}, expected one of {', '.join(CELLS)}")
        checks.size("LanguageModel", "layers", layers)
        if tie_weights and embedding_size != hidden_size:
            raise ValueError(
                f"LanguageModel: embedding_size={embedding_size} and hidden_size={hidden_size} differ, "
                "expected the same because tie_weights=True"
            )
        rng = checks.generator("LanguageModel", rng)
        sizes = [embedding_size] + [hidden_size] * layers
        self.vocabulary = vocabulary
        self.embedding = Embedding(len(vocabulary), embedding_size, dtype=dtype, rng=rng)
        self.cells = Stack(
            [CELLS[cell](i, h, dtype=dtype, rng=rng) for i, h in pairwise(sizes)],
            dropout=dropout,
            rng=rng,
        )
        self.dropout = Dropout(dropout, rng=rng)
        self.output = Linear(hidden_size, len(vocabulary), dtype=dtype, rng=rng)
        if tie_weights:
            self.output.W = self.embedding.W
        else:  # numbers of size 1, as the input weights expect
            self.embedding.W.data[...] *= math.sqrt(embedding_size)

    def forward(
        self, tokens: ArrayLike, state: Any = None, reset: NDArray[np.bool_] | None = None
    ) -> tuple[Tensor, Any]:
        """Logits (T, B, V) of the token after every one of `tokens` (T, B), and the state after the last."""
        if np.ndim(tokens) != 2:
            raise ValueError(
                f"LanguageModel: tokens has shape {np.shape(tokens)}, expected (T, B): time steps and rows of the "
                "batch; one text (N,) is tokens[:, None]"
            )
        y, state = self.cells(self.embedding(tokens), state, reset=reset)
        return self.output(self.dropout(y)), state

    def initial_state(self, batch_size: int) -> Any:
        """The state before any token: zeros."""
        return self.cells.initial_state(batch_size)

    def step(self, tokens: ArrayLike, state: Any = None) -> tuple[NDArray[Any], Any]:
        """One token (B,) for every row: logits (B, V) of the next and the new state, as plain arrays. Without a state,
        the tokens are the first.
        """
        given = np.asarray(tokens)
        if given.ndim != 1:
            raise ValueError(
                f"LanguageModel: tokens has shape {given.shape}, expected (B,): one token of every row"
            )
        with no_grad():
            embedded = self.embedding(given)
            y, state = self.cells.step(embedded._data, state)
            return self.output(y)._data, state

    def scored(self, tokens: ArrayLike) -> ScoredText:
        """A text (N,) as batches for `ur.evaluate`, or for `ur.fit` to validate on."""
        if np.ndim(tokens) != 1 or np.size(tokens) < 2:
            raise ValueError(
                f"LanguageModel: tokens has shape {np.shape(tokens)}, expected (N,) with 2 tokens or more: the "
                "first is not scored"
            )
        return ScoredText(tokens, rows=_ROWS, steps=max(_LOGITS // (_ROWS * len(self.vocabulary)), 1))

    def bits(self, tokens: ArrayLike) -> float:
        """Cross-entropy on a text (N,) in bits per token: of every token but the first, given those before
        it.
        """
        return evaluate(self, self.scored(tokens), cross_entropy) / math.log(2.0)

    def generate_tokens(
        self, prompt: ArrayLike, length: int, choose: Callable[[NDArray[Any]], Any]
    ) -> Iterator[int]:
        """Reads `prompt` (N,), then draws `length` tokens; `choose` turns logits (V,) into a token, as a
        `Sampler` does.
        """
        checks.size("LanguageModel", "length", length, least=0)
        tokens = np.asarray(prompt)
        if tokens.ndim != 1 or tokens.size == 0:
            raise ValueError(
                f"LanguageModel: prompt has shape {tokens.shape}, expected (N,) with 1 token or more"
            )
        return self._draw(tokens, length, choose)

    def _draw(
        self, prompt: NDArray[Any], length: int, choose: Callable[[NDArray[Any]], Any]
    ) -> Iterator[int]:
        state = self.initial_state(1)
        for token in prompt:
            logits, state = self.step(np.array([token]), state)
        for _ in range(length):
            token = int(choose(logits[0]))
            yield token
            logits, state = self.step(np.array([token]), state)

    def generate(
        self,
        prompt: str = "",
        length: int = 200,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        rng: np.random.Generator | None = None,
    ) -> Iterator[str]:
        """Text that goes on from `prompt`, piece by piece: `length` characters or words. Without a prompt, a
        new line.

        Raises ValueError at once for a prompt with characters that the vocabulary does not have.
        """
        start = self._prompt_tokens(prompt)
        sampler = Sampler(temperature=temperature, top_k=top_k, top_p=top_p, never=self._never(), rng=rng)
        return self._pieces(self.generate_tokens(start, length, sampler), prompt)

    def _prompt_tokens(self, prompt: str) -> NDArray[np.int64]:
        vocabulary = self.vocabulary
        if not prompt:
            line = "\n" if isinstance(vocabulary, CharVocabulary) else vocabulary.end_of_line
            prompt = line if line in vocabulary and line is not None else vocabulary.symbols[0]
        if isinstance(vocabulary, CharVocabulary):
            unknown = sorted({c for c in prompt if c not in vocabulary or c == vocabulary.unknown})
            if unknown:
                known = (c for c in vocabulary.symbols if c.isprintable() and c != vocabulary.unknown)
                raise ValueError(
                    f"the prompt has {', '.join(map(repr, unknown))}, which the model has never seen; "
                    f"it knows {''.join(known)}"
                )
        tokens = vocabulary.encode(prompt)
        if tokens.size == 0:
            raise ValueError(f"the prompt {prompt!r} has no words")
        return np.asarray(tokens, np.int64)

    def _never(self) -> list[int]:
        """The token for unknown symbols is not written, unless there is no other."""
        unknown = self.vocabulary.unknown
        return [] if unknown is None or len(self.vocabulary) < 2 else [self.vocabulary.symbols.index(unknown)]

    def _pieces(self, tokens: Iterator[int], prompt: str) -> Iterator[str]:
        vocabulary = self.vocabulary
        if isinstance(vocabulary, CharVocabulary):
            yield from (vocabulary.symbols[token] for token in tokens)
            return
        space = "" if not prompt or prompt[-1].isspace() else " "
        for token in tokens:
            if vocabulary.symbols[token] == vocabulary.end_of_line:
                yield "\n"
                space = ""
            else:
                yield space + vocabulary.symbols[token]
                space = " "
