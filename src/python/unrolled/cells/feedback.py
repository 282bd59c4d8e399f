"""A cell that reads its own readout: one input and many outputs, with the loop over time in C++."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from unrolled._native import core
from unrolled.cells.activations import number_of
from unrolled.cells.base import is_plain
from unrolled.cells.call import Arguments, Call, checked_state, run
from unrolled.cells.regular import Gated
from unrolled.tensor import Tensor, needs_grad

if TYPE_CHECKING:
    from unrolled.cells.base import Recurrent

_SUFFIX = "+feedback"  # of the native kernel
_NUMBERS = 8  # options of a native cell, the last of which is the nonlinearity of the readout


def can_be_fed_back(layer: Any) -> bool:
    """Whether `run_fed_back` takes this layer: a cell whose kernel has room for a readout, and which draws no masks."""
    if not is_plain(layer) or (isinstance(layer, Gated) and layer.training and layer._random):
        return False
    return bool(core.has_cell(layer._kernel + _SUFFIX))


def run_fed_back(
    cell: Recurrent, state: Any, steps: int, W_y: Tensor, b_y: Tensor | None, nonlinearity: str
) -> tuple[Tensor, Any]:
    """Steps whose input is q = psi(W_y h + b_y) of the output h of the step before, the first one that of `state`.

    Gives h (steps, B, H) and the last state. W_y (I, H), b_y (I,) or None; psi as in `ACTIVATIONS`.
    """
    batch = state[0].shape[0]
    W_ih, *rest = cell._call_weights()
    last = len(cell.matrices)
    # The matrix of the fed-back input is W_ih; that of the kernel's own input, which is silent, a column of zeros.
    silent = Tensor(np.zeros((W_ih.shape[0], 1), cell.dtype))  # type: ignore[union-attr]
    weights = [silent, *rest[:last], W_y, W_ih, *rest[last:], b_y]
    options = cell._options()
    arguments = Arguments(
        cell._kernel + _SUFFIX,
        np.zeros((steps, batch, 1), cell.dtype),
        [None if w is None else w._data for w in weights],
        checked_state(cell, state, batch),
        [*options, *[0.0] * (_NUMBERS - 1 - len(options)), number_of(nonlinearity)],
        cell._regular(True),
        keep=needs_grad(*[s for s in state if isinstance(s, Tensor)], *weights),
        segment_steps=cell._segment_steps(steps, batch),
    )
    given = [s if isinstance(s, Tensor) else None for s in state]
    return run([Call(cell, arguments, None, given, weights)])[0]
