"""Calls over whole sequences that have nothing to convert, to draw or to look up: the quick way to the kernels.

Each gives None where the call needs the long way, `prepare` and `run`, which also says what is wrong with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unrolled._native import core
from unrolled.tensor import Tensor, tape_record, wrap, wrap_all

if TYPE_CHECKING:
    from unrolled.cells.base import Recurrent


def unrecorded(cell: Recurrent, x: Any, state: Any, reverse: bool) -> tuple[Tensor, Any] | None:
    """(y, last state) without a tape."""
    sequence = cell._sequence
    made = None if sequence is None else sequence(bare(x), bare_state(state), reverse)
    return None if made is None else (wrap(made[0]), wrap_all(made[1]))


def recorded(cell: Recurrent, x: Any, state: Any, reverse: bool) -> tuple[Tensor, Any] | None:
    """(y, last state) with a tape."""
    recorder = cell._recorder or new_recorder(cell)  # once: another thread may forget it
    if recorder is None:
        return None
    made: tuple[Tensor, Any] | None = recorder[1](x, state, cell._weights(), reverse, cell._packed_before())
    return made


def new_recorder(cell: Recurrent) -> Any:
    """Of a cell as it is now, and its function; None if it draws, bounds or recomputes anything."""
    if cell._recompute or not cell._quick() or cell._regular(True):
        return None
    name = type(cell).__name__
    recorder = core.Recorder(cell._kernel, cell.dtype, cell._options(), tape_record, name, cell.State)
    cell._recorder = made = recorder, recorder.record
    return made


def bare(x: Any) -> Any:
    """The array of a Tensor; whatever else it is, as it is. So are rows of a table, which are better looked up."""
    return x._data if type(x) is Tensor and not hasattr(x, "_lookup") else x


def bare_state(state: Any) -> Any:
    """A state with arrays for Tensors."""
    return tuple([bare(s) for s in state]) if isinstance(state, tuple) else state
