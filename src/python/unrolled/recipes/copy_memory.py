"""Copy memory with T = 1000 (Bai, Kolter and Koltun 2018)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

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
_FIXED = "linear RNN, W_hh held"


@dataclass(frozen=True)
class _Settings(Settings):
    """`hidden_size` is that of networks without gates; G gates get the same number of parameters by fewer units.

    A linear network whose W_hh is trained, too, learns at the rate `slow_lr`: a change of W_hh acts T times over.
    """

    wait: int = 1000
    slow_lr: float = 0.0001


def _without_memory(settings: _Settings) -> float:
    return 10 * math.log(8) / (settings.wait + 20)


def _linear(
    input_size: int, hidden_size: int, steps: int, rng: np.random.Generator, *, hold: bool = True
) -> ur.RNN:
    """A network without nonlinearity, whose orthogonal W_hh turns the state and loses nothing; held, it stays so."""
    cell = ur.RNN(input_size, hidden_size, "identity", rng=rng)
    return cell.freeze("W_hh") if hold else cell


def _train(
    make: Make, settings: _Settings, seed: int, monitor: Monitor, *, gates: int = 1, slow: bool = False
) -> Outcome:
    rng = np.random.default_rng(seed)
    hidden_size = int(settings.hidden_size / math.sqrt(gates))
    model = Reader(make(_SYMBOLS, hidden_size, settings.wait + 10, rng), _SYMBOLS, rng=rng)
    x, answers = copy_memory(np.random.default_rng([seed, 1]), _TEST, settings.wait)

    def loss() -> tuple[Tensor, int]:
        symbols, targets = copy_memory(rng, settings.batch_size, settings.wait)
        return ur.cross_entropy(model(ur.one_hot(symbols, _SYMBOLS))[0], targets), symbols.size

    def check() -> tuple[float, bool]:
        error = ur.cross_entropy(model(ur.one_hot(x, _SYMBOLS))[0], answers).item()
        return error, error < 0.1 * _without_memory(settings)

    optimizer = ur.Adam(model, settings.slow_lr if slow else settings.lr)
    return train(model, settings, monitor, loss, check, optimizer=optimizer)


def _judge(outcomes: Outcomes, quick: bool) -> bool:
    return all(outcome.solved for outcome in outcomes[_FIXED])


RECIPE = Recipe(
    name="copy-memory",
    title="say ten symbols again after 1,000 steps",
    source="S. Bai, J. Z. Kolter, V. Koltun, An empirical evaluation of generic convolutional and recurrent networks "
    "for sequence modeling, 2018 (arXiv:1803.01271); linear networks with an orthogonal start: M. Henaff, A. Szlam, "
    "Y. LeCun, Recurrent orthogonal networks and long-memory tasks, ICML 2016",
    published="LSTM with 16,000 parameters: cross-entropy 0.0204, which is that of no memory",
    baseline=lambda settings: f"no memory, 10 ln 8 / (T + 20): cross-entropy {_without_memory(settings):.4f}",
    measure="cross-entropy on 200 unseen sequences; solved below a tenth of that of no memory",
    pass_line="a linear RNN whose orthogonal W_hh stays as it starts solves it with every seed; the table shows which "
    "others do",
    quick_line="the same after 20 steps",
    full=_Settings(updates=2000, seconds=300, batch_size=32, hidden_size=116, lr=0.002, check_every=100),
    quick=_Settings(400, 300, 32, 64, 0.002, 50, wait=20, slow_lr=0.005),
    seeds=3,
    arms=(
        Arm(_FIXED, partial(_train, _linear)),
        Arm("linear RNN", partial(_train, partial(_linear, hold=False), slow=True), control=True),
        Arm("Elman", partial(_train, plain(ur.RNN)), control=True),
        Arm("LSTM", partial(_train, plain(ur.LSTM), gates=4), control=True),
        Arm("LSTM, chrono start", partial(_train, chrono_lstm, gates=4), control=True),
        Arm("GRU, chrono start", partial(_train, chrono_gru, gates=3), control=True),
    ),
    judge=_judge,
)
