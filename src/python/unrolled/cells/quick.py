"""Calls over whole sequences that have nothing to convert, to draw or to look up: the quick way to the kernels.

Each gives None where the call needs the long way, `prepare` and `run`, which also says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from unrolled._native import core
from unrolled.tensor import Tensor, record, wrap

if TYPE_CHECKING:
    from unrolled.cells.base import Recurrent


def unrecorded(cell: Recurrent, x: Any, state: Any, reverse: bool) -> tuple[Tensor, Any] | None:
    """(y, last state) without a tape."""
    sequence = cell._sequence
    made = None if sequence is None else sequence(bare(x), bare_state(state), reverse)
    return None if made is None else (wrap(made[0]), wrapped_state(made[1]))


def recorded(cell: Recurrent, x: Any, state: Any, reverse: bool) -> tuple[Tensor, Any] | None:
    """(y, last state) with a tape."""
    kernel = cell._record or _record_function(cell)
    if kernel is None:
        return None
    array, source = x, None
    if type(x) is Tensor:
        if hasattr(x, "_lookup"):  # rows of a table, which are better looked up
            return None
        array, source = x._data, x
    given: Sequence[Tensor | None] = (None,) * len(cell.State._fields)
    if state is not None:
        if not isinstance(state, tuple):
            return None
        given, state = [s if isinstance(s, Tensor) else None for s in state], bare_state(state)
    weights = cell._weights()
    inputs = [source, *given, *weights]
    wanted = [tensor is not None and tensor.requires_grad for tensor in inputs]
    if True not in wanted:
        return None
    made = kernel(array, state, reverse, None if cell._stepper is None else cell._packed_before())
    if made is None:
        return None
    results, saved = made

    def vjp(gradients: Sequence[Any]) -> Sequence[Any]:
        given: list[Any] = saved.vjp(gradients, wanted)
        return given

    y, *last = record(type(cell).__name__, inputs, results, vjp)
    return y, tuple.__new__(cell.State, last)


def _record_function(cell: Recurrent) -> Any:
    """A new function for the calls of a cell as it is now; None if they draw, bound or recompute anything."""
    if cell._recompute or not cell._quick() or cell._regular(True):
        return None
    cell._record = core.record_function(cell._kernel, cell._weights(), cell._options(), cell)
    return cell._record


def bare(x: Any) -> Any:
    """The array of a Tensor; whatever else it is, as it is. So are rows of a table, which are better looked up."""
    return x._data if type(x) is Tensor and not hasattr(x, "_lookup") else x


def bare_state(state: Any) -> Any:
    """A state with arrays for Tensors."""
    return tuple([bare(s) for s in state]) if isinstance(state, tuple) else state


def wrapped_state(state: Any) -> Any:
    """A state with Tensors for arrays."""
    return tuple.__new__(type(state), [wrap(s) for s in state])  # a named tuple, without its slow constructor
