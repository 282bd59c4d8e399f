"""What layers around recurrent layers share."""

from __future__ import annotations

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
