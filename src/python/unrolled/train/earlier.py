"""An earlier file is not lost where a new run takes its name: whoever forgets `resume=True` can still go on with it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from unrolled.io.file import CheckpointError, StrPath


@contextlib.contextmanager
def earlier_kept(path: StrPath) -> Iterator[Path | None]:
    """Gives a file at `path` a second name, `name.1.suffix` and so on, and says which; without a file, None.

    If it is still at `path` in the end, because nothing could be written there, the second name is taken away again.
    """
    earlier = (
        Path(os.path.realpath(path)) if os.path.islink(path) else Path(path)
    )  # `write` follows a link, too
    if not earlier.is_file():
        yield None
        return
    kept = _second_name(earlier)
    try:
        yield kept
    finally:
        with contextlib.suppress(OSError):
            if earlier.samefile(kept):
                kept.unlink()


def _second_name(earlier: Path) -> Path:
    for number in count(1):
        kept = earlier.with_name(f"{earlier.stem}.{number}{earlier.suffix}")
        try:
            os.link(earlier, kept)
            return kept
        except FileExistsError:
            continue
        except OSError:  # a file system without links
            if kept.exists():
                continue
        try:
            shutil.copy2(earlier, kept)
            return kept
        except OSError as error:
            raise CheckpointError(f"cannot keep the earlier {earlier} as {kept}: {error.strerror}") from error
    raise AssertionError  # there is always a next number
