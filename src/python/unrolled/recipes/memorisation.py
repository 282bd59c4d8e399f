"""Memorisation of 20 symbols by a tied grid of LSTM cells (Kalchbrenner, Danihelka and Graves 2016)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import unrolled as ur
from unrolled.recipes.monitor import Monitor
from unrolled.recipes.recipe import Arm, Outcome, Outcomes, Recipe, Settings, success_rate
from unrolled.recipes.tasks import memorisation
from unrolled.recipes.training import train, wrong_classes
from unrolled.tensor import Tensor

_TEST = 500
_GRID, _STACK = "tied 2-LSTM grid", "stacked LSTM"


@dataclass(frozen=True)
class _Settings(Settings):
    length: int = 20
    symbols: int = 64
    depth: int = 4
    goal: float = 0.99


Make = Callable[[_Settings, np.random.Generator], Any]


def _grid(settings: _Settings, rng: np.random.Generator) -> ur.GridLSTM:
    return ur.GridLSTM(settings.symbols + 1, settings.hidden_size, settings.depth, tied=True, rng=rng)


def _stack(settings: _Settings, rng: np.random.Generator) -> ur.Stack:
    sizes = [settings.symbols + 1, *[settings.hidden_size] * (settings.depth - 1)]
    return ur.Stack([ur.LSTM(size, settings.hidden_size, rng=rng) for size in sizes])


class Memoriser(ur.Module):
    """A recurrent network that answers while it reads the second half of its sequence."""

    def __init__(self, network: Any, symbols: int, *, rng: np.random.Generator) -> None:
        self.network = network
        self.output = ur.Linear(network.output_size, symbols, rng=rng)

    def forward(self, x: Any) -> Tensor:
        """x (2 n, B, I) -> logits (n, B, S)."""
        logits: Tensor = self.output(self.network(x)[0][len(x) // 2 :])
        return logits


def _train(make: Make, settings: _Settings, seed: int, monitor: Monitor) -> Outcome:
    rng = np.random.default_rng(seed)
    model = Memoriser(make(settings, rng), settings.symbols, rng=rng)
    sizes = settings.length, settings.symbols
    x, symbols = memorisation(np.random.default_rng([seed, 1]), _TEST, *sizes)

    def loss() -> tuple[Tensor, int]:
        batch, targets = memorisation(rng, settings.batch_size, *sizes)
        return ur.cross_entropy(model(batch), targets), 2 * targets.size

    def check() -> tuple[float, bool]:
        right = 1 - wrong_classes(model(x).data, symbols) / symbols.size
        return right, right >= settings.goal

    return train(model, settings, monitor, loss, check)


def _judge(outcomes: Outcomes, quick: bool) -> bool:
    slower = [
        not stack.solved or stack.sequences > grid.sequences
        for grid, stack in zip(outcomes[_GRID], outcomes.get(_STACK, []), strict=False)
    ]
    return success_rate(outcomes[_GRID]) == 1 and all(slower)


RECIPE = Recipe(
    name="memorisation",
    title="read 20 of 64 symbols, then say them again: LSTM cells along time and depth against stacked LSTMs",
    source="N. Kalchbrenner, I. Danihelka, A. Graves, Grid long short-term memory, ICLR 2016 (arXiv:1507.01526)",
    published="grids significantly outperform the stacked LSTM; scaled down here from up to 50 layers to 4",
    baseline=lambda settings: f"guessing one of {settings.symbols} symbols: {1 / settings.symbols:.2g} right",
    measure=f"right share of the symbols of {_TEST} unseen sequences; solved at 0.99 (quick: 0.9)",
    pass_line="with every seed the grid solves it in 150,000 sequences, and in fewer than the stack of as many layers "
    "and units, if that does",
    quick_line="the grid memorises 5 of 8 symbols",
    full=_Settings(updates=10000, seconds=900, batch_size=15, hidden_size=100, lr=0.002, check_every=200),
    quick=_Settings(2000, 300, 16, 32, 0.01, 50, length=5, symbols=8, depth=2, goal=0.9),
    seeds=3,
    arms=(
        Arm(_GRID, lambda *run: _train(_grid, *run)),
        Arm(_STACK, lambda *run: _train(_stack, *run), control=True),
    ),
    judge=_judge,
)
