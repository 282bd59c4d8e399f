"""Japanese Vowels: which of nine speakers said it, from 7 to 29 frames of 12 cepstral coefficients."""

from __future__ import annotations

import importlib.util
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

import unrolled as ur
from unrolled.data import pad
from unrolled.recipes.layers import Reader
from unrolled.recipes.monitor import Monitor
from unrolled.recipes.recipe import Arm, MissingDataError, Outcome, Outcomes, Recipe, Settings
from unrolled.recipes.training import train, wrong_classes
from unrolled.tape import Array
from unrolled.tensor import Tensor

_FILE = "JapaneseVowels_{}.ts"
_WHERE = "--data FOLDER with JapaneseVowels_TRAIN.ts and _TEST.ts, or python -m pip install --no-deps aeon"


@dataclass(frozen=True)
class _Settings(Settings):
    """`data` is the folder; empty: that of the package aeon."""

    data: str = ""
    dropout: float = 0.4
    noise: float = 0.2
    goal: float = 0.97


class Utterances(NamedTuple):
    """Frames (T, N, 12) in float32, classes (N,) from 0, lengths (N,)."""

    x: Array
    classes: Array
    lengths: Array


def _folder(data: str) -> Path:
    if data:
        folder = Path(data)
    else:
        package = importlib.util.find_spec("aeon")
        if package is None or package.origin is None:
            raise MissingDataError(f"japanese-vowels: the data are not here; give {_WHERE}")
        folder = Path(package.origin).parent / "datasets" / "data" / "JapaneseVowels"
    for part in ("TRAIN", "TEST"):
        if not (folder / _FILE.format(part)).is_file():
            raise MissingDataError(f"japanese-vowels: {folder} has no {_FILE.format(part)}; give {_WHERE}")
    return folder


def read_ts(path: Path) -> Utterances:
    """A .ts file of series with several dimensions: dimension:dimension:...:class on a line, numbers with commas."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and line[0] not in "#@"]
    series, classes = [], []
    for line in lines:
        *dimensions, label = line.split(":")
        series.append(np.array([[float(v) for v in d.split(",")] for d in dimensions], np.float32).T)
        classes.append(int(label) - 1)
    x, lengths = pad(series)
    return Utterances(x, np.array(classes), lengths)


def _normalized(train_set: Utterances, test_set: Utterances) -> tuple[Utterances, Utterances]:
    """Zero mean and unit variance of every coefficient over the frames of the training set."""
    frames = np.concatenate([train_set.x[:n, row] for row, n in enumerate(train_set.lengths)])
    mean, deviation = frames.mean(axis=0), frames.std(axis=0)
    return train_set._replace(x=(train_set.x - mean) / deviation), test_set._replace(
        x=(test_set.x - mean) / deviation
    )


def _train(settings: _Settings, seed: int, monitor: Monitor) -> Outcome:
    folder = _folder(settings.data)
    known, unseen = _normalized(*(read_ts(folder / _FILE.format(part)) for part in ("TRAIN", "TEST")))
    rng = np.random.default_rng(seed)
    inputs, H = known.x.shape[2], settings.hidden_size
    dropout = ur.Dropout(settings.dropout, rng=rng)
    both = ur.Bidirectional(ur.LSTM(inputs, H, rng=rng), ur.LSTM(inputs, H, rng=rng))
    model = Reader(both, int(known.classes.max()) + 1, last=True, rng=rng)
    schedule = np.cos(np.linspace(0, np.pi / 2, settings.updates))
    optimizer = ur.Adam(model, settings.lr)

    def loss() -> tuple[Tensor, int]:
        optimizer.lr = settings.lr * float(schedule[optimizer.updates["output.W"]])
        rows = rng.permutation(len(known.classes))[: settings.batch_size]
        x = known.x[:, rows] + settings.noise * rng.standard_normal((len(known.x), len(rows), inputs))
        logits, _ = model(dropout(x.astype(np.float32)), known.lengths[rows])
        return ur.cross_entropy(logits, known.classes[rows]), int(known.lengths[rows].sum())

    def check() -> tuple[float, bool]:
        right = 1 - wrong_classes(model(unseen.x, unseen.lengths)[0].data, unseen.classes) / len(
            unseen.classes
        )
        return right, False  # no choice of the moment by the test set: the last update counts

    found = train(model, settings, monitor, loss, check, optimizer=optimizer)
    return Outcome(
        found.score >= settings.goal, found.score, found.updates, found.sequences, found.seconds, found.note
    )


def _judge(outcomes: Outcomes, quick: bool) -> bool:
    settings = RECIPE.quick if quick else RECIPE.full
    (found,) = outcomes.values()
    return statistics.fmean(outcome.score for outcome in found) >= settings.goal  # type: ignore[attr-defined,no-any-return]


_FULL = _Settings(updates=1500, seconds=300, batch_size=32, hidden_size=64, lr=0.003, check_every=1500)

RECIPE = Recipe(
    name="japanese-vowels",
    title="tell nine speakers apart by two vowels; 270 utterances to learn from, 370 to judge by",
    source="M. Kudo, J. Toyama, M. Shimbo, Multidimensional curve classification using passing-through regions, "
    "Pattern Recognition Letters 20, 1999",
    published="hidden Markov model 96.2 %, LSTMs about 97 %",
    baseline=lambda settings: "the most frequent speaker: 88 of 370 = 23.8 % right",
    measure="share of the 370 right after the last update; solved from the line on",
    pass_line="bidirectional LSTM: at least 97 % right in the mean over the seeds",
    quick_line="at least 90 % right",
    full=_FULL,
    quick=_Settings(150, 300, 32, 32, 0.01, 150, goal=0.9),
    seeds=10,
    arms=(Arm("bidirectional LSTM", _train),),
    judge=_judge,
    data=_WHERE,
)
