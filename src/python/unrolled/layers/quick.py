"""Several cells in one call of the kernels.

Each of these gives None where the layers or the arguments need the long way: other layers than plain cells, weights
that are not packed or have changed, arguments to convert or to complain about.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from unrolled._native import core
from unrolled.cells.base import is_plain
from unrolled.cells.quick import bare, bare_state, inputs_of, on_tape, wrapped_state
from unrolled.tensor import Tensor, is_grad_enabled, wrap


def side_by_side(
    layers: Sequence[Any], x: Any, states: Sequence[Any], reverse: Sequence[bool]
) -> list[tuple[Tensor, Any]] | None:
    """(y, state) of every layer, all of which read x, at the same time where it pays."""
    made = _quick(core.side_by_side, layers, x, states, reverse)
    return None if made is None else [(wrap(y), wrapped_state(state)) for y, state in made]


def stacked(layers: Sequence[Any], x: Any, states: Sequence[Any]) -> tuple[Tensor, tuple[Any, ...]] | None:
    """y of the last layer and the states of all, each of which reads what the one before it makes. Where that is
    faster, they run at the same time, a part of the sequence behind one another.
    """
    made = _quick(core.stacked, layers, x, states)
    if made is None:
        return None
    y, last = made
    return wrap(y), tuple(map(wrapped_state, last))


def stacked_with_tape(
    layers: Sequence[Any], x: Any, states: Sequence[Any]
) -> tuple[Tensor, tuple[Any, ...]] | None:
    """The same with a tape, on which the layers are one op. Gradients go back through them as y came."""
    if not all(map(is_plain, layers)):
        return None
    inputs: list[Tensor | None] = [x if type(x) is Tensor else None]
    for layer, state in zip(layers, states, strict=True):
        its_inputs = inputs_of(layer, state)
        if its_inputs is None or not all(p.requires_grad for p in layer._weights() if p is not None):
            return None  # not where frozen layers need no way back
        inputs += its_inputs
    made = on_tape(
        "Stack",
        inputs,
        lambda: core.record_stack(
            bare(x),
            [layer._recorder for layer in layers],
            [bare_state(state) for state in states],
            [layer._packed_before() for layer in layers],
        ),
    )
    if made is None:
        return None
    rest = iter(made[1:])
    return made[0], tuple([layer.State(*[next(rest) for _ in layer.State._fields]) for layer in layers])


def _quick(
    kernel: Callable[..., Any], layers: Sequence[Any], x: Any, states: Sequence[Any], *more: Any
) -> Any:
    if is_grad_enabled() or not all(is_plain(layer) and layer._sequence is not None for layer in layers):
        return None
    steppers = [layer._stepper for layer in layers]
    if None in steppers:  # another thread has changed a layer
        return None
    return kernel(bare(x), steppers, [bare_state(state) for state in states], *more)
