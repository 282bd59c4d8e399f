"""Files the commands read and write: texts, checkpoints, and whether a checkpoint can be written at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from unrolled._config import set_num_threads
from unrolled.cli.errors import CommandError
from unrolled.data.corpus import default_text, read_text
from unrolled.io import CheckpointError, load
from unrolled.models.language_model import LanguageModel

__all__ = ["DEFAULT_TEXT", "check_writable", "load_model", "load_text", "use_threads"]

DEFAULT_TEXT = "Python's language reference (pydoc_data.topics)"


def load_text(path: str | None) -> str:
    """The text of a file, or the one that comes with Python."""
    try:
        return default_text() if path is None else read_text(path)
    except ValueError as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        if error.strerror is None:
            raise CommandError(str(error)) from error
        raise CommandError(f"cannot read {path}: {error.strerror}") from error


def load_model(path: str | os.PathLike[str]) -> LanguageModel:
    """The language model of a checkpoint."""
    try:
        model = load(path)
    except CheckpointError as error:
        raise CommandError(str(error)) from error
    if not isinstance(model, LanguageModel):
        raise CommandError(
            f"{path} holds a {type(model).__name__}, not a language model; `unrolled lm train` makes one"
        )
    return model


def use_threads(count: int | None) -> None:
    """Limits the threads, if a number was given."""
    if count is not None:
        set_num_threads(count)


def check_writable(path: Path, what: str) -> None:
    """Writes and removes an empty file beside `path`, so that an hour of training does not end in a
    refusal.
    """
    path = Path(os.path.realpath(path))
    if path.is_dir():
        raise CommandError(f"cannot write the {what} {path}: it is a folder, give the name of a file")
    if path.exists() and not os.access(path, os.W_OK):
        raise CommandError(f"cannot write the {what} {path}: the file is read-only")
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}."):
            pass
    except OSError as error:
        raise CommandError(f"cannot write the {what} {path}: {error.strerror or error}") from error
