"""Calls of cells over sequences, one or several at a time, as one op on the tape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from unrolled import checks
from unrolled._native import core
from unrolled.arrays import for_kernels
from unrolled.tensor import Lookup, Tensor, needs_grad, record

if TYPE_CHECKING:
    from unrolled.cells.base import Recurrent

Array = np.ndarray[Any, Any]


class Arguments(NamedTuple):
    """What the native function reads of a call, by these names."""

    name: str
    x: Array
    weights: list[Array | None]
    states: Sequence[Array | None]
    numbers: list[float]  # options of the native cell
    regular: list[float]  # regularisation, empty: none
    ids: Array | None = None  # (T, B): x is a table, and these are its rows to read
    lengths: Array | None = None
    reset: Array | None = None
    scalar: Array | None = None  # (T, B): one number per step and row, such as dt
    starts: Sequence[Array] = ()  # of every state: where a reset puts it; none: zeros
    reverse: bool = False
    keep: bool = False
    segment_steps: int = 0
    packed: Any = None


class Call(NamedTuple):
    """A checked call, not run yet."""

    cell: Recurrent
    arguments: Arguments
    source: Tensor | None  # x, or its table, where it is a Tensor
    states: list[Tensor | None]  # those given that are Tensors
    weights: list[Tensor | None]
    scalar: Tensor | None = None
    starts: Sequence[Tensor] = ()

    @property
    def inputs(self) -> list[Tensor | None]:
        return [self.source, *self.states, *self.weights, self.scalar, *self.starts]

    @property
    def wanted(self) -> list[bool]:
        """Whether the gradients of x, of each state and of each weight are wanted."""
        tensors = self.source, *self.states, *self.weights
        return [tensor is not None and tensor.requires_grad for tensor in tensors]


def checked_state(cell: Recurrent, state: Any, batch: int) -> list[Array | None]:
    """The arrays of a state for `batch` rows; None for each where none is given."""
    who, names = type(cell).__name__, cell.State._fields
    if state is None:
        return [None] * len(names)
    if not isinstance(state, tuple) or len(state) != len(names):
        got = f"a tuple of {len(state)}" if isinstance(state, tuple) else f"a {checks.kind_of(state)}"
        kind = ValueError if isinstance(state, tuple) else TypeError
        raise kind(f"{who}: state is {got}, expected {cell.State.__name__}({', '.join(names)})")
    checked: list[Array | None] = []
    for name, array, size in zip(names, state, cell._state_sizes(), strict=True):
        why = f"{(batch, size)}: the batch of x and {cell._width_of(name, size)}"
        checked.append(checks.floats(who, name, array, cell.dtype, (batch, size), why))
    return checked


def prepare(
    cell: Recurrent,
    x: Any,
    state: Any,
    lengths: Any,
    reset: Any,
    reverse: bool,
    scalar: Tensor | None = None,
) -> Call:
    """The arguments of a call checked and put together."""
    who = type(cell).__name__
    array = x._data if isinstance(x, Tensor) else x
    if not _is_usual(array, cell.dtype, cell.input_size):
        shape = (None, None, cell.input_size)
        array = checks.floats(who, "x", x, cell.dtype, shape, cell._shape_of_x("time, batch"))
    T, B, _ = array.shape
    state = cell._started(state, B)
    states = checked_state(cell, state, B)
    sizes = None if lengths is None else checks.lengths(who, lengths, T, B)
    cuts = None if reset is None else checks.resets(who, reset, T, B)
    weights = cell._call_weights()
    given = [s if isinstance(s, Tensor) else None for s in (states if state is None else state)]
    source = x if isinstance(x, Tensor) else None
    starts = [] if cuts is None else cell._starts()
    keep = needs_grad(source, *given, *weights, scalar, *starts)
    segment_steps = cell._segment_steps(T, B)
    lookup = None if segment_steps or cell._makes_input else _lookup(source)
    if source is not None and lookup is not None:
        array = lookup.table._data
        source = lookup.table if source.requires_grad else None
    packed = None
    if cell._quick():
        packed = cell._packed_before() if keep else cell._packed(T * B)
    reverse = checks.flag(who, "reverse", reverse)
    arrays = [None if w is None else w._data for w in weights]
    arguments = Arguments(
        cell._kernel,
        array,
        arrays,
        states,
        cell._options(),
        cell._regular(True),
        ids=None if lookup is None else lookup.ids,
        lengths=sizes,
        reset=cuts,
        scalar=None if scalar is None else scalar._data,
        starts=[start._data for start in starts],
        reverse=reverse,
        keep=keep,
        segment_steps=segment_steps,
        packed=packed,
    )
    cell._called()
    return Call(cell, arguments, source, given, weights, scalar, starts)


def _is_usual(x: Any, dtype: np.dtype[Any], columns: int) -> bool:
    """Whether x (T, B, columns) needs no conversion, nor a complaint: all checks of a short call must be short."""
    return (
        type(x) is np.ndarray
        and x.dtype is dtype
        and x.ndim == 3
        and x.shape[2] == columns
        and (flags := x.flags).c_contiguous
        and flags.aligned
    )


def _lookup(x: Tensor | None) -> Lookup | None:
    """Where x (T, B, I) holds rows of a table with far fewer of them: their part of the gates is then made once per row
    of the table, and looked up. None where x or the table may have changed since.
    """
    lookup: Lookup | None = getattr(x, "_lookup", None)
    if x is None or lookup is None:
        return None
    return lookup if x._version == 0 and lookup.table._version == lookup.version else None


def run(calls: Sequence[Call]) -> list[tuple[Tensor, Any]]:
    """(y, last state) of every call. Several run at the same time where that is faster, with the same bits."""
    results = core.cells_forward([call.arguments for call in calls])
    wanted = [call.wanted for call in calls]

    def vjp(gradients: Sequence[Array | None]) -> list[Array | None]:
        dense = iter([None if g is None else for_kernels(g) for g in gradients])
        requests: list[tuple[Any, ...]] = []
        parts: list[bool] = []
        for call, (_, last, saved), flags in zip(calls, results, wanted, strict=True):
            dy, dlast = next(dense), [next(dense) for _ in last]
            parts.append(False)
            if saved is not None and not (dy is None and all(d is None for d in dlast)):
                parts[-1] = True
                requests.append((saved, dy, dlast, flags, needs_grad(call.scalar)))
        made = iter(core.cells_backward(requests))
        given: list[Array | None] = []
        for call, reached in zip(calls, parts, strict=True):
            if reached:
                dx, dstates, dweights, dscalar, dstarts = next(made)
                given += [dx, *dstates, *dweights, dscalar, *dstarts]
            else:
                given += [None] * len(call.inputs)
        return given

    name = " and ".join(type(call.cell).__name__ for call in calls)
    inputs = [tensor for call in calls for tensor in call.inputs]
    outputs = iter(record(name, inputs, [array for y, last, _ in results for array in (y, *last)], vjp))
    return [
        (next(outputs), call.cell.State(*[next(outputs) for _ in last]))
        for call, (_, last, _) in zip(calls, results, strict=True)
    ]
