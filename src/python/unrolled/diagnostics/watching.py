"""`watch`: remembers what the recurrent layers of a model do."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from unrolled.cells.base import Recurrent
from unrolled.cells.fading import Fading
from unrolled.diagnostics.trace import Trace, spy
from unrolled.module import Module
from unrolled.tape import Array
from unrolled.tensor import Tensor


class Watch:
    """What `watch` saw: `traces[name]`, the calls of every recurrent layer in turn, under its dotted name."""

    def __init__(self) -> None:
        self.traces: dict[str, list[Trace]] = {}

    def __getitem__(self, name: str) -> Trace:
        """The call of the layer of this name, if there was one only."""
        if name not in self.traces:
            raise KeyError(
                f"watch: no recurrent layer {name!r}, there are {', '.join(map(repr, self.traces))}"
            )
        return _only(self.traces[name], f"layer {name!r}")

    @property
    def trace(self) -> Trace:
        """The call of the only layer, if there was one only."""
        return _only([trace for traces in self.traces.values() for trace in traces], "the recurrent layers")


def _only(traces: list[Trace], what: str) -> Trace:
    if len(traces) != 1:
        raise ValueError(f"watch: {what} ran {len(traces)} times, expected once; `traces` has every call")
    return traces[0]


@contextmanager
def watch(model: Module) -> Iterator[Watch]:
    """Remembers the calls of every cell inside `model` (itself, in stacks, both directions, ...) within `with`.

    Outputs and gradients are the same bits as without. `step` is not seen, nor a cell that something else than a call
    runs. One thread at a time may use a model that is being watched, and one `watch` at a time may see a cell.
    """
    if not isinstance(model, Module):
        raise TypeError(f"watch: model is a {type(model).__name__}, expected a Module")
    cells = {name: module for name, module in model.modules().items() if isinstance(module, Recurrent)}
    if not cells:
        raise ValueError(f"watch: {type(model).__name__} has no recurrent layer")
    watched = [name for name, cell in cells.items() if "forward" in vars(cell)]
    if watched:
        raise RuntimeError(
            f"watch: layer {watched[0]!r} is being watched already, or its forward was replaced"
        )
    seen = Watch()
    try:
        for name, cell in cells.items():
            seen.traces[name] = []
            object.__setattr__(cell, "forward", partial(_forward, cell, seen.traces[name]))
        yield seen
    finally:
        for cell in cells.values():
            vars(cell).pop("forward", None)


def _forward(
    cell: Recurrent,
    traces: list[Trace],
    x: Any,
    state: Any = None,
    lengths: Any = None,
    reset: Any = None,
    *,
    reverse: bool = False,
    **options: Any,  # dt, mask
) -> tuple[Tensor, Any]:
    twin = _twin(cell)  # with the counter of masks as the call finds it
    y, last = type(cell).forward(cell, x, state, lengths, reset, reverse=reverse, **options)
    if isinstance(cell, Fading):
        x = cell.seen(x, options.get("mask"))
    trace = Trace(
        twin,
        np.array(x),
        state,
        None if lengths is None else np.array(lengths, np.int64),
        None if reset is None else np.array(reset, bool),
        reverse,
        options.get("dt"),
    )
    traces.append(trace)
    if not y.requires_grad:
        return y, last

    def keep_dy(gradient: Array) -> None:
        trace.dy = gradient

    named = zip(trace.names, last, strict=True)
    return spy(y, keep_dy), cell.State(*(spy(s, partial(trace.dlast.__setitem__, n)) for n, s in named))


def _twin(cell: Recurrent) -> Recurrent:
    """A copy with every parameter open to gradients, whichever are frozen in the model."""
    forward = vars(cell).pop("forward")
    try:
        twin = copy.deepcopy(cell)
    finally:
        object.__setattr__(cell, "forward", forward)
    return twin.unfreeze()
