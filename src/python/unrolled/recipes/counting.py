"""a^n b^n c^n: trained with n up to 10, how far does it count? (Gers and Schmidhuber 2001)"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

import numpy as np

import unrolled as ur
from unrolled.recipes.layers import Reader
from unrolled.recipes.monitor import Monitor
from unrolled.recipes.recipe import Arm, Outcome, Outcomes, Recipe, Settings
from unrolled.recipes.tasks import counting
from unrolled.recipes.training import train
from unrolled.tape import Array
from unrolled.tensor import Tensor


@dataclass(frozen=True)
class _Settings(Settings):
    largest: int = 10  # n of the training strings
    tested: int = 200
    goal: int = 24


def _reach(model: Reader, test: tuple[Array, Array, Array]) -> int:
    """The largest n such that all strings up to it have every answer right: above 1/2 what may come, below the rest."""
    x, legal, lengths = test
    wrong = ((model(x, lengths)[0].data > 0) != (legal > 0.5)).any(axis=2)
    accepted = ~(wrong & (np.arange(len(x))[:, None] < lengths)).any(axis=0)
    return len(accepted) if accepted.all() else int(accepted.argmin())


def _train(cell: Any, settings: _Settings, seed: int, monitor: Monitor) -> Outcome:
    rng = np.random.default_rng(seed)
    model = Reader(cell(4, settings.hidden_size, rng=rng), 4, rng=rng)
    x, legal, lengths = counting(range(1, settings.largest + 1))
    valid = np.arange(len(x))[:, None] < lengths
    test = counting(range(1, settings.tested + 1))
    best = 0

    def loss() -> tuple[Tensor, int]:
        return ur.binary_cross_entropy(model(x, lengths)[0], legal, mask=valid), int(lengths.sum())

    def check() -> tuple[float, bool]:
        nonlocal best
        best = max(best, _reach(model, test))
        return best, best >= settings.tested

    found = train(model, settings, monitor, loss, check)
    return Outcome(best >= settings.goal, best, found.updates, found.sequences, found.seconds, found.note)


def _judge(outcomes: Outcomes, quick: bool) -> bool:
    goal = (RECIPE.quick if quick else RECIPE.full).goal  # type: ignore[attr-defined]
    return bool(statistics.median(outcome.score for outcome in outcomes["peephole LSTM"]) >= goal)


RECIPE = Recipe(
    name="counting",
    title="a^n b^n c^n: trained on n = 1 to 10, accept longer strings",
    source="F. A. Gers, J. Schmidhuber, LSTM recurrent networks learn simple context-free and context-sensitive "
    "languages, IEEE Transactions on Neural Networks 12, 2001",
    published="peephole LSTM: to about n = 50 (to n = 52 at best); a public re-run: median 24",
    baseline=lambda settings: f"remembering the training strings: n = {settings.largest}",
    measure="largest n up to which every string is accepted, the best of all checks; solved from n = 24 on",
    pass_line="the median over the seeds of peephole LSTM is at least 24",
    quick_line="peephole LSTM accepts all strings to n = 4",
    full=_Settings(updates=30000, seconds=300, batch_size=10, hidden_size=6, lr=0.01, check_every=50),
    quick=_Settings(1500, 300, 10, 6, 0.02, 50, largest=4, tested=20, goal=4),
    seeds=10,
    arms=(
        Arm("peephole LSTM", lambda *run: _train(ur.PeepholeLSTM, *run), needs="PeepholeLSTM"),
        Arm("LSTM", lambda *run: _train(ur.LSTM, *run), control=True),
    ),
    judge=_judge,
)
