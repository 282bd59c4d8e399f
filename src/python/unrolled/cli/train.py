"""`unrolled lm train`: a language model from a text, beside an n-gram on the same text."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unrolled._config import get_num_threads
from unrolled.cli.errors import CommandError
from unrolled.cli.files import DEFAULT_TEXT, check_writable, keep_earlier, load_text, use_threads
from unrolled.cli.loop import Run
from unrolled.cli.plot import check_plot, plot
from unrolled.cli.progress import Interrupt, Progress
from unrolled.cli.settings import Settings, new_settings, resumed_settings, splits_of, vocabulary_of
from unrolled.data.corpus import Splits
from unrolled.io import CheckpointError
from unrolled.models.language_model import LanguageModel
from unrolled.models.ngram import KneserNey
from unrolled.optim import DivergenceError

__all__ = ["run"]

_HIGHEST_ORDER = {"char": 8, "word": 5}
_MOST_TO_COUNT = 20_000_000  # tokens; an n-gram of more takes minutes and gigabytes
_SAMPLE = {"char": 500, "word": 100}
_SAMPLE_TEMPERATURE = 0.8
_PROMPT = "The "  # prose, rather than the tables that new lines often begin

Tokens = NDArray[np.int64]


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
    splits = splits_of(text, settings.file or "the default text")
    try:
        return _Session(settings, splits, path, resume=args.resume, plot_path=args.plot).run()
    except CheckpointError as error:
        raise CommandError(str(error)) from error


class _Session:
    """One call of the command: what is trained, on what, and where it is kept."""

    def __init__(self, settings: Settings, splits: Splits, path: Path, *, resume: bool, plot_path: str | None) -> None:
        self.settings, self.splits, self.path, self.plot_path = settings, splits, path, plot_path
        self.unit = "character" if settings.level == "char" else "word"
        vocabulary = vocabulary_of(splits, settings.level)
        self.train, self.validation, self.test = (vocabulary.encode(part) for part in splits)
        if min(self.validation.size, self.test.size) < 2:
            raise CommandError(f"the text is too short: validation or test have fewer than 2 {self.unit}s")
        rng = np.random.default_rng(settings.seed)
        self.model = LanguageModel(
            vocabulary,
            cell=settings.cell,
            embedding_size=settings.embedding,
            hidden_size=settings.hidden,
            layers=settings.layers,
            dropout=settings.dropout,
            rng=rng,
        )
        try:
            self.training = Run(self.model, settings, self.train)
        except ValueError:
            raise CommandError(
                f"{self.train.size} {self.unit}s to train on are too few for --batch {settings.batch}; use a smaller one"
            ) from None
        self.resumed = resume
        self.own_file = resume  # whether the file at `path` is this run's, to be replaced
        self.ngram: KneserNey | None = None
        self.ngram_bits = float("nan")

    def run(self) -> int:
        self._say_what()
        self._count_ngram()
        if self.resumed:
            self.training.resume(self.path)
            done = len(self.training.history)
            print(f"resumed     {self.path}, {done} of {self.settings.epochs} epochs done", flush=True)
        try:
            self._epochs()
        except KeyboardInterrupt:
            self._save()
            print(
                f"unrolled lm train: interrupted; {self.path} is saved, and --resume goes on from there", file=sys.stderr
            )
            return 130
        self._finish()
        return 0

    def _say_what(self) -> None:
        s, model = self.settings, self.model
        print(
            f"text        {s.file or DEFAULT_TEXT}: {self.train.size:,} {self.unit}s to train on, "
            f"{self.validation.size:,} for validation, {self.test.size:,} for the test; {len(model.vocabulary):,} different"
        )
        layers = f"{s.layers} layers of {s.hidden}" if s.layers > 1 else f"{s.hidden} units"
        print(
            f"model       {s.cell}, {layers}, embedding {s.embedding}"
            + (f", dropout {s.dropout:g}" if s.dropout else "")
            + f": {model.num_parameters:,} parameters"
        )
        print(
            f"training    {s.epochs} epochs, {s.batch} x {s.steps} {self.unit}s an update, Adam at {s.lr:g}, "
            f"{get_num_threads()} threads; checkpoint {self.path}",
            flush=True,
        )

    def _count_ngram(self) -> None:
        if self.train.size > _MOST_TO_COUNT:
            print(f"n-gram      left out, the text has more than {_MOST_TO_COUNT:,} {self.unit}s")
            return
        size = len(self.model.vocabulary)
        self.ngram = KneserNey(self.train, size, max_order=_HIGHEST_ORDER[self.settings.level])
        self.ngram_bits = min(self.ngram.tune(self.validation).values())
        print(
            f"n-gram      interpolated Kneser-Ney of order {self.ngram.order} (best on validation): "
            f"{self.ngram_bits:.3f} bits per {self.unit}",
            flush=True,
        )

    def _epochs(self) -> None:
        total = self.settings.epochs
        with Interrupt() as interrupt:
            for number in range(len(self.training.history) + 1, total + 1):
                title = f"epoch {number:>{len(str(total))}}/{total}"
                with Progress(
                    title, self.training.tokens_per_epoch, f"{self.unit}s", done=self.training.tokens_seen
                ) as progress:

                    def updated(count: int, progress: Progress = progress) -> None:
                        progress(count)
                        if interrupt.asked:
                            raise KeyboardInterrupt

                    train = self._epoch(updated)
                self._report(title, train, progress.rate)
                self._save()
                if interrupt.asked and number < total:
                    raise KeyboardInterrupt

    def _epoch(self, updated: object) -> float:
        try:
            return self.training.epoch(updated)  # type: ignore[arg-type]
        except DivergenceError as error:
            kept = "" if not self.training.history else f"; {self.path} still holds the epoch before"
            raise CommandError(f"training has diverged ({error}), try a smaller --lr{kept}") from error

    def _report(self, title: str, train: float, rate: float) -> None:
        validation = self.model.bits(self.validation)
        self.training.history.append({"train": train, "validation": validation, "rate": rate})
        beside = "" if self.ngram is None else f" (n-gram {self.ngram_bits:.3f})"
        word = f", perplexity {2**validation:.1f}" if self.settings.level == "word" else ""
        print(
            f"{title}  train {train:.3f}, validation {validation:.3f}{beside} bits per {self.unit}{word}; "
            f"{rate:,.0f} {self.unit}s/s",
            flush=True,
        )

    def _save(self) -> None:
        kept = None if self.own_file else keep_earlier(self.path)
        try:
            self.training.save(self.path)
        except CheckpointError:
            if kept is not None:
                kept.unlink()
            raise
        self.own_file = True
        if kept is not None:
            print(f"kept        the earlier {self.path} as {kept}", flush=True)

    def _finish(self) -> None:
        bits = self.model.bits(self.test)
        beside = "" if self.ngram is None else f", n-gram {self.ngram.bits(self.test):.3f}"
        print(f"test        {self.settings.cell} {bits:.3f}{beside} bits per {self.unit}")
        print(f"saved       {self.path}; `unrolled lm generate {self.path}` writes more of what follows")
        if self.plot_path is not None:
            plot(self.plot_path, self.training.history, self.ngram_bits, self.unit)
            print(f"plot        {self.plot_path}")
        print(f"\nsample at temperature {_SAMPLE_TEMPERATURE}:\n")
        for piece in self._sample():
            print(piece, end="", flush=True)
        print()

    def _sample(self) -> Iterator[str]:
        rng = np.random.default_rng(self.settings.seed)
        length = _SAMPLE[self.settings.level]
        prompt = _PROMPT if all(symbol in self.model.vocabulary for symbol in _PROMPT) else ""
        yield prompt
        yield from self.model.eval().generate(prompt, length, temperature=_SAMPLE_TEMPERATURE, rng=rng)
