"""What layers around recurrent layers share: checks of what they are given, and padding set to zero."""

from __future__ import annotations

from typing import Any

import numpy as np

from unrolled import ops
from unrolled.tensor import Tensor, as_tensor


def check_recurrent(who: str, what: str, layer: Any, hint: str = "") -> None:
    """`layer` must be a recurrent layer whose output has as many steps as its input."""
    if not hasattr(layer, "initial_state"):
        raise TypeError(f"{who}: {what} is {type(layer).__name__}, expected a recurrent layer{hint}")
    if hasattr(layer, "joined_reset"):
        raise TypeError(
            f"{who}: {what} is {type(layer).__name__}, which gives fewer steps than it gets; "
            "expected a layer that gives one output per step"
        )


def check_same_dtype(who: str, what: str, layer: Any, other: Any, where: str) -> None:
    if np.dtype(layer.dtype) != np.dtype(other.dtype):
        raise TypeError(
            f"{who}: {what} has dtype {np.dtype(layer.dtype)}, expected {np.dtype(other.dtype)} as {where}"
        )


def zero_padding(x: Any, lengths: Any) -> Tensor:
    """x (T, B, ...) with zeros from step `lengths[b]` of row b on, whatever stood there; None: x itself."""
    tensor = as_tensor(x)
    if lengths is None:
        return tensor
    valid = np.arange(tensor.shape[0])[:, None] < np.asarray(lengths)
    return ops.where(valid.reshape(valid.shape + (1,) * (tensor.ndim - 2)), tensor, 0)
