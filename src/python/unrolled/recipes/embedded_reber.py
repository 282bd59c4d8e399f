"""Embedded Reber grammar: a symbol remembered over a random walk (Hochreiter and Schmidhuber 1997, experiment 1)."""

from __future__ import annotations

from typing import Any

import numpy as np

import unrolled as ur
from unrolled.recipes.layers import Reader
from unrolled.recipes.monitor import Monitor
from unrolled.recipes.recipe import Arm, Outcome, Outcomes, Recipe, Settings, success_rate
from unrolled.recipes.tasks import REBER_SYMBOLS, reber_batch
from unrolled.recipes.tasks.reber import ReberBatch
from unrolled.recipes.training import train
from unrolled.tape import Array
from unrolled.tensor import Tensor

_TEST = 256  # strings, as in the paper
_SYMBOLS = len(REBER_SYMBOLS)


def mistakes(logits: Array, legal: Array) -> Array:
    """Where a symbol that is not allowed gets as much as one that is, (T, B)."""
    weakest = np.where(legal, logits, np.inf).min(axis=-1)
    strongest = np.where(legal, -np.inf, logits).max(axis=-1)
    return np.asarray(weakest <= strongest)


def wrong_strings(model: Reader, test: ReberBatch) -> int:
    """How many strings have a mistake at any step."""
    logits = model(test.x, test.lengths)[0].data
    valid = np.arange(len(test.x))[:, None] < test.lengths
    return int((mistakes(logits, test.legal) & valid).any(axis=0).sum())


def _train(cell: Any, settings: Settings, seed: int, monitor: Monitor) -> Outcome:
    rng = np.random.default_rng(seed)
    model = Reader(cell(_SYMBOLS, settings.hidden_size, rng=rng), _SYMBOLS, rng=rng)
    test = reber_batch(np.random.default_rng([seed, 1]), _TEST)

    def loss() -> tuple[Tensor, int]:
        batch = reber_batch(rng, settings.batch_size)
        valid = np.arange(len(batch.x))[:, None] < batch.lengths
        return ur.cross_entropy(model(batch.x, batch.lengths)[0], batch.targets, mask=valid), int(valid.sum())

    def check() -> tuple[float, bool]:
        wrong = wrong_strings(model, test)
        return wrong, wrong == 0

    return train(model, settings, monitor, loss, check)


def _judge(outcomes: Outcomes, quick: bool) -> bool:
    return success_rate(outcomes["LSTM"]) >= 0.95


RECIPE = Recipe(
    name="embedded-reber",
    title="predict what the embedded Reber grammar allows next, its second symbol remembered to the end",
    source="S. Hochreiter, J. Schmidhuber, Long short-term memory, Neural Computation 9, 1997, experiment 1",
    published="LSTM of 1997: 100 % of the trials, after 8,440 sequences read one by one; Elman network: never",
    baseline=lambda settings: "guessing the symbol to be remembered fails half of the strings",
    measure=f"unseen strings of {_TEST} with a mistake; solved at 0",
    pass_line="LSTM (with forget gates, which the paper's has not) solves it with at least 95 % of the seeds",
    quick_line="LSTM solves it",
    full=Settings(updates=6000, seconds=120, batch_size=8, hidden_size=16, lr=0.02, check_every=25),
    quick=Settings(updates=2000, seconds=300, batch_size=8, hidden_size=16, lr=0.02, check_every=25),
    seeds=30,
    arms=(
        Arm("LSTM", lambda *run: _train(ur.LSTM, *run)),
        Arm("Elman", lambda *run: _train(ur.RNN, *run), control=True),
    ),
    judge=_judge,
)
