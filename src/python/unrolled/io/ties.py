"""Parts of a model that are reached by several names: tied parameters and shared modules."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from unrolled.module import Module, _walk, parts_of
from unrolled.tensor import Tensor

Names = dict[str, str]  # further name -> first name


def shared_modules(model: Module) -> Names:
    """Those of modules that are shared; what is inside of them goes without saying."""
    first: dict[int, str] = {}
    found: Names = {}
    for name, value in _walk(model, "", ()):
        if not isinstance(value, Module) or any(name.startswith(f"{outer}.") for outer in found):
            continue
        if first.setdefault(id(value), name) != name:
            found[name] = first[id(value)]
    return found


def separate_modules(model: Module, shared: Names) -> None:
    """Modules that share by the constructor, but not by these names, become modules of their own."""
    for name, first in shared_modules(model).items():
        if shared.get(name) != first:
            _put(model, name, copy.deepcopy(_place(model, name)[2]))


def share_modules(model: Module, shared: Names) -> None:
    for name, first in shared.items():
        module = _place(model, first)[2]
        if not isinstance(module, Module):
            raise ValueError(f"{first!r} is not a module")
        _put(model, name, module)


def tie_parameters(model: Module, ties: Names) -> None:
    """Makes each tensor the very one called by the first name; those that only the constructor tied, separate ones."""
    for name, first in model.ties().items():
        if ties.get(name) != first:
            _put(model, name, Tensor(np.array(_place(model, name)[2]._data), requires_grad=True))
    for name, first in ties.items():
        tensor = _place(model, first)[2]
        if not isinstance(tensor, Tensor):
            raise ValueError(f"{first!r} is not a parameter")
        _put(model, name, tensor)


def _put(model: Module, name: str, value: Any) -> None:
    owner, key, present = _place(model, name)
    if present is value:
        return
    if isinstance(owner, Module):
        setattr(owner, key, value)
    elif isinstance(owner, (dict, list)):
        owner[key] = value
    else:
        raise ValueError(f"{name!r} is inside a tuple and cannot be put there")


def _place(model: Module, name: str) -> tuple[Any, Any, Any]:
    """The module or container, the key and the value that a dotted name leads to; keys may have dots themselves."""
    open_ends: list[tuple[Any, str]] = [(model, name)]
    while open_ends:
        owner, rest = open_ends.pop()
        for key, value in parts_of(owner):
            if str(key) == rest:
                return owner, key, value
            if rest.startswith(f"{key}."):
                open_ends.append((value, rest[len(f"{key}.") :]))
    raise ValueError(f"there is no part {name!r}")
