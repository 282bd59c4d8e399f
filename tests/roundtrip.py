"""Models that travel: through a file, a copy, a pickle."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import unrolled as ur

WAYS = ("save", "deepcopy", "pickle")


def came_back(model: Any, how: str, folder: Path) -> Any:
    """The model after the journey: the same configuration and text, and parameters of its own."""
    if how == "save":
        ur.save(model, folder / "model")
        again = ur.load(folder / "model")
    else:
        again = copy.deepcopy(model) if how == "deepcopy" else pickle.loads(pickle.dumps(model))
    assert again.config() == model.config()
    assert repr(again) == repr(model)
    assert not {id(p) for p in again.parameters().values()} & {id(p) for p in model.parameters().values()}
    return again
