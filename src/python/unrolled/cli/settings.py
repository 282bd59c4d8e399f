"""What a training run is made of: the defaults, what the user asked for, and what a checkpoint remembers."""

from __future__ import annotations

import argparse
import hashlib
import os
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from unrolled.cli.errors import CommandError
from unrolled.cli.files import load_text
from unrolled.cli.progress import plural
from unrolled.data.corpus import Splits, split_text
from unrolled.data.vocabulary import CharVocabulary, WordVocabulary
from unrolled.io.file import CheckpointError, read
from unrolled.models.language_model import CELLS
from unrolled.train import Callback

__all__ = [
    "CHARACTERS", "UNKNOWN", "WORDS", "Remember", "Settings", "check_memory", "new_settings",
    "remembered_settings", "resumed_settings", "splits_of", "text_of", "vocabulary_of",
]  # fmt: skip

UNKNOWN = "\ufffd"  # the character for all that the vocabulary does not have
_END_OF_LINE = "<eol>"
_WORDS = 10_000  # most frequent words that get a token of their own
_SHORTEST = 400  # characters of a text that can be split and learned from at all


@dataclass(frozen=True)
class Settings:
    """Everything that the result depends on. The defaults take about a minute on two cores."""

    file: str | None = None
    sha256: str = ""
    level: str = "char"
    cell: str = "LSTM"
    hidden: int = 384
    layers: int = 1
    embedding: int = 96
    dropout: float = 0.5
    epochs: int = 8
    batch: int = 16
    steps: int = 64
    lr: float = 5e-3
    clip: float = 1.0
    seed: int = 0


CHARACTERS = Settings()
_QUICK = Settings(hidden=96, embedding=32, dropout=0.0, epochs=1, batch=16, steps=32, lr=1e-2)
WORDS = Settings(level="word", hidden=256, embedding=256, dropout=0.3, epochs=10, batch=16, steps=35, lr=2e-3)


class Remember(Callback):
    """Puts the settings into every checkpoint of `fit`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def state_dict(self) -> dict[str, Any]:
        return {"settings": asdict(self.settings)}


def new_settings(args: argparse.Namespace, text: str) -> Settings:
    """The defaults of the level, with what was asked for on the command line."""
    base = _QUICK if args.quick else WORDS if args.level == "word" else CHARACTERS
    return replace(base, file=args.file, sha256=_digest(text), **_asked(args))


def resumed_settings(args: argparse.Namespace) -> tuple[Settings, str]:
    """The settings in a checkpoint, and the text it was trained on. Only the number of epochs may change."""
    before = remembered_settings(args.checkpoint)
    for name, value in _asked(args).items():
        if name != "epochs" and value != getattr(before, name):
            raise CommandError(
                f"{args.checkpoint} was trained with --{name} {getattr(before, name)}, not {value}; "
                f"leave --{name} out to resume, or --resume to begin anew"
            )
    after = replace(before, file=args.file or before.file, epochs=args.epochs or before.epochs)
    return after, text_of(after, args.checkpoint)


def text_of(settings: Settings, checkpoint: str) -> str:
    """The text of a run, which must be what it was then."""
    text = load_text(settings.file)
    if _digest(text) != settings.sha256:
        raise CommandError(
            f"{checkpoint} was trained on another text than {settings.file or 'this Python carries'} is now"
        )
    return text


def splits_of(text: str, name: str) -> Splits:
    """The three parts of a text, if it is long enough for them."""
    if len(text) < _SHORTEST:
        length = plural(len(text), "character")
        raise CommandError(f"{name} has {length}, too short to learn from; {_SHORTEST} are the least")
    return split_text(text)


def vocabulary_of(splits: Splits, level: str) -> CharVocabulary | WordVocabulary:
    """All characters of the text, or the words that its training part has more than once."""
    if level == "char":
        return CharVocabulary.from_text("".join(splits), unknown=UNKNOWN)
    return WordVocabulary.from_text(splits.train, min_count=2, max_size=_WORDS, end_of_line=_END_OF_LINE)


def check_memory(settings: Settings, vocabulary_size: int) -> None:
    """Refuses a model that this machine cannot hold, before it tries to."""
    s, gates = settings, len(CELLS[settings.cell].gates)
    cells = gates * s.hidden * (s.embedding + s.hidden + (s.layers - 1) * 2 * s.hidden)
    parameters = cells + vocabulary_size * (s.embedding + s.hidden)  # and biases, which are few
    needed = 5 * 4 * parameters  # float32: value, gradient, two averages of Adam, the best so far
    present = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > present:
        raise CommandError(
            f"not enough memory: a model of {parameters:,} parameters takes {needed / 1e9:,.1f} GB to train, "
            f"this machine has {present / 1e9:,.1f} GB; smaller --hidden, --embedding or --layers need less"
        )


def _asked(args: argparse.Namespace) -> dict[str, Any]:
    names = {field.name for field in fields(Settings)} - {"file", "sha256"}
    return {name: value for name, value in vars(args).items() if name in names and value is not None}


def remembered_settings(path: str | os.PathLike[str]) -> Settings:
    """The settings of the run that wrote a checkpoint."""
    try:
        _, document = read(path)
    except CheckpointError as error:
        raise CommandError(str(error)) from error
    try:
        return Settings(**document["training"]["callbacks"][0]["settings"])
    except (KeyError, TypeError, IndexError):
        raise CommandError(
            f"{path} was not written by `unrolled lm train`, so how it was trained is not known"
        ) from None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
