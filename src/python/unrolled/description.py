"""How a module is shown: its arguments, the modules and parameters inside it, shapes and counts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from unrolled.module import Module, is_parameter, parts_of
from unrolled.registry import _named_arguments
from unrolled.tensor import Tensor


def _children(module: Module) -> Iterator[tuple[str, Any]]:
    """Modules and parameters directly inside `module`, through containers but not through modules."""

    def expand(name: str, value: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(value, Module) or (isinstance(value, Tensor) and is_parameter(value)):
            yield name, value
        else:
            for key, item in parts_of(value):
                yield from expand(f"{name}.{key}", item)

    for name, value in parts_of(module):
        yield from expand(name, value)


def describe(module: Module, indent: str = "", seen: set[int] | None = None) -> list[str]:
    """Lines of the `repr` of a module."""
    seen = set() if seen is None else seen
    lines = [f"{type(module).__name__}({_arguments_text(module)}): {module.num_parameters:,} parameters"]
    indent += "  "
    for name, value in _children(module):
        again = id(value) in seen
        seen.add(id(value))
        if again:
            lines.append(f"{indent}{name}: shared with the {type(value).__name__} above")
        elif isinstance(value, Module):
            first, *rest = describe(value, indent, seen)
            lines += [f"{indent}{name}: {first}", *rest]
        else:
            frozen = "" if value.requires_grad else " frozen"
            lines.append(f"{indent}{name} {value.shape} {value.dtype}{frozen}")
    return lines


def _arguments_text(module: Module) -> str:
    """Simple constructor arguments, shortened; modules and other long values are left out."""
    try:
        named = _named_arguments(module)
    except TypeError:
        return ""
    plain = (bool, int, float, str, np.generic)
    return ", ".join(f"{k}={v!r}" for k, v in named.items() if isinstance(v, plain) and len(repr(v)) <= 40)
