"""One safetensors file of arrays and a JSON document, written so that a kill at any instant leaves the old or
the new file.

The document is stored under the metadata key "unrolled". It holds a CRC-32 over itself and over every array
(name, dtype, shape, bytes in the order of the names), so that damage is noticed. Files of other programs,
without this key, are read too.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

_KEY = "unrolled"
_VERSION = 1
_STALE_SECONDS = 3600.0

StrPath = str | os.PathLike[str]


class CheckpointError(ValueError):
    """A file cannot be written or read, or does not hold what is needed. The message is one sentence for the
    user.
    """


class CheckpointNotFoundError(CheckpointError, FileNotFoundError):
    """There is no such file."""


def write(path: StrPath, arrays: Mapping[str, np.ndarray], document: Mapping[str, Any]) -> None:
    """Writes arrays and a JSON-able document; raises CheckpointError, and then whatever was at `path` is
    still there.
    """
    from safetensors.numpy import save as serialize

    stored = {name: np.require(array, requirements="C") for name, array in arrays.items()}
    content = {"version": _VERSION, **document}
    text = json.dumps({**content, "crc32": _checksum(content, stored)}, allow_nan=False)
    replace_file(path, serialize(stored, metadata={_KEY: text}))


def open_regular(path: StrPath) -> BinaryIO:
    """Opens a regular file to read it. A device or a pipe, which may have no end, is an OSError, as a folder is."""
    mode = os.stat(path).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(
            errno.EINVAL, "it is a device, a pipe or a socket, expected a regular file", os.fspath(path)
        )
    return open(path, "rb")


def read(path: StrPath) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the document (empty for a file of another program)."""
    from safetensors import SafetensorError, safe_open

    with _one_sentence("read", path):
        with open_regular(path) as regular:  # raises for folders, devices, missing files and permissions
            beginning = regular.read(4)
        try:
            with safe_open(path, framework="numpy") as file:
                metadata = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        except SafetensorError as error:
            if beginning == b"PK\3\4":
                raise CheckpointError(
                    f"{path} is a zip archive, as PyTorch and NumPy write them, not a safetensors file; load it there "
                    "(ur.from_torch takes a module or a state dictionary)"
                ) from None
            raise CheckpointError(
                f"{path} is not a complete safetensors file; it is truncated or damaged ({error})"
            ) from None
        except (
            AttributeError,
            KeyError,
            TypeError,
        ) as error:  # a dtype that NumPy does not have, such as bfloat16
            raise CheckpointError(
                f"{path} holds an array of a type that NumPy does not have ({error})"
            ) from None
    if _KEY not in metadata:
        return arrays, {}
    try:
        document = json.loads(metadata[_KEY])
        expected = document.pop("crc32")
        version = document["version"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise CheckpointError(f"{path} is damaged: its description cannot be read") from None
    if version != _VERSION:
        raise CheckpointError(
            f"{path} has format version {version}, this version of unrolled reads {_VERSION}"
        )
    if expected != _checksum(document, arrays):
        raise CheckpointError(f"{path} is damaged: its checksum does not agree with its content")
    return arrays, document


def _checksum(document: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> int:
    crc = zlib.crc32(json.dumps(document, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        crc = zlib.crc32(f"{name} {array.dtype.name} {array.shape}".encode(), crc)
        crc = zlib.crc32(array.reshape(-1).view(np.uint8).data, crc)
    return crc


def replace_file(path: StrPath, content: bytes) -> None:
    """Writes beside the target, flushes to the disk, renames over the target. A link is followed; a device is
    written to.
    """
    with _one_sentence("write", path):
        target = Path(os.path.realpath(path))
        mode = target.stat().st_mode if target.exists() else None
        if mode is not None and not stat.S_ISREG(mode):
            with open(target, "wb") as device:  # raises for a folder
                device.write(content)
            return
        if mode is not None and not os.access(target, os.W_OK):
            raise PermissionError(13, "the file is read-only")
        _remove_stale(target)
        temporary = target.with_name(f".{target.name}.{os.getpid()}-{threading.get_ident()}.part")
        try:
            with open(temporary, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if mode is not None:
                os.chmod(temporary, stat.S_IMODE(mode))
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        _flush_folder(target.parent)


def _remove_stale(target: Path) -> None:
    """Parts that a killed process left beside the target; recent ones may belong to a process at work."""
    with contextlib.suppress(OSError):
        for part in target.parent.iterdir():
            ours = part.name.startswith(f".{target.name}.") and part.name.endswith(".part")
            if ours and time.time() - part.stat().st_mtime > _STALE_SECONDS:
                part.unlink()


def _flush_folder(folder: Path) -> None:
    """Makes the rename itself last through a power cut, where the system can do that."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def _one_sentence(verb: str, path: StrPath) -> Iterator[None]:
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(
            f"cannot {verb} a model: path is {type(path).__name__}, expected a text or a pathlib.Path"
        )
    try:
        yield
    except OSError as error:
        kept = "; what was saved before is unchanged" if verb == "write" and os.path.exists(path) else ""
        missing = verb == "read" and isinstance(error, FileNotFoundError)
        kind = CheckpointNotFoundError if missing else CheckpointError
        raise kind(f"cannot {verb} {os.fspath(path)}: {error.strerror or error}{kept}") from None
