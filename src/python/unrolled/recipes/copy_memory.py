"""Copy memory with T = 1000 (Bai, Kolter and Koltun 2018)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

import unrolled as ur
from unrolled.recipes.layers import Make, Reader, chrono_gru, chrono_lstm, plain
from unrolled.recipes.monitor import Monitor
from unrolled.recipes.recipe import Arm, Outcome, Outcomes, Recipe, Settings
from unrolled.recipes.tasks import copy_memory
from unrolled.recipes.training import train
from unrolled.tensor import Tensor

_SYMBOLS = 10
_TEST = 200


@dataclass(frozen=True)
class _Settings(Settings):
    wait: int = 1000


def _without_memory(settings: _Settings) -> float:
    return 10 * math.log(8) / (settings.wait + 20)


def _train(make: Make, settings: _Settings, seed: int, monitor: Monitor) -> Outcome:
    rng = np.random.default_rng(seed)
    model = Reader(make(_SYMBOLS, settings.hidden_size, settings.wait + 10, rng), _SYMBOLS, rng=rng)
    x, answers = copy_memory(np.random.default_rng([seed, 1]), _TEST, settings.wait)

    def loss() -> tuple[Tensor, int]:
        symbols, targets = copy_memory(rng, settings.batch_size, settings.wait)
        return ur.cross_entropy(model(ur.one_hot(symbols, _SYMBOLS))[0], targets), symbols.size

    def check() -> tuple[float, bool]:
        error = ur.cross_entropy(model(ur.one_hot(x, _SYMBOLS))[0], answers).item()
        return error, error < 0.5 * _without_memory(settings)

    return train(model, settings, monitor, loss, check)


def _judge(outcomes: Outcomes, quick: bool) -> bool:
    return any(outcome.solved for outcome in outcomes["LSTM, chrono start"])


RECIPE = Recipe(
    name="copy-memory",
    title="say ten symbols again after 1,000 steps",
    source="S. Bai, J. Z. Kolter, V. Koltun, An empirical evaluation of generic convolutional and recurrent networks "
    "for sequence modeling, 2018 (arXiv:1803.01271)",
    published="LSTM with 16,000 parameters: cross-entropy 0.0204, which is that of no memory",
    baseline=lambda settings: f"no memory, 10 ln 8 / (T + 20): cross-entropy {_without_memory(settings):.4f}",
    measure="cross-entropy on 200 unseen sequences; solved below half of that of no memory",
    pass_line="LSTM with chrono start solves it with at least one seed; the table shows which others do",
    quick_line="the same after 5 steps",
    full=_Settings(updates=10000, seconds=3600, batch_size=32, hidden_size=64, lr=0.002, check_every=100),
    quick=_Settings(1500, 300, 32, 64, 0.02, 50, wait=5),
    seeds=2,
    arms=(
        Arm("LSTM, chrono start", lambda *run: _train(chrono_lstm, *run)),
        Arm("LSTM", lambda *run: _train(plain(ur.LSTM), *run), control=True),
        Arm("GRU, chrono start", lambda *run: _train(chrono_gru, *run), control=True),
    ),
    judge=_judge,
)
