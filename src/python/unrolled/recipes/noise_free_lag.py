"""Noise-free sequences with a time lag of 100, experiment 2a of Hochreiter and Schmidhuber 1997.

As in the paper, an answer sees its symbol directly, which is all that most of them need, and cells have no recurrent
connections, here at the start: the paper's 10,504 weights are (p + 1)^2 direct ones and 3 (p + 1) of one memory cell
with one gate. While the steps in between are learned, c goes far from 0, to where tanh(c) has no slope and nothing more
is learned; hence the cells of the first arm, whose output is linear.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import unrolled as ur
from unrolled.recipes.layers import Make, Reader, chrono_lstm, plain
from unrolled.recipes.monitor import Monitor
from unrolled.recipes.recipe import Arm, Outcome, Outcomes, Recipe, Settings, success_rate
from unrolled.recipes.tasks import noise_free_lag
from unrolled.recipes.training import train
from unrolled.tensor import Tensor

_CHRONO, _OLD = "LSTM, chrono start, linear output", "LSTM of 1997"


@dataclass(frozen=True)
class _Settings(Settings):
    lag: int = 100


_linear = partial(chrono_lstm, activations={"h": "identity"})


def _unconnected(make: Make) -> Make:
    """The same cells, at the start without recurrent connections."""

    def made(*arguments: Any) -> Any:
        cell = make(*arguments)
        cell.W_hh.data[...] = 0
        return cell

    return made


def _train(make: Make, settings: _Settings, seed: int, monitor: Monitor) -> Outcome:
    rng = np.random.default_rng(seed)
    symbols = settings.lag + 1
    model = Reader(make(symbols, settings.hidden_size, settings.lag, rng), symbols, direct=True, rng=rng)
    # There are two sequences in all: 10,000 of them have no other errors than these.
    x, following = noise_free_lag(np.random.default_rng(0), 10, settings.lag)
    assert len(set(following[-1].tolist())) == 2
    goal = ur.one_hot(following, symbols)

    def loss() -> tuple[Tensor, int]:
        batch, targets = noise_free_lag(rng, settings.batch_size, settings.lag)
        return ur.cross_entropy(model(batch)[0], targets), targets.size

    def check() -> tuple[float, bool]:
        error = float(np.abs(ur.softmax(model(x)[0]).data - goal).max())
        return error, error < 0.25

    return train(model, settings, monitor, loss, check)


def _judge(outcomes: Outcomes, quick: bool) -> bool:
    return any(success_rate(outcomes[label]) == 1 for label in (_CHRONO, _OLD) if label in outcomes)


RECIPE = Recipe(
    name="noise-free-lag",
    title="predict every symbol of two sequences, the last from the first, 100 steps before",
    source="S. Hochreiter, J. Schmidhuber, Long short-term memory, Neural Computation 9, 1997, experiment 2a",
    published="LSTM of 1997: every trial, after 5,040 sequences read one by one; back-propagation through time: never",
    baseline=lambda settings: "without memory of the first symbol the largest error is 0.5",
    measure="largest error of a probability at any step; solved below 0.25",
    pass_line="LSTM with chrono start or that of 1997 solves it with every seed",
    quick_line="the same with a lag of 20",
    full=_Settings(updates=12000, seconds=300, batch_size=4, hidden_size=10, lr=0.01, check_every=20),
    quick=_Settings(3000, 300, 4, 10, 0.01, 20, lag=20),
    arms=(
        Arm(_CHRONO, lambda *run: _train(_unconnected(_linear), *run)),
        Arm(_OLD, lambda *run: _train(_unconnected(plain(ur.LSTM1997)), *run), needs="LSTM1997"),
        Arm("LSTM", lambda *run: _train(_unconnected(plain(ur.LSTM)), *run), control=True),
        Arm("Elman", lambda *run: _train(plain(ur.RNN), *run), control=True),
    ),
    judge=_judge,
)
