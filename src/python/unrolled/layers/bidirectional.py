"""Two recurrent layers that read a sequence in both directions."""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn

from unrolled import checks, ops
from unrolled.cells.base import is_plain
from unrolled.cells.call import prepare, run
from unrolled.layers.quick import side_by_side, side_by_side_with_tape
from unrolled.layers.recurrent import takes_dt, with_dt
from unrolled.module import Module
from unrolled.ops.shape import joined
from unrolled.tensor import Tensor, is_grad_enabled, wrap


class BidirectionalState(NamedTuple):
    """The states of both directions: forward after the last step, backward after the first."""

    forward: Any
    backward: Any


class Bidirectional(Module):
    """One layer reads from the first step to the last, the other from the last to the first (Schuster and
    Paliwal 1997).

        y[t] = [y_forward[t], y_backward[t]]    merge="concat"
        y[t] = y_forward[t] + y_backward[t]     merge="sum"

    With `lengths`, the backward layer starts at the last valid step of each row. The state is a named tuple
    `(forward, backward)`. There is no `step`: the backward layer needs the end of the sequence first.

    Args:
        forward_cell, backward_cell: cells or Stacks of equal input size, for "sum" of equal output size.
        merge: "concat" or "sum".
    """

    State = BidirectionalState

    def __init__(self, forward_cell: Any, backward_cell: Any, *, merge: str = "concat") -> None:
        checks.recurrent_layers(
            "Bidirectional", {"forward_cell": forward_cell, "backward_cell": backward_cell}
        )
        if forward_cell is backward_cell:
            raise ValueError("Bidirectional: both directions are the same object, expected two layers")
        checks.one_of("Bidirectional", "merge", merge, ("concat", "sum"))
        if forward_cell.input_size != backward_cell.input_size:
            raise ValueError(
                f"Bidirectional: the input sizes are {forward_cell.input_size} and "
                f"{backward_cell.input_size}, expected equal ones"
            )
        if merge == "sum" and forward_cell.output_size != backward_cell.output_size:
            raise ValueError(
                f"Bidirectional: the output sizes are {forward_cell.output_size} and "
                f"{backward_cell.output_size}, expected equal ones because merge='sum'"
            )
        self.forward_cell = forward_cell
        self.backward_cell = backward_cell
        self.merge = merge

    @property
    def input_size(self) -> int:
        """Features of x."""
        return int(self.forward_cell.input_size)

    @property
    def output_size(self) -> int:
        """Features of y."""
        sizes = (self.forward_cell.output_size, self.backward_cell.output_size)
        return int(sum(sizes) if self.merge == "concat" else sizes[0])

    @property
    def dtype(self) -> Any:
        """float32 or float64, that of all layers inside."""
        return self.forward_cell.dtype

    @property
    def takes_dt(self) -> bool:
        """Whether any of the two takes dt."""
        return takes_dt(self.forward_cell, self.backward_cell)

    def forward(
        self,
        x: Any,
        state: Any = None,
        lengths: Any = None,
        reset: Any = None,
        *,
        reverse: bool = False,
        dt: Any = None,
    ) -> tuple[Tensor, BidirectionalState]:
        """x (T, B, I) -> y (T, B, H) and the last states of both directions; `reverse` exchanges the
        directions. dt goes to the cells that take it, which turn it to their direction.
        """
        layers = self.forward_cell, self.backward_cell
        states = self._states(state)
        ways = checks.flag("Bidirectional", "reverse", reverse), not reverse
        times = with_dt("Bidirectional", layers, dt)
        # Neither direction waits for the other: they run at the same time.
        quick = side_by_side_with_tape if is_grad_enabled() else side_by_side
        if lengths is None and reset is None:
            columns = self.output_size if self.merge == "concat" else 0  # each writes its part of y
            if (together := quick(layers, x, states, ways, columns)) is not None:
                ys, last = together
                return ys[0] if columns else ys[0] + ys[1], BidirectionalState(*last)
        if all(map(is_plain, layers)):
            made = run(
                [
                    prepare(layer, x, its_state, lengths, reset, way)
                    for layer, its_state, way in zip(layers, states, ways, strict=True)
                ]
            )
        else:
            made = [
                layer(x, its_state, lengths, reset, reverse=way, **its_times)
                for layer, its_state, way, its_times in zip(layers, states, ways, times, strict=True)
            ]
        (there, there_state), (back, back_state) = made
        return self._merged(there, back), BidirectionalState(there_state, back_state)

    def initial_state(self, batch_size: int) -> BidirectionalState:
        """The initial states of both directions."""
        return BidirectionalState(
            self.forward_cell.initial_state(batch_size), self.backward_cell.initial_state(batch_size)
        )

    def step(self, x_t: Any, state: Any = None) -> NoReturn:
        """Not possible; raises TypeError."""
        raise TypeError(
            "Bidirectional: there is no step, because the backward direction starts at the end of the "
            "sequence; call the layer on the whole sequence"
        )

    def _merged(self, there: Tensor, back: Tensor) -> Tensor:
        if self.merge == "sum":
            return there + back
        if not (there.requires_grad or back.requires_grad):
            return wrap(joined((there._data, back._data), axis=-1))
        return ops.concat([there, back], axis=-1)

    def _states(self, state: Any) -> tuple[Any, Any]:
        if state is None:
            return None, None
        if not isinstance(state, tuple):
            raise TypeError(
                f"Bidirectional: state is a {checks.kind_of(state)}, expected (forward, backward)"
            )
        if len(state) != 2:
            raise ValueError(f"Bidirectional: state is a tuple of {len(state)}, expected (forward, backward)")
        return state[0], state[1]
