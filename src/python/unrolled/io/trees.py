"""Nested values taken apart into arrays and JSON for a file, and put together again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from unrolled.tensor import Tensor


def take_apart(tree: Any, prefix: str, arrays: dict[str, np.ndarray]) -> Any:
    """JSON-able form of a tree; its arrays go to `arrays` under names that start with `prefix`."""
    if isinstance(tree, Tensor):
        tree = tree._data
    if isinstance(tree, np.ndarray):
        arrays[prefix] = tree
        return {"@array": prefix}
    if isinstance(tree, np.generic):
        tree = tree.item()
    if isinstance(tree, float) and not math.isfinite(tree):
        return {"@float": repr(tree)}
    if tree is None or isinstance(tree, (bool, int, float, str)):
        return tree
    if isinstance(tree, Mapping):
        return {str(key): take_apart(value, f"{prefix}/{key}", arrays) for key, value in tree.items()}
    if isinstance(tree, (tuple, list)):
        items = [take_apart(value, f"{prefix}/{index}", arrays) for index, value in enumerate(tree)]
        if isinstance(tree, list):
            return items
        return {"@tuple": items, "@name": type(tree).__name__ if hasattr(tree, "_fields") else None}
    raise TypeError(f"{prefix} holds a {type(tree).__name__}, which a checkpoint cannot store")


def put_together(tree: Any, arrays: Mapping[str, np.ndarray], classes: Mapping[str, Any]) -> Any:
    """The tree that `take_apart` took apart. Named tuples come from `classes`, by name, or become plain
    tuples.
    """
    if isinstance(tree, list):
        return [put_together(value, arrays, classes) for value in tree]
    if not isinstance(tree, dict):
        return tree
    if "@array" in tree:
        return arrays[tree["@array"]]
    if "@float" in tree:
        return float(tree["@float"])
    if "@tuple" in tree:
        items = [put_together(value, arrays, classes) for value in tree["@tuple"]]
        return classes[tree["@name"]](*items) if tree["@name"] in classes else tuple(items)
    return {key: put_together(value, arrays, classes) for key, value in tree.items()}
