"""Spirals at irregular times: does it help to know how much time has passed?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import unrolled as ur
from unrolled.recipes.layers import Reader
from unrolled.recipes.monitor import Monitor
from unrolled.recipes.recipe import Arm, Outcome, Outcomes, Recipe, Settings
from unrolled.recipes.tasks import irregular_spirals
from unrolled.recipes.training import train, wrong_classes
from unrolled.tensor import Tensor

_TEST = 2000
_AWARE, _BLIND = "CTRNN, with dt", "CTRNN, without"
_GRU_AWARE, _GRU_BLIND = "GRU, dt as an input", "GRU, without"


@dataclass(frozen=True)
class _Settings(Settings):
    steps: int = 20


def _train(cell: str, aware: bool, settings: _Settings, seed: int, monitor: Monitor) -> Outcome:
    """CTRNN gets the time as its `dt`; another cell reads it as a third input, which for "without" is its mean."""
    rng = np.random.default_rng(seed)
    continuous = cell == "CTRNN"
    if continuous:  # explicit Euler would not be stable at gaps above 2 tau
        layer = ur.CTRNN(2, settings.hidden_size, method="exponential", least_tau=0.1, rng=rng)
    else:
        layer = getattr(ur, cell)(3, settings.hidden_size, rng=rng)
    model = Reader(layer, 2, last=True, rng=rng)

    def logits(data: Any) -> Tensor:
        dt = data.dt if aware else np.ones_like(data.dt)
        if continuous:
            return model(data.x, dt=dt)[0]  # type: ignore[no-any-return]
        return model(np.concatenate([data.x, dt[..., None]], axis=2))[0]  # type: ignore[no-any-return]

    test = irregular_spirals(np.random.default_rng([seed, 1]), _TEST, settings.steps)

    def loss() -> tuple[Tensor, int]:
        batch = irregular_spirals(rng, settings.batch_size, settings.steps)
        return ur.cross_entropy(logits(batch), batch.targets), batch.dt.size

    def check() -> tuple[float, bool]:
        return 1 - wrong_classes(logits(test).data, test.targets) / _TEST, False

    found = train(model, settings, monitor, loss, check)
    return Outcome(found.score > 0.95, found.score, found.updates, found.sequences, found.seconds, found.note)


def _judge(outcomes: Outcomes, quick: bool) -> bool:
    pairs = [(_AWARE, _BLIND), (_GRU_AWARE, _GRU_BLIND)]
    return all(
        aware.score > blind.score
        for better, worse in pairs
        if better in outcomes
        for aware, blind in zip(outcomes[better], outcomes[worse], strict=True)
    )


RECIPE = Recipe(
    name="irregular-spirals",
    title="tell slow spirals from fast ones, seen at irregular times",
    source="our own task, after the irregular series of continuous-time networks (Lechner, Hasani, Learning long-term "
    "dependencies in irregularly-sampled time series, 2020, arXiv:2006.04418)",
    published="no figure for this task; networks that know the time between observations beat those that do not",
    baseline=lambda settings: "guessing one of two classes: 0.5 right",
    measure=f"right share of {_TEST:,} unseen spirals after the last update; solved above 0.95",
    pass_line="with dt beats without, for every cell and seed",
    quick_line="the same with fewer updates",
    full=_Settings(updates=3000, seconds=300, batch_size=64, hidden_size=32, lr=0.01, check_every=3000),
    quick=_Settings(600, 300, 64, 24, 0.01, 600),
    seeds=3,
    arms=(
        Arm(_AWARE, lambda *run: _train("CTRNN", True, *run), needs="CTRNN"),
        Arm(_BLIND, lambda *run: _train("CTRNN", False, *run), needs="CTRNN"),
        Arm(_GRU_AWARE, lambda *run: _train("GRU", True, *run)),
        Arm(_GRU_BLIND, lambda *run: _train("GRU", False, *run)),
    ),
    judge=_judge,
)
