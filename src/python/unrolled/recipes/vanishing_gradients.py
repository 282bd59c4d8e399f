"""Clipping and the vanishing-gradient regularizer on temporal order (Pascanu, Mikolov and Bengio 2013)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import unrolled as ur
from unrolled import diagnostics
from unrolled.recipes.layers import Reader
from unrolled.recipes.monitor import Monitor
from unrolled.recipes.recipe import Arm, Outcome, Outcomes, Recipe, Settings
from unrolled.recipes.tasks import temporal_order
from unrolled.recipes.training import train, wrong_classes
from unrolled.tensor import Tensor

_TEST = 10_000


@dataclass(frozen=True)
class _Settings(Settings):
    """Training lengths are drawn from `shortest` to `longest` - 1; `weight` is that of the regularizer."""

    shortest: int = 50
    longest: int = 200
    weight: float = 4.0


def _paper_start(model: Reader, rng: np.random.Generator) -> None:
    """Small weights; W_hh with 15 entries in a row and spectral radius 0.95 (the paper's start for tanh)."""
    for parameter in (model.cell.W_ih, model.output.W):
        parameter.data[...] = 0.01 * rng.standard_normal(parameter.shape)
    W = rng.standard_normal(model.cell.W_hh.shape)
    for row in W:
        row[rng.permutation(len(row))[15:]] = 0
    model.cell.W_hh.data[...] = 0.95 * W / np.abs(np.linalg.eigvals(W)).max()


def _train(clip: bool, regularize: bool, settings: _Settings, seed: int, monitor: Monitor) -> Outcome:
    rng = np.random.default_rng(seed)
    model = Reader(ur.RNN(6, settings.hidden_size, rng=rng), 4, last=True, rng=rng)
    _paper_start(model, rng)
    test_rng = np.random.default_rng([seed, 1])
    tests = [temporal_order(test_rng, _TEST // 10, _length(test_rng, settings)) for _ in range(10)]
    seen: diagnostics.Watch | None = None

    def loss() -> tuple[Tensor, int]:
        nonlocal seen
        x, targets = temporal_order(rng, settings.batch_size, _length(rng, settings))
        if not regularize:
            return ur.cross_entropy(model(x)[0], targets), x.shape[0] * x.shape[1]
        with diagnostics.watch(model) as seen:
            return ur.cross_entropy(model(x)[0], targets), x.shape[0] * x.shape[1]

    def add_regularizer() -> None:
        assert seen is not None
        omega = diagnostics.vanishing_gradient(seen.trace)
        model.cell.W_hh.grad += settings.weight * omega.gradient

    def check() -> tuple[float, bool]:
        wrong = sum(wrong_classes(model(x)[0].data, targets) for x, targets in tests)
        return wrong / _TEST, wrong <= _TEST // 100

    return train(
        model,
        settings,
        monitor,
        loss,
        check,
        optimizer=ur.SGD(model, settings.lr),
        adjust=add_regularizer if regularize else None,
        clip=clip,
    )


def _length(rng: np.random.Generator, settings: _Settings) -> int:
    return int(rng.integers(settings.shortest, settings.longest))


def _solved(outcomes: list[Outcome]) -> int:
    return sum(outcome.solved for outcome in outcomes)


def _judge(outcomes: Outcomes, quick: bool) -> bool:
    plain, clipped, both = (_solved(outcomes[arm.label]) for arm in RECIPE.arms)
    enough = both >= 1 if quick else both == len(outcomes[RECIPE.arms[2].label])
    return plain <= clipped <= both and enough


RECIPE = Recipe(
    name="vanishing-gradients",
    title="temporal order with an Elman network of 50 units: plain descent, clipping, clipping and the regularizer",
    source="R. Pascanu, T. Mikolov, Y. Bengio, On the difficulty of training recurrent neural networks, ICML 2013",
    published="clipping and regularizer solve it with 5 of 5 seeds for lengths 50 to 200, plain descent from length "
    "20 on hardly ever, clipping in between",
    baseline=lambda settings: "guessing one of four classes: 0.75 wrong",
    measure=f"wrong share of {_TEST:,} unseen sequences; solved at 0.01, as in the paper",
    pass_line="the order of the three methods, and the last solves it with every seed",
    quick_line="the order of the three methods with lengths 10 to 20, and the last solves it",
    full=_Settings(updates=60000, seconds=3600, batch_size=20, hidden_size=50, lr=0.01, check_every=500),
    quick=_Settings(4000, 300, 20, 50, 0.05, 250, shortest=10, longest=20),
    arms=(
        Arm("plain", lambda *run: _train(False, False, *run)),
        Arm("clipped", lambda *run: _train(True, False, *run)),
        Arm("clipped and regularized", lambda *run: _train(True, True, *run)),
    ),
    judge=_judge,
)
