"""Calls over whole sequences that have nothing to convert, to draw or to look up: the quick way to the kernels.

Each gives None where the call needs the long way, `prepare` and `run`, which also says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from unrolled._native import core
from unrolled.tensor import Tensor, record, wrap, wrap_all

if TYPE_CHECKING:
    from unrolled.cells.base import Recurrent


def unrecorded(cell: Recurrent, x: Any, state: Any, reverse: bool) -> tuple[Tensor, Any] | None:
    """(y, last state) without a tape."""
    sequence = cell._sequence
    made = None if sequence is None else sequence(bare(x), bare_state(state), reverse)
    return None if made is None else (wrap(made[0]), wrap_all(made[1]))


def recorded(cell: Recurrent, x: Any, state: Any, reverse: bool) -> tuple[Tensor, Any] | None:
    """(y, last state) with a tape."""
    prepared = prepared_for_tape(cell, state)
    if prepared is None:
        return None
    (_, run), given, weights = prepared
    made = on_tape(
        type(cell).__name__,
        [x if type(x) is Tensor else None, *given, *weights],
        lambda: run(bare(x), bare_state(state), weights, reverse, cell._packed_before()),
    )
    return None if made is None else (made[0], tuple.__new__(cell.State, made[1:]))


def prepared_for_tape(
    cell: Recurrent, state: Any
) -> tuple[tuple[Any, Any], Sequence[Tensor | None], list[Tensor | None]] | None:
    """Of a quick call with a tape the recorder and its function, the given Tensors of a state, and the weights."""
    recorder = cell._recorder or _new_recorder(cell)  # once: another thread may forget it
    if recorder is None or not (state is None or isinstance(state, tuple)):
        return None
    given = (None,) * len(cell.State._fields) if state is None else [_tensor(s) for s in state]
    return recorder, given, cell._weights()


def _tensor(value: Any) -> Tensor | None:
    return value if isinstance(value, Tensor) else None


def on_tape(name: str, inputs: list[Tensor | None], run: Callable[[], Any]) -> tuple[Tensor, ...] | None:
    """The results of a native call that reads `inputs`; None where it gives none, or no gradient is wanted."""
    wanted = [tensor is not None and tensor.requires_grad for tensor in inputs]
    made = run() if True in wanted else None
    if made is None:
        return None
    results, saved = made

    def vjp(gradients: Sequence[Any]) -> Sequence[Any]:
        given: list[Any] = saved.vjp(gradients, wanted)
        return given

    return record(name, inputs, results, vjp)


def _new_recorder(cell: Recurrent) -> Any:
    """Of a cell as it is now; None if it draws, bounds or recomputes anything."""
    if cell._recompute or not cell._quick() or cell._regular(True):
        return None
    recorder = core.Recorder(cell._kernel, cell.dtype, cell._options())
    cell._recorder = made = recorder, recorder.record
    return made


def bare(x: Any) -> Any:
    """The array of a Tensor; whatever else it is, as it is. So are rows of a table, which are better looked up."""
    return x._data if type(x) is Tensor and not hasattr(x, "_lookup") else x


def bare_state(state: Any) -> Any:
    """A state with arrays for Tensors."""
    return tuple([bare(s) for s in state]) if isinstance(state, tuple) else state
