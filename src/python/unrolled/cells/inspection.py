"""What a call has computed on its way: the gates of every step, and every state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from unrolled._native import core
from unrolled.cells.call import prepare
from unrolled.tensor import Tensor, no_grad

if TYPE_CHECKING:
    from unrolled.cells.base import Recurrent

Array = np.ndarray[Any, Any]


class Inspection(NamedTuple):
    """Arrays, with zeros past each sequence's end."""

    y: Array  # (T, B, O)
    state: Any  # the last one
    gates: dict[str, Array]  # (T, B, H) each
    states: dict[str, Array]  # (T, B, width) each: after every step


def inspect(
    cell: Recurrent,
    x: Any,
    state: Any,
    lengths: Any,
    reset: Any,
    reverse: bool,
    scalar: Tensor | None = None,
) -> Inspection:
    """Runs the cell as a call without a tape does, and keeps all of it."""
    with no_grad():
        call = prepare(cell, x, state, lengths, reset, reverse, scalar)
    whole = call.arguments._replace(keep=True, segment_steps=0)
    y, last, saved = core.cells_forward([whole])[0]
    assert saved is not None  # it was to keep
    sizes, T = whole.lengths, y.shape[0]
    live = np.ones((T, 1, 1), bool) if sizes is None else np.arange(T)[:, None, None] < sizes[:, None]
    gates = {
        name: np.where(live, cell._shown(name, saved.slot(slot)), 0) for name, slot in cell._slots().items()
    }
    gates.update({name: saved.stream(stream) for name, stream in cell._streams().items()})
    names = cell.State._fields
    own = names[1:] if names[:1] == ("h",) and cell._output_is_state else names
    states = {"h": y} if len(own) < len(names) else {}
    states.update({name: saved.stream(k) for k, name in enumerate(own)})
    return Inspection(y, cell.State(*last), gates, states)
