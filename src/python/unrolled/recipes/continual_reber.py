"""Continual embedded Reber grammar: the same without a sign of where a string ends (Gers et al. 2000).

As in the paper, both cells learn by the truncated gradient, at a rate that falls, and are judged by streams of 100,000
symbols. The cell of 1997 solved it with two seeds of five by the whole gradient of 50 steps, and by the truncated one
where the streams to learn from ended after 5,000 symbols.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import unrolled as ur
from unrolled.recipes.embedded_reber import mistakes
from unrolled.recipes.layers import Reader
from unrolled.recipes.monitor import Monitor
from unrolled.recipes.recipe import Arm, Outcome, Outcomes, Recipe, Settings, success_rate
from unrolled.recipes.tasks import REBER_SYMBOLS, reber_streams
from unrolled.recipes.tasks.reber import ReberBatch
from unrolled.recipes.training import train
from unrolled.recipes.truncated import Truncated
from unrolled.tensor import Tensor

_SYMBOLS = len(REBER_SYMBOLS)


@dataclass(frozen=True)
class _Settings(Settings):
    """`steps` of every stream are read per update, the state is carried on; `stream` is the length of a whole one.

    `half`: updates in which the rate falls to its half.
    """

    steps: int = 50
    half: int = 4000
    stream: int = 50_000
    tests: int = 10
    test_stream: int = 100_000


def _pieces(stream: ReberBatch, steps: int) -> Iterator[ReberBatch]:
    for start in range(0, len(stream.x), steps):
        part = slice(start, start + steps)
        yield ReberBatch(stream.x[part], stream.targets[part], stream.legal[part], stream.lengths)


def _training(rng: np.random.Generator, settings: _Settings) -> Iterator[tuple[ReberBatch, bool]]:
    """Pieces of streams, and whether a piece is the first of new ones."""
    while True:
        stream = reber_streams(rng, settings.batch_size, settings.stream)
        for number, piece in enumerate(_pieces(stream, settings.steps)):
            yield piece, number == 0


def _failed_streams(model: Reader, test: ReberBatch) -> int:
    """How many streams have a mistake anywhere."""
    state: Any = None
    failed = np.zeros(test.x.shape[1], bool)
    for piece in _pieces(test, 1000):
        logits, state = model(piece.x, state=state)
        failed |= mistakes(logits.data, piece.legal).any(axis=0)
        if failed.all():
            break
    return int(failed.sum())


def _train(cell: Any, settings: _Settings, seed: int, monitor: Monitor) -> Outcome:
    rng = np.random.default_rng(seed)
    model = Reader(Truncated(cell(_SYMBOLS, settings.hidden_size, rng=rng)), _SYMBOLS, rng=rng)
    test = reber_streams(np.random.default_rng([seed, 1]), settings.tests, settings.test_stream)
    pieces = _training(rng, settings)
    optimizer = ur.Adam(model, settings.lr)
    state: Any = None

    def loss() -> tuple[Tensor, int]:
        nonlocal state
        optimizer.lr *= 0.5 ** (1 / settings.half)
        piece, first = next(pieces)
        logits, last = model(piece.x, state=None if first else state)
        state = type(last)(*(part.detach() for part in last))
        return ur.cross_entropy(logits, piece.targets), piece.targets.size

    def check() -> tuple[float, bool]:
        failed = _failed_streams(model, test)
        return failed, failed == 0

    return train(model, settings, monitor, loss, check, optimizer=optimizer)


def _judge(outcomes: Outcomes, quick: bool) -> bool:
    old = outcomes.get("LSTM of 1997", [])
    return success_rate(outcomes["LSTM"]) == 1 and not any(outcome.solved for outcome in old)


RECIPE = Recipe(
    name="continual-reber",
    title="predict what an endless text of embedded Reber strings allows next; the state is never reset",
    source="F. A. Gers, J. Schmidhuber, F. Cummins, Learning to forget, Neural Computation 12, 2000",
    published="with forget gates solved, without (1997) never",
    baseline=lambda settings: "guessing the symbol to be remembered fails every stream",
    measure="unseen streams of 10 with a mistake anywhere, 100,000 symbols each; solved at 0",
    pass_line="LSTM solves it with every seed, LSTM of 1997 with none",
    quick_line="LSTM reads 10 streams of 100,000 symbols without a mistake, LSTM of 1997 does not",
    full=_Settings(updates=16000, seconds=600, batch_size=16, hidden_size=24, lr=0.01, check_every=500),
    quick=_Settings(8000, 300, 16, 24, 0.01, 250),
    arms=(
        Arm("LSTM", lambda *run: _train(ur.LSTM, *run)),
        Arm("LSTM of 1997", lambda *run: _train(ur.LSTM1997, *run), needs="LSTM1997", control=True),
    ),
    judge=_judge,
)
