"""Several cells in one call of the kernels.

Each of these gives None where the layers or the arguments need the long way: other layers than plain cells, weights
that are not packed or have changed, arguments to convert or to complain about.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from unrolled._native import core
from unrolled.cells.base import is_plain
from unrolled.cells.quick import recorder_of
from unrolled.tensor import Tensor, is_grad_enabled


def side_by_side(
    layers: Sequence[Any], x: Any, states: Sequence[Any], reverse: Sequence[bool], columns: int
) -> tuple[list[Tensor], list[Any]] | None:
    """The y and the state of every layer, all of which read x, at the same time where it pays. If they have `columns`
    together, not 0, one y of so many.
    """
    made: tuple[list[Tensor], list[Any]] | None = _quick(
        core.side_by_side, layers, x, states, reverse, columns
    )
    return made


def stacked(layers: Sequence[Any], x: Any, states: Sequence[Any]) -> tuple[Tensor, tuple[Any, ...]] | None:
    """y of the last layer and the states of all, each of which reads what the one before it makes. Where that is
    faster, they run at the same time, a part of the sequence behind one another.
    """
    made: tuple[Tensor, tuple[Any, ...]] | None = _quick(core.stacked, layers, x, states)
    return made


def stacked_with_tape(
    layers: Sequence[Any], x: Any, states: Sequence[Any]
) -> tuple[Tensor, tuple[Any, ...]] | None:
    """The same with a tape, on which the layers are one op. Gradients go back through them as y came."""
    recorders = _recorders(layers)
    if recorders is None:
        return None
    found, weights = _weights(layers)
    if not all(p.requires_grad for of_layer in weights for p in of_layer if p is not None):
        return None  # not where frozen layers need no way back
    return core.record_stack(x, recorders, states, weights, _packed(layers, found))


def side_by_side_with_tape(
    layers: Sequence[Any], x: Any, states: Sequence[Any], reverse: Sequence[bool], columns: int
) -> tuple[list[Tensor], list[Any]] | None:
    """The same with a tape, on which they are one op: gradients go back at the same time, too."""
    recorders = _recorders(layers)
    if recorders is None:
        return None
    found, weights = _weights(layers)
    return core.record_beside(x, recorders, states, weights, reverse, _packed(layers, found), columns)


def _recorders(layers: Sequence[Any]) -> list[Any] | None:
    """Those of all layers; None if one of them needs the long way."""
    recorders = []
    for layer in layers:
        recorder = recorder_of(layer) if is_plain(layer) else None
        if recorder is None:
            return None
        recorders.append(recorder[0])
    return recorders


def _weights(layers: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Of each layer: what it has still packed, and its weights."""
    found = [layer._still_packed() for layer in layers]
    return found, [
        layer._weights() if kept is None else kept[0] for layer, kept in zip(layers, found, strict=True)
    ]


def _packed(layers: Sequence[Any], found: Sequence[Any]) -> list[Any]:
    return [
        layer._packed_before if kept is None else kept[1] for layer, kept in zip(layers, found, strict=True)
    ]


def _quick(
    kernel: Callable[..., Any], layers: Sequence[Any], x: Any, states: Sequence[Any], *more: Any
) -> Any:
    if is_grad_enabled() or not all(is_plain(layer) and layer._sequence is not None for layer in layers):
        return None
    steppers = [layer._stepper for layer in layers]
    if None in steppers:  # another thread has changed a layer
        return None
    return kernel(x, steppers, states, *more)
