"""Nested states cut from the tape."""

from __future__ import annotations

from typing import Any

from unrolled.tensor import Tensor


def detach(state: Any, *, leaves: bool = True) -> Any:
    """The same nested tuples, lists and dictionaries with every tensor cut from the tape; with `leaves=False` only
    those that an op made, so that a learned initial state stays one.
    """

    def cut(part: Any) -> Any:
        if isinstance(part, Tensor):
            return part.detach() if leaves or part._node is not None else part
        if isinstance(part, tuple) and hasattr(part, "_fields"):
            return type(part)(*map(cut, part))
        if isinstance(part, (tuple, list)):
            return type(part)(map(cut, part))
        if isinstance(part, dict):
            return {key: cut(value) for key, value in part.items()}
        return part

    return cut(state)
