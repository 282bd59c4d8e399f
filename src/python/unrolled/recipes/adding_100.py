"""The adding problem of Hochreiter and Schmidhuber 1997 with T = 100."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import unrolled as ur
from unrolled.recipes.layers import Make, Reader, chrono_lstm, plain
from unrolled.recipes.monitor import Monitor
from unrolled.recipes.recipe import Arm, Outcome, Outcomes, Recipe, Settings, success_rate
from unrolled.recipes.tasks import adding_with_ends
from unrolled.recipes.training import train
from unrolled.tensor import Tensor

_TEST = 2560
_NEAR = 0.04  # a larger error is a wrong answer, as in the paper


@dataclass(frozen=True)
class _Settings(Settings):
    steps: int = 100


def _train(make: Make, settings: _Settings, seed: int, monitor: Monitor) -> Outcome:
    rng, steps = np.random.default_rng(seed), settings.steps
    model = Reader(make(2, settings.hidden_size, steps, rng), 1, last=True, rng=rng)
    x, sums, lengths = adding_with_ends(np.random.default_rng([seed, 1]), _TEST, steps)

    def loss() -> tuple[Tensor, int]:
        batch, targets, sizes = adding_with_ends(rng, settings.batch_size, steps)
        return ur.mean_squared_error(model(batch, sizes)[0], targets), int(sizes.sum())

    def check() -> tuple[float, bool]:
        wrong = int((np.abs(model(x, lengths)[0].data - sums) > _NEAR).sum())
        return wrong, wrong <= 3

    return train(model, settings, monitor, loss, check)


def _baseline(settings: _Settings) -> str:
    _, sums, _ = adding_with_ends(np.random.default_rng(0), _TEST, settings.steps)
    return f"always answering 0.5: {int((np.abs(sums - 0.5) > _NEAR).sum()):,} of {_TEST:,} wrong"


def _judge(outcomes: Outcomes, quick: bool) -> bool:
    return success_rate(outcomes["LSTM, chrono start"]) == 1


RECIPE = Recipe(
    name="adding-100",
    title="add two marked numbers of 100 to 110",
    source="S. Hochreiter, J. Schmidhuber, Long short-term memory, Neural Computation 9, 1997, experiment 4",
    published="LSTM of 1997: at most 3 of 2,560 wrong after 74,000 sequences read one by one",
    baseline=_baseline,
    measure=f"of {_TEST:,} unseen sequences those with an error above {_NEAR}; solved at 3 or fewer",
    pass_line="LSTM with chrono start has at most 3 of 2,560 wrong with every seed",
    quick_line="the same with 10 or 11 numbers",
    full=_Settings(updates=15000, seconds=600, batch_size=20, hidden_size=32, lr=0.01, check_every=100),
    quick=_Settings(6000, 300, 20, 16, 0.01, 100, steps=10),
    arms=(
        Arm("LSTM, chrono start", lambda *run: _train(chrono_lstm, *run)),
        Arm("LSTM", lambda *run: _train(plain(ur.LSTM), *run), control=True),
        Arm("Elman", lambda *run: _train(plain(ur.RNN), *run), control=True),
    ),
    judge=_judge,
)
