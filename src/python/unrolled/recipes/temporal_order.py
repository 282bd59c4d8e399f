"""Temporal order, task 6a of Hochreiter and Schmidhuber 1997."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import unrolled as ur
from unrolled.recipes.layers import Make, Reader, chrono_lstm, plain
from unrolled.recipes.monitor import Monitor
from unrolled.recipes.recipe import Arm, Outcome, Outcomes, Recipe, Settings, success_rate
from unrolled.recipes.tasks import temporal_order_with_ends
from unrolled.recipes.training import train
from unrolled.tensor import Tensor

_TEST = 2560
_SURE = 0.7  # an error above 0.3 is a wrong answer, as in the paper


@dataclass(frozen=True)
class _Settings(Settings):
    shortest: int = 100


def _train(make: Make, settings: _Settings, seed: int, monitor: Monitor) -> Outcome:
    rng = np.random.default_rng(seed)
    model = Reader(make(8, settings.hidden_size, settings.shortest, rng), 4, last=True, rng=rng)
    x, classes, lengths = temporal_order_with_ends(np.random.default_rng([seed, 1]), _TEST, settings.shortest)

    def loss() -> tuple[Tensor, int]:
        batch, targets, sizes = temporal_order_with_ends(rng, settings.batch_size, settings.shortest)
        return ur.cross_entropy(model(batch, sizes)[0], targets), int(sizes.sum())

    def check() -> tuple[float, bool]:
        found = ur.softmax(model(x, lengths)[0]).data[np.arange(_TEST), classes]
        wrong = int((found < _SURE).sum())
        return wrong, wrong <= 3

    return train(model, settings, monitor, loss, check)


def _judge(outcomes: Outcomes, quick: bool) -> bool:
    return success_rate(outcomes["LSTM, chrono start"]) == 1


RECIPE = Recipe(
    name="temporal-order",
    title="tell the order of two symbols in 100 to 110",
    source="S. Hochreiter, J. Schmidhuber, Long short-term memory, Neural Computation 9, 1997, experiment 6a",
    published="LSTM of 1997: 1 of 2,560 wrong after 31,390 sequences read one by one",
    baseline=lambda settings: f"guessing one of four classes: {_TEST * 3 // 4:,} of {_TEST:,} wrong",
    measure=f"of {_TEST:,} unseen sequences those whose class has less than {_SURE}; solved at 3 or fewer",
    pass_line="LSTM with chrono start has at most 3 of 2,560 wrong with every seed",
    quick_line="the same with 20 to 22 symbols",
    full=_Settings(updates=5000, seconds=600, batch_size=20, hidden_size=32, lr=0.01, check_every=100),
    quick=_Settings(3000, 300, 20, 16, 0.01, 50, shortest=20),
    arms=(
        Arm("LSTM, chrono start", lambda *run: _train(chrono_lstm, *run)),
        Arm("LSTM", lambda *run: _train(plain(ur.LSTM), *run), control=True),
        Arm("Elman", lambda *run: _train(plain(ur.RNN), *run), control=True),
    ),
    judge=_judge,
)
