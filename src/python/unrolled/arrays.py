"""Arrays as the native kernels read them."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def for_kernels(array: Array) -> Array:
    """The array, C-contiguous and with every element where its type may lie; a copy where it is not so already, as a
    view of bytes from an odd one on."""
    array = np.asarray(array, order="C")
    return array if array.flags.aligned else array.copy()


def refuse_masked(who: str, name: str, value: Any) -> None:
    """Kernels would read what lies under the mask."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise TypeError(
            f"{who}: {name} is a masked array, expected a value at every place; .filled(np.nan) marks missing ones"
        )
