"""Calls over whole sequences that have nothing to convert, to draw or to look up: the quick way to the kernels.

Each gives None where the call needs the long way, `prepare` and `run`, which also says what is wrong with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unrolled._native import core
from unrolled.tensor import Tensor, tape_record

if TYPE_CHECKING:
    from unrolled.cells.base import Recurrent


def unrecorded(cell: Recurrent, x: Any, state: Any, reverse: bool) -> tuple[Tensor, Any] | None:
    """(y, last state) without a tape."""
    sequence = cell._sequence
    return None if sequence is None else sequence(x, state, reverse)


def recorded(cell: Recurrent, x: Any, state: Any, reverse: bool) -> tuple[Tensor, Any] | None:
    """(y, last state) with a tape."""
    recorder = recorder_of(cell)
    if recorder is None:
        return None
    weights, packed = cell._still_packed() or (cell._weights(), cell._packed_before)
    made: tuple[Tensor, Any] | None = recorder[1](x, state, weights, reverse, packed)
    return made


def recorder_of(cell: Recurrent) -> Any:
    """Its recorder and the function of that for a call; None if it needs the long way."""
    return cell._recorder or new_recorder(cell)  # once: another thread may forget it


def new_recorder(cell: Recurrent) -> Any:
    """Of a cell as it is now, and its function; None if it draws, bounds or recomputes anything."""
    if cell._recompute or not cell._quick() or cell._regular(True):
        return None
    name = type(cell).__name__
    recorder = core.Recorder(cell._kernel, cell.dtype, cell._options(), tape_record, name, cell.State)
    cell._recorder = made = recorder, recorder.record
    return made
