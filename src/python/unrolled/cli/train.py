"""`unrolled lm train`: a language model from a text, beside an n-gram on the same text."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from unrolled._config import get_num_threads
from unrolled.cli.errors import CommandError
from unrolled.cli.files import DEFAULT_TEXT, check_writable, load_text, use_threads
from unrolled.cli.plot import check_plot, plot
from unrolled.cli.progress import Report, plural, score
from unrolled.cli.settings import (
    Remember,
    Settings,
    check_memory,
    new_settings,
    resumed_settings,
    splits_of,
    vocabulary_of,
)  # fmt: skip
from unrolled.data.batches import ContiguousBatches
from unrolled.data.corpus import Splits
from unrolled.io import CheckpointError
from unrolled.losses import cross_entropy
from unrolled.models.language_model import LanguageModel
from unrolled.models.ngram import KneserNey
from unrolled.optim import Adam, DivergenceError, Optimizer, Schedule
from unrolled.train import fit

__all__ = ["run"]

_HIGHEST_ORDER = {"character": 8, "word": 5}
_MOST_TO_COUNT = 20_000_000  # tokens; an n-gram of more takes minutes and gigabytes
_SAMPLE = {"character": 500, "word": 100}
_SAMPLE_TEMPERATURE = 0.8
_PROMPT = "The "  # prose, rather than the tables that new lines often begin


def run(args: argparse.Namespace) -> int:
    """Trains, or goes on with a checkpoint, and ends with the test score and a sample."""
    path = Path(args.checkpoint)
    use_threads(args.threads)
    check_writable(path, "checkpoint")
    if args.plot is not None:
        check_writable(Path(args.plot), "plot")
        check_plot(args.plot)
    if args.resume:
        settings, text = resumed_settings(args)
    else:
        text = load_text(args.file)
        settings = new_settings(args, text)
    session = _Session(
        settings, splits_of(text, settings.file or "the default text"), path, resume=args.resume
    )
    try:
        session.train()
    except CheckpointError as error:
        raise CommandError(str(error)) from error
    except KeyboardInterrupt:
        print(f"{args.prog}: interrupted; {path} is saved, and --resume goes on from there", file=sys.stderr)
        return 130
    if args.plot is not None:
        session.plot(args.plot)
    session.show()
    return 0


class WarmCosine(Schedule):
    """The rate rises linearly in the first tenth of the updates, then falls as half a cosine to a fiftieth.

    `total` is not part of the saved state, so that a run can be resumed with more epochs than it began with.
    """

    def __init__(self, optimizer: Optimizer, total: int) -> None:
        super().__init__(optimizer, unit="step")
        self.total = total
        optimizer.lr = self.rate(0)

    def rate(self, count: int) -> float:
        rising = max(self.total // 10, 1)
        if count < rising:
            return self.initial_lr * (count + 1) / rising
        done = min((count - rising) / max(self.total - rising, 1), 1.0)
        return self.initial_lr * (0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2)

    def state_dict(self) -> dict[str, int]:
        return {"count": self.count}


class _Session:
    """One call of the command: what is trained, on what, and where it is kept."""

    def __init__(self, settings: Settings, splits: Splits, path: Path, *, resume: bool) -> None:
        self.settings, self.path, self.resume = settings, path, resume
        self.unit = "character" if settings.level == "char" else "word"
        vocabulary = vocabulary_of(splits, settings.level)
        self.training, self.validation, self.test = (vocabulary.encode(part) for part in splits)
        if min(self.validation.size, self.test.size) < 2:
            raise CommandError(f"the text is too short: validation or test have fewer than 2 {self.unit}s")
        try:
            self.batches = ContiguousBatches(self.training, settings.batch, settings.steps)
        except ValueError:
            raise CommandError(
                f"{self.training.size} {self.unit}s to train on are too few for --batch {settings.batch}"
            ) from None
        check_memory(settings, len(vocabulary))
        self.model = LanguageModel(
            vocabulary,
            cell=settings.cell,
            embedding_size=settings.embedding,
            hidden_size=settings.hidden,
            layers=settings.layers,
            dropout=settings.dropout,
            rng=np.random.default_rng(settings.seed),
        )
        self.ngram: KneserNey | None = None

    def train(self) -> None:
        """All epochs that are left."""
        self._say_what()
        ngram_bits = self._count_ngram()
        beside = "" if ngram_bits is None else f" (n-gram {ngram_bits:.3f})"
        s = self.settings
        optimizer = Adam(self.model, lr=s.lr, betas=(0.9, 0.99))
        try:
            self.history = fit(
                self.model,
                self.batches,
                loss=cross_entropy,
                optimizer=optimizer,
                epochs=s.epochs,
                validation=self.model.scored(self.validation),
                schedule=WarmCosine(optimizer, s.epochs * len(self.batches)),
                clip_norm=s.clip,
                checkpoint=self.path,
                resume=self.resume,
                callbacks=[Remember(s)],
                progress=Report(self.unit, beside),
            )
        except DivergenceError as error:
            what = str(error).removeprefix("fit: ").partition(";")[0]
            raise CommandError(f"training has diverged: {what}; try a smaller --lr") from error

    def show(self) -> None:
        """The test score, where the model is, and a sample."""
        nats = self.model.bits(self.test) * math.log(2.0)
        beside = "" if self.ngram is None else f" (n-gram {self.ngram.bits(self.test):.3f})"
        print(f"test        {score(nats, self.unit)}{beside}")
        print(f"saved       {self.path}; `unrolled lm generate {self.path}` writes more")
        print(f"\nsample at temperature {_SAMPLE_TEMPERATURE:g}:\n")
        for piece in self._sample():
            print(piece, end="", flush=True)
        print()

    def plot(self, path: str) -> None:
        """Draws the learning curve."""
        curves = {
            name: self.history[column]
            for name, column in (("train", "loss"), ("validation", "validation_loss"))
        }
        bits = {name: [value / math.log(2.0) for value in values] for name, values in curves.items()}
        plot(path, bits, None if self.ngram is None else self.ngram.bits(self.validation), self.unit)
        print(f"plot        {path}")

    def _say_what(self) -> None:
        s, model = self.settings, self.model
        print(f"text        {s.file or DEFAULT_TEXT}, {len(model.vocabulary):,} different {self.unit}s:")
        print(
            f"            {self.training.size:,} to train on, {self.validation.size:,} for validation, "
            f"{self.test.size:,} for the test"
        )
        layers = f"{s.layers} layers of {s.hidden}" if s.layers > 1 else f"{s.hidden} units"
        dropout = f", dropout {s.dropout:g}" if s.dropout else ""
        print(
            f"model       {s.cell}, {layers}, embedding {s.embedding}{dropout}: "
            f"{model.num_parameters:,} parameters"
        )
        epochs = f"{'resumed, ' if self.resume else ''}{plural(s.epochs, 'epoch')}"
        print(
            f"training    {epochs} of {plural(len(self.batches), 'update')}, each {s.batch} x {s.steps} "
            f"{self.unit}s, {plural(get_num_threads(), 'thread')}",
            flush=True,
        )

    def _count_ngram(self) -> float | None:
        if self.training.size > _MOST_TO_COUNT:
            print(f"n-gram      left out, the text has more than {_MOST_TO_COUNT:,} {self.unit}s")
            return None
        order = _HIGHEST_ORDER[self.unit]
        self.ngram = KneserNey(self.training, len(self.model.vocabulary), max_order=order)
        bits = min(self.ngram.tune(self.validation).values())
        print(
            f"n-gram      interpolated Kneser-Ney of order {self.ngram.order} (best on validation): "
            f"{bits:.3f} bits per {self.unit}",
            flush=True,
        )
        return bits

    def _sample(self) -> Iterator[str]:
        rng = np.random.default_rng(self.settings.seed)
        known = all(symbol in self.model.vocabulary for symbol in _PROMPT)
        prompt = _PROMPT if known else ""
        yield prompt
        yield from self.model.eval().generate(
            prompt, _SAMPLE[self.unit], temperature=_SAMPLE_TEMPERATURE, rng=rng
        )
