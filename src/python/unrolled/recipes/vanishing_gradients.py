"""Clipping and the vanishing-gradient regularizer on temporal order (Pascanu, Mikolov and Bengio 2013)."""

from __future__ import annotations

from contextlib import nullcontext
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
_PLAIN, _CLIPPED, _BOTH = "plain", "clipped", "clipped and regularized"
_METHODS = (_PLAIN, _CLIPPED, _BOTH)
_LENGTHS = (20, 50, 100)


@dataclass(frozen=True)
class _Settings(Settings):
    """`weight` is that of the regularizer."""

    weight: float = 4.0


def _paper_start(model: Reader, rng: np.random.Generator) -> None:
    """Small weights; W_hh with 15 entries in a row and spectral radius 0.95 (the paper's start for tanh)."""
    for parameter in (model.cell.W_ih, model.output.W):
        parameter.data[...] = 0.01 * rng.standard_normal(parameter.shape)
    W = rng.standard_normal(model.cell.W_hh.shape)
    for row in W:
        row[rng.permutation(len(row))[15:]] = 0
    model.cell.W_hh.data[...] = 0.95 * W / np.abs(np.linalg.eigvals(W)).max()


def _train(method: str, length: int, settings: _Settings, seed: int, monitor: Monitor) -> Outcome:
    rng = np.random.default_rng(seed)
    model = Reader(ur.RNN(6, settings.hidden_size, rng=rng), 4, last=True, rng=rng)
    _paper_start(model, rng)
    test_rng = np.random.default_rng([seed, 1])
    tests = [temporal_order(test_rng, _TEST // 10, length) for _ in range(10)]
    seen: diagnostics.Watch | None = None

    def loss() -> tuple[Tensor, int]:
        nonlocal seen
        x, targets = temporal_order(rng, settings.batch_size, length)
        with diagnostics.watch(model) if method == _BOTH else nullcontext() as seen:
            return ur.cross_entropy(model(x)[0], targets), length * settings.batch_size

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
        adjust=add_regularizer if method == _BOTH else None,
        clip=method != _PLAIN,
    )


def _arm(method: str, length: int) -> Arm:
    return Arm(f"{method}, {length} steps", lambda *run: _train(method, length, *run))


def _judge(outcomes: Outcomes, quick: bool) -> bool:
    plain, clipped, both = (
        [outcome.solved for arm in _by_method(method) for outcome in outcomes[arm.label]]
        for method in _METHODS
    )
    return any(both) if quick else sum(plain) < sum(clipped) < sum(both)


def _by_method(method: str) -> list[Arm]:
    return [_arm(method, length) for length in _LENGTHS]


RECIPE = Recipe(
    name="vanishing-gradients",
    title="temporal order over 20, 50 and 100 steps, Elman networks of 50 units: plain descent, clipping, clipping and "
    "the regularizer",
    source="R. Pascanu, T. Mikolov, Y. Bengio, On the difficulty of training recurrent neural networks, ICML 2013",
    published="with clipping and the regularizer 5 of 5 seeds at every length, within 5 million updates at rate 0.01; "
    "the longer the sequence, the more clipping helps; with both, one network for lengths 50 to 200, too, which is not "
    "tried here: 60,000 updates at 0.01 from sparse weights solved it in none of 13 runs of the three methods",
    baseline=lambda settings: "guessing one of four classes: 0.75 wrong",
    measure=f"wrong share of {_TEST:,} unseen sequences; solved at 0.01, as in the paper",
    pass_line="over all lengths and seeds, plain descent solves fewer than clipping, and that fewer than both",
    quick_line="clipping and the regularizer solve one length at least",
    full=_Settings(updates=20000, seconds=300, batch_size=20, hidden_size=50, lr=0.03, check_every=500),
    quick=_Settings(1500, 300, 20, 50, 0.03, 250),
    arms=tuple(_arm(method, length) for method in _METHODS for length in _LENGTHS),
    judge=_judge,
)
