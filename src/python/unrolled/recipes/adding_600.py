"""The adding problem of Bai, Kolter and Koltun 2018 with T = 600."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import unrolled as ur
from unrolled.recipes.layers import Make, Reader, chrono_gru, plain
from unrolled.recipes.monitor import Monitor
from unrolled.recipes.recipe import Arm, Outcome, Outcomes, Recipe, Settings, success_rate
from unrolled.recipes.tasks import adding
from unrolled.recipes.training import train
from unrolled.tensor import Tensor

_TEST = 1000


@dataclass(frozen=True)
class _Settings(Settings):
    steps: int = 600
    goal: float = 1e-3


def _train(make: Make, settings: _Settings, seed: int, monitor: Monitor) -> Outcome:
    rng = np.random.default_rng(seed)
    model = Reader(make(2, settings.hidden_size, settings.steps, rng), 1, last=True, rng=rng)
    x, sums = adding(np.random.default_rng([seed, 1]), _TEST, settings.steps)

    def loss() -> tuple[Tensor, int]:
        batch, targets = adding(rng, settings.batch_size, settings.steps)
        return ur.mean_squared_error(model(batch)[0], targets), settings.batch_size * settings.steps

    def check() -> tuple[float, bool]:
        error = ur.mean_squared_error(model(x)[0], sums).item()
        return error, error <= settings.goal

    return train(model, settings, monitor, loss, check)


def _judge(outcomes: Outcomes, quick: bool) -> bool:
    return success_rate(outcomes["GRU, chrono start"]) == 1


_FULL = _Settings(updates=10000, seconds=1800, batch_size=32, hidden_size=64, lr=0.005, check_every=100)

RECIPE = Recipe(
    name="adding-600",
    title="add two marked numbers of 600",
    source="S. Bai, J. Z. Kolter, V. Koltun, An empirical evaluation of generic convolutional and recurrent networks "
    "for sequence modeling, 2018 (arXiv:1803.01271)",
    published="mean squared error with 70,000 parameters: GRU 5.3e-5, LSTM 0.164, Elman 0.177",
    baseline=lambda settings: "always answering 1: mean squared error 1/6 = 0.167",
    measure=f"mean squared error on {_TEST:,} unseen sequences; solved at the line",
    pass_line="GRU with chrono start reaches 1e-3 with every seed (it stops there)",
    quick_line="GRU reaches 1e-2 with 40 numbers",
    full=_FULL,
    quick=_Settings(2500, 300, 32, 32, 0.01, 50, steps=40, goal=1e-2),
    seeds=3,
    arms=(
        Arm("GRU, chrono start", lambda *run: _train(chrono_gru, *run)),
        Arm("GRU", lambda *run: _train(plain(ur.GRU), *run), control=True),
    ),
    judge=_judge,
)
