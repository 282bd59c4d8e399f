"""Files the commands read and write: texts, checkpoints, and whether a checkpoint can be written at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from unrolled.cli.errors import CommandError
from unrolled.data.corpus import default_text, read_text

__all__ = ["DEFAULT_TEXT", "check_writable", "keep_earlier", "load_text"]

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


def check_writable(path: Path, what: str) -> None:
    """Writes and removes an empty file beside `path`, so that an hour of training does not end in a refusal."""
    if path.is_dir():
        raise CommandError(f"cannot write the {what} {path}: it is a folder, give the name of a file")
    if path.exists() and not os.access(path, os.W_OK):
        raise CommandError(f"cannot write the {what} {path}: the file is read-only")
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}."):
            pass
    except OSError as error:
        raise CommandError(f"cannot write the {what} {path}: {error.strerror or error}") from error


def keep_earlier(path: Path) -> Path | None:
    """Gives an existing file a second name, `name.1.safetensors` and so on, before a new one takes its place."""
    if not path.exists():
        return None
    number = 1
    while (kept := path.with_name(f"{path.stem}.{number}{path.suffix}")).exists():
        number += 1
    try:
        os.link(path, kept)
    except OSError:  # a file system without links
        shutil.copy2(path, kept)
    return kept
