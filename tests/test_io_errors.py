"""What is no file of a model, and what is said of it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

import unrolled as ur


def test_a_missing_file_is_an_error_of_either_kind(tmp_path: Path) -> None:
    for kind in (ur.CheckpointError, FileNotFoundError):
        with pytest.raises(kind, match=r"cannot read .*nothing: No such file"):
            ur.load(tmp_path / "nothing")


def test_archives_of_others_are_named(tmp_path: Path) -> None:
    path = tmp_path / "arrays.npz"
    np.savez(path, a=np.zeros(3))
    with pytest.raises(ur.CheckpointError, match="is a zip archive, as PyTorch and NumPy write them"):
        ur.load(path)


def test_paths_are_texts_or_paths() -> None:
    for wrong in (3, io.BytesIO()):
        with pytest.raises(TypeError, match=f"cannot read a model: path is {type(wrong).__name__}, expected"):
            ur.load(wrong)  # type: ignore[arg-type]
        with pytest.raises(
            TypeError, match=f"cannot write a model: path is {type(wrong).__name__}, expected"
        ):
            ur.save(ur.RNN(1, 1), wrong)  # type: ignore[arg-type]
