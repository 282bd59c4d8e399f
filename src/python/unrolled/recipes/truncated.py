"""The truncated gradient of the first LSTM papers."""

from __future__ import annotations

from typing import Any

import numpy as np

import unrolled as ur
from unrolled import ops
from unrolled.tape import is_grad_enabled
from unrolled.tensor import Tensor


class Truncated(ur.Module):
    """A cell that learns as in 1997: on their way back in time, errors pass through the memory c alone.

        a[t] = W_ih x[t] + W_hh h[t-1] + b,   with h[t-1] taken for a given number

    The values are those of the cell; the gradients of W_ih, W_hh and b are those of h[t-1] held. All sums are made
    before a second cell, of the same class and without weights of its own, goes through time with them.

    Args:
        cell: an LSTM of 1997 or 2000, with one bias b.

    Source: S. Hochreiter, J. Schmidhuber, Long short-term memory, Neural Computation 9, 1997, appendix A.1.
    """

    def __init__(self, cell: Any) -> None:
        self.cell = cell
        self.input_size, self.output_size, self.dtype = cell.input_size, cell.output_size, cell.dtype
        sums = cell.W_ih.shape[0]
        self.gates = type(cell)(sums, cell.hidden_size, bias=False, dtype=cell.dtype)
        self.gates.W_ih.data[...] = np.eye(sums)
        self.gates.W_hh.data[...] = 0
        self.gates.freeze()

    def forward(self, x: Any, state: Any = None, lengths: Any = None) -> tuple[Tensor, Any]:
        """x (T, B, I) -> y (T, B, H) and the last state."""
        with ur.no_grad():
            y, last = self.cell(x, state, lengths)
        if not is_grad_enabled():
            return y, last
        start = self.cell.initial_state(x.shape[1]) if state is None else state
        before = np.concatenate([np.asarray(start.h)[None], y.data[:-1]])
        sums = ops.linear(x, self.cell.W_ih, self.cell.b) + ops.linear(before, self.cell.W_hh)
        learned: tuple[Tensor, Any] = self.gates(sums, state, lengths)
        return learned
