"""Parity of k bits seen at once, by LSTM cells along depth (Kalchbrenner, Danihelka and Graves 2016)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import unrolled as ur
from unrolled.recipes.monitor import Monitor
from unrolled.recipes.recipe import Arm, Outcome, Outcomes, Recipe, Settings, success_rate
from unrolled.recipes.tasks import parity
from unrolled.recipes.training import train, wrong_classes
from unrolled.tensor import Tensor

_TEST = 10_000
_BITS = (20, 30, 40)


@dataclass(frozen=True)
class _Settings(Settings):
    """`unlike`: by how much the weights of the bits in one unit differ at the start, as a share of their size."""

    depth: int = 20
    unlike: float = 0.2
    goal: float = 0.01


class Depth(ur.Module):
    """A grid of one dimension with tied layers: a cell whose time is depth. The bits are its state before layer 1.

    Args:
        cell: class of the cell; LSTM makes a tied 1-LSTM.
        bits, hidden_size, depth: sizes.
        unlike: None: the projection of the bits starts as every Linear does. Else all bits start with almost the
            same weight in a unit, w (1 + unlike * n_j) with w and n_j normal.
        rng: source of the initial values.
    """

    def __init__(
        self,
        cell: Any,
        bits: int,
        hidden_size: int,
        depth: int,
        *,
        unlike: float | None,
        rng: np.random.Generator,
    ) -> None:
        self.depth = depth
        self.layer = cell(1, hidden_size, rng=rng)  # its input is always 0
        width = len(cell.State._fields) * hidden_size
        self.project = ur.Linear(bits, width, rng=rng)
        if unlike is not None:
            size = rng.normal(0, 0.5, (width, 1))
            self.project.W.data[...] = size * (1 + unlike * rng.standard_normal((width, bits)))
        self.output = ur.Linear(hidden_size, 2, rng=rng)

    def forward(self, bits: Any) -> Tensor:
        """bits (B, k) -> logits (B, 2)."""
        entering = self.project(bits)
        H = self.layer.hidden_size
        state = self.layer.State(*(entering[:, at : at + H] for at in range(0, entering.shape[1], H)))
        nothing = np.zeros((self.depth, len(bits), 1), np.float32)
        logits: Tensor = self.output(self.layer(nothing, state)[1].h)
        return logits


def _train(
    cell: Any, bits: int, equal_start: bool, settings: _Settings, seed: int, monitor: Monitor
) -> Outcome:
    rng = np.random.default_rng(seed)
    unlike = settings.unlike if equal_start else None
    model = Depth(cell, bits, settings.hidden_size, settings.depth, unlike=unlike, rng=rng)
    x, targets = parity(np.random.default_rng([seed, 1]), _TEST, bits)

    def loss() -> tuple[Tensor, int]:
        batch, odd = parity(rng, settings.batch_size, bits)
        return ur.cross_entropy(model(batch), odd), settings.batch_size * settings.depth

    def check() -> tuple[float, bool]:
        wrong = wrong_classes(model(x).data, targets) / _TEST
        return wrong, wrong <= settings.goal

    return train(model, settings, monitor, loss, check)


def _arm(label: str, cell: Any, bits: int, *, equal_start: bool = True, control: bool = False) -> Arm:
    return Arm(label, lambda *run: _train(cell, bits, equal_start, *run), control=control)


def _judge(outcomes: Outcomes, quick: bool) -> bool:
    return all(success_rate(outcomes[f"1-LSTM, {bits} bits"]) == 1 for bits in _BITS)


RECIPE = Recipe(
    name="parity",
    title="is the number of ones odd? 20, 30 and 40 bits seen at once, 20 tied layers of LSTM cells",
    source="N. Kalchbrenner, I. Danihelka, A. Graves, Grid long short-term memory, ICLR 2016 (arXiv:1507.01526)",
    published="tied 1-LSTM networks learn up to 250 bits, with far more units and samples; scaled down here from that, "
    "and started from nearly equal weights for all bits, which the paper does not do",
    baseline=lambda settings: "guessing: 0.5 wrong",
    measure=f"wrong share of {_TEST:,} strings (unseen but for some of 2^20); solved at 0.01",
    pass_line="1-LSTM from nearly equal weights solves 20, 30 and 40 bits with every seed",
    quick_line="the same with at most 10 % wrong",
    full=_Settings(updates=10000, seconds=300, batch_size=64, hidden_size=128, lr=0.002, check_every=100),
    quick=_Settings(4000, 300, 64, 64, 0.002, 100, goal=0.1),
    arms=(
        *(_arm(f"1-LSTM, {bits} bits", ur.LSTM, bits) for bits in _BITS),
        _arm("Elman layers, 20 bits", ur.RNN, _BITS[0], control=True),
        _arm("1-LSTM, usual start, 20 bits", ur.LSTM, _BITS[0], equal_start=False, control=True),
    ),
    judge=_judge,
)
