"""Arrays as the native kernels read them, and what becomes one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from unrolled.operators import Operators
from unrolled.tape import is_grad_enabled

Array = np.ndarray[Any, Any]
_Masked: Any = np.ma.MaskedArray


def for_kernels(array: Array) -> Array:
    """The array, C-contiguous and with every element where its type may lie; a copy where it is not so already, as a
    view of bytes from an odd one on."""
    array = np.asarray(array, order="C")
    return array if array.flags.aligned else array.copy()


def array_of(who: str, name: str, value: Any, *, constant: bool = True) -> Array:
    """The array of a Tensor, or what NumPy makes of anything else, but for what a mask hides. Where it is no constant,
    but what gradients go back to, a list that holds tensors may not cut them off either.
    """
    if type(value) is np.ndarray:
        return value
    if isinstance(value, Operators):
        return value._data
    if isinstance(value, (list, tuple)):
        _refuse_held(who, name, value, constant)
    else:
        refuse_masked(who, name, value)
    try:
        return np.asarray(value)
    except ValueError as error:
        if isinstance(value, (list, tuple)) and any(isinstance(item, Operators) for item in _held(value)):
            raise _several(who, name, value) from None
        raise ValueError(f"{who}: cannot make an array of this {type(value).__name__}: {error}") from None


def refuse_masked(who: str, name: str, value: Any) -> None:
    """Kernels would read what lies under the mask."""
    if type(value) is not np.ndarray and isinstance(value, _Masked) and np.ma.is_masked(value):
        raise TypeError(
            f"{who}: {name} is a masked array, expected a value at every place; .filled(np.nan) marks missing ones"
        )


def _refuse_held(who: str, name: str, value: Any, constant: bool) -> None:
    for item in _held(value):
        if not isinstance(item, Operators):
            refuse_masked(who, name, item)
        elif not constant and item.requires_grad and is_grad_enabled():
            raise _several(who, name, value)


def _held(value: Any) -> Iterator[Any]:
    """The tensors and masked arrays in a list or tuple, and in those in it. Nothing else takes long to pass over."""
    if any(issubclass(kind, (list, tuple, Operators, _Masked)) for kind in set(map(type, value))):
        for item in value:
            if isinstance(item, (list, tuple)):
                yield from _held(item)
            elif isinstance(item, (Operators, _Masked)):
                yield item


def _several(who: str, name: str, value: Any) -> TypeError:
    """Says which of the tensors in a list or tuple may be meant."""
    fields, such = getattr(value, "_fields", ()), ""
    if isinstance(value, tuple) and isinstance(value[0], tuple):  # of a stack, or of two directions
        such = ", such as ur.final_hidden(state)"
    elif isinstance(value, tuple):
        such = f", such as its {fields[0]}" if fields else ", such as y of (y, state)"
    kind = type(value).__name__
    what = f"{kind}({', '.join(fields)}), a tuple" if fields else f"a {kind}"
    return TypeError(
        f"{who}: {name} is {what} that holds tensors, expected one of them{such}, or ur.stack(..) of them, which keeps "
        "their gradients"
    )
