"""Several cells in one call of the kernels.

Each of these gives None where the layers or the arguments need the long way: other layers than plain cells, weights
that are not packed or have changed, arguments to convert or to complain about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from unrolled._native import core
from unrolled.cells.base import is_plain
from unrolled.cells.quick import bare, bare_state, on_tape, prepared_for_tape
from unrolled.tensor import Tensor, is_grad_enabled, wrap, wrap_all


def side_by_side(
    layers: Sequence[Any], x: Any, states: Sequence[Any], reverse: Sequence[bool]
) -> list[tuple[Tensor, Any]] | None:
    """(y, state) of every layer, all of which read x, at the same time where it pays."""
    made = _quick(core.side_by_side, layers, x, states, reverse)
    return None if made is None else [(wrap(y), wrap_all(state)) for y, state in made]


def stacked(layers: Sequence[Any], x: Any, states: Sequence[Any]) -> tuple[Tensor, tuple[Any, ...]] | None:
    """y of the last layer and the states of all, each of which reads what the one before it makes. Where that is
    faster, they run at the same time, a part of the sequence behind one another.
    """
    made = _quick(core.stacked, layers, x, states)
    if made is None:
        return None
    y, last = made
    return wrap(y), tuple(map(wrap_all, last))


def stacked_with_tape(
    layers: Sequence[Any], x: Any, states: Sequence[Any]
) -> tuple[Tensor, tuple[Any, ...]] | None:
    """The same with a tape, on which the layers are one op. Gradients go back through them as y came."""
    prepared = _prepared(layers, states)
    if prepared is None:
        return None
    inputs, recorders, weights = prepared
    if not all(p.requires_grad for of_layer in weights for p in of_layer if p is not None):
        return None  # not where frozen layers need no way back
    results = on_tape(
        "Stack",
        [_source(x), *[tensor for of_layer in inputs for tensor in of_layer]],
        lambda: core.record_stack(bare(x), recorders, _bare(states), weights, _packed(layers)),
    )
    if results is None:
        return None
    rest = iter(results[1:])
    return results[0], tuple([_state(layer, rest) for layer in layers])


def side_by_side_with_tape(
    layers: Sequence[Any], x: Any, states: Sequence[Any], reverse: Sequence[bool]
) -> list[tuple[Tensor, Any]] | None:
    """(y, state) of every layer with a tape, on which they are one op: gradients go back at the same time, too."""
    prepared = _prepared(layers, states)
    if prepared is None:
        return None
    inputs, recorders, weights = prepared
    results = on_tape(
        " and ".join(type(layer).__name__ for layer in layers),
        [tensor for of_layer in inputs for tensor in (_source(x), *of_layer)],
        lambda: core.record_beside(bare(x), recorders, _bare(states), weights, reverse, _packed(layers)),
    )
    if results is None:
        return None
    rest = iter(results)
    return [(next(rest), _state(layer, rest)) for layer in layers]


def _prepared(
    layers: Sequence[Any], states: Sequence[Any]
) -> tuple[list[list[Tensor | None]], list[Any], list[list[Tensor | None]]] | None:
    """What every layer reads beside x, its recorder, and its weights; None if one of them needs the long way."""
    inputs: list[list[Tensor | None]] = []
    recorders, weights = [], []
    for layer, state in zip(layers, states, strict=True):
        prepared = prepared_for_tape(layer, state) if is_plain(layer) else None
        if prepared is None:
            return None
        (recorder, _), given, of_layer = prepared
        inputs.append([*given, *of_layer])
        recorders.append(recorder)
        weights.append(of_layer)
    return inputs, recorders, weights


def _bare(states: Sequence[Any]) -> list[Any]:
    return [bare_state(state) for state in states]


def _packed(layers: Sequence[Any]) -> list[Any]:
    return [layer._packed_before() for layer in layers]


def _source(x: Any) -> Tensor | None:
    return x if type(x) is Tensor else None


def _state(layer: Any, results: Iterator[Tensor]) -> Any:
    return tuple.__new__(layer.State, [next(results) for _ in layer.State._fields])


def _quick(
    kernel: Callable[..., Any], layers: Sequence[Any], x: Any, states: Sequence[Any], *more: Any
) -> Any:
    if is_grad_enabled() or not all(is_plain(layer) and layer._sequence is not None for layer in layers):
        return None
    steppers = [layer._stepper for layer in layers]
    if None in steppers:  # another thread has changed a layer
        return None
    return kernel(bare(x), steppers, _bare(states), *more)
