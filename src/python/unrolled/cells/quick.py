"""What a call without a tape gives to the kernels, and makes of what they give back."""

from __future__ import annotations

from typing import Any

from unrolled.tensor import Tensor, wrap


def bare(x: Any) -> Any:
    """The array of a Tensor; whatever else it is, as it is. So are rows of a table, which are better looked up."""
    return x._data if type(x) is Tensor and not hasattr(x, "_lookup") else x


def bare_state(state: Any) -> Any:
    """A state with arrays for Tensors."""
    return tuple([bare(s) for s in state]) if isinstance(state, tuple) else state


def wrapped_state(state: Any) -> Any:
    """A state with Tensors for arrays."""
    return type(state)(*[wrap(s) for s in state])
