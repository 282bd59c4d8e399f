"""What layers around recurrent layers share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unrolled import ops
from unrolled.tensor import Tensor, as_tensor


def zero_padding(x: Any, lengths: Any) -> Tensor:
    """x (T, B, ...) with zeros from step `lengths[b]` of row b on, whatever stood there; None: x itself."""
    tensor = as_tensor(x)
    if lengths is None:
        return tensor
    valid = np.arange(tensor.shape[0])[:, None] < np.asarray(lengths)
    return ops.where(valid.reshape(valid.shape + (1,) * (tensor.ndim - 2)), tensor, 0)


def takes_dt(*layers: Any) -> bool:
    """Whether the call of any of the layers has an argument dt."""
    return any(getattr(layer, "takes_dt", False) for layer in layers)


def with_dt(who: str, layers: Sequence[Any], dt: Any) -> list[dict[str, Any]]:
    """The argument dt of each of the layers, for those that have it; None is none."""
    if dt is not None and not takes_dt(*layers):
        kinds = ", ".join(type(layer).__name__ for layer in layers)
        raise TypeError(f"{who}: dt is given, expected None because no layer inside takes it ({kinds})")
    return [{"dt": dt} if dt is not None and takes_dt(layer) else {} for layer in layers]
