"""A few calls of a new cell, so that the first one that counts finds code, threads, memory and packed weights as the
tenth does."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np

from unrolled.module import Module
from unrolled.tensor import enable_grad, no_grad

if TYPE_CHECKING:
    from unrolled.cells.base import Recurrent

Array = np.ndarray[Any, Any]

MOST_WEIGHTS = 2**24
# Enough multiply-adds and rows to start the threads.
_WORK, _ROWS, _MOST_STEPS = 2**21, 8, 100
# Python makes the code of a function faster in its first calls, and the processor learns its branches: so many for the
# first cell of a class.
_CALLS, _LATER_CALLS = 24, 4

_warm: WeakSet[type[Recurrent]] = WeakSet()


def warm_up(cell: Recurrent, forward: Callable[..., Any], step: Callable[..., Any]) -> None:
    """With the functions that all cells have, whatever a class puts in their place; with a tape if the cell trains.

    Not where weights are many, which take long to pack, but not beside a call, nor where the class has more of them to
    make.
    """
    whole = all(hasattr(cell, name) for name in (*cell.matrices, *cell.vectors))
    weights = [w for w in cell._weights() if w is not None] if whole else []
    size = sum(w.size for w in weights)
    if not 0 < size <= MOST_WEIGHTS or not cell._quick():
        return
    steps = min(-(-_WORK // (_ROWS * size)), _MOST_STEPS)
    calls = _LATER_CALLS if type(cell) in _warm else _CALLS
    _warm.add(type(cell))

    def zeros(T: int, B: int) -> Array:
        return np.zeros((T, B, cell.input_size), cell.dtype)

    if cell.training and any(w.requires_grad for w in weights):
        before = [w._grad for w in weights]  # of weights that the cell shares with others
        try:
            with enable_grad():
                for T in (steps, *[1] * calls):
                    for w in weights:
                        w._grad = None
                    y, _ = forward(cell, zeros(T, 1))
                    y.backward(np.zeros(y.shape, cell.dtype))
        finally:
            for w, grad in zip(weights, before, strict=True):
                w._grad = grad
    # The way a user goes, unless there is somebody's own code on it.
    ours = getattr(cell.forward, "__func__", None) is forward and type(cell).__call__ is Module.__call__
    call = cell if ours else partial(forward, cell)
    for T, B in ((steps, _ROWS), (steps, 1)):
        with no_grad():
            call(zeros(T, B))
    step = cell.step if getattr(cell.step, "__func__", None) is step else partial(step, cell)
    state = None
    for _ in range(calls):
        with no_grad():
            call(zeros(1, 1))
        state = step(zeros(1, 1)[0], state)[1]
        step(zeros(1, 1)[0])
