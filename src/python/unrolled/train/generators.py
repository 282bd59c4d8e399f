"""The random generators of a model, wherever its modules keep them, so that a run resumes with the same numbers."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

from unrolled.module import Module, parts_of
from unrolled.tensor import Tensor

Generator = np.random.Generator | np.random.RandomState


def generators(model: Module) -> dict[str, Generator]:
    """Dotted name -> generator: those that are attributes of the modules, or of objects of other classes that modules
    hold, through lists, tuples and dictionaries. One that is reached twice is there once, under its first name.
    """
    found: dict[str, Generator] = {}
    _collect(model, "", found, set())
    return found


def _collect(value: Any, name: str, found: dict[str, Generator], seen: set[int]) -> None:
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, (np.random.Generator, np.random.RandomState)):
        found[name] = value
        return
    for key, part in _parts(value):
        if not isinstance(part, (bool, int, float, str, bytes, np.ndarray, Tensor, type(None))):
            _collect(part, f"{name}.{key}" if name else str(key), found, seen)


def _parts(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, (Module, dict, list, tuple)):
        yield from parts_of(value)
    elif not isinstance(value, (type, ModuleType)):  # what those hold is not the model's own
        yield from getattr(value, "__dict__", {}).items()


def get_state(generator: Generator) -> dict[str, Any]:
    """Where its stream is, as numbers, strings and arrays."""
    if isinstance(generator, np.random.Generator):
        return dict(generator.bit_generator.state)
    return dict(generator.get_state(legacy=False))


def set_state(generator: Generator, state: dict[str, Any]) -> None:
    """Goes on from a saved `get_state`."""
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    else:
        generator.set_state(state)
