"""Several recurrent layers, one on top of the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from unrolled import checks, ops
from unrolled.layers.dropout import Dropout
from unrolled.layers.quick import stacked, stacked_with_tape
from unrolled.layers.recurrent import takes_dt, with_dt
from unrolled.module import Module
from unrolled.tensor import Tensor, is_grad_enabled


class Stack(Module):
    """Recurrent layers of which each reads the outputs of the one below; the cells may be of different kinds.

    The call and `step` are those of a cell. The state is a tuple with the state of every layer, bottom first;
    `final_hidden(state)` joins them to one array. In training, dropout is applied to what goes from layer to
    layer (not along time: Zaremba et al. 2014), in evaluation and in `step` it is not.

    Args:
        cells: cells, `Bidirectional`s or other Stacks; the output size of each is the input size of the next.
        dropout: probability of zeroing, in [0, 1).
        rng: source of the dropout masks.
    """

    _settings: ClassVar[tuple[str, ...]] = ("dropout",)
    _steps_joined = 1  # steps of a layer that become one input of the next

    def __init__(
        self, cells: Sequence[Any], *others: Any, dropout: float = 0.0, rng: np.random.Generator | None = None
    ) -> None:
        who = type(self).__name__
        if isinstance(cells, Module) or not isinstance(cells, Iterable):
            raise TypeError(
                f"{who}: cells is {checks.kind_of(cells)}, expected a list of recurrent layers: {who}([a, b])"
            )
        if others:
            raise TypeError(
                f"{who}: there are {1 + len(others)} positional arguments, expected one, the list of layers; dropout= "
                "and rng= are named"
            )
        self.cells = list(cells)
        if not self.cells:
            raise ValueError(f"{who}: there are no layers")
        checks.recurrent_layers(who, {f"layer {number}": layer for number, layer in enumerate(self.cells)})
        for number, (below, above) in enumerate(zip(self.cells, self.cells[1:], strict=False)):
            wanted = self._steps_joined * below.output_size
            if wanted != above.input_size:
                times = "" if self._steps_joined == 1 else "twice "
                raise ValueError(
                    f"{who}: layer {number + 1} ({type(above).__name__}) has input_size={above.input_size}, "
                    f"expected {wanted}, {times}the output size of the {type(below).__name__} below it"
                )
        self.masks: list[Dropout] = []
        self._set_dropout(dropout, rng)

    @property
    def input_size(self) -> int:
        """Features of x."""
        return int(self.cells[0].input_size)

    @property
    def output_size(self) -> int:
        """Features of y."""
        return int(self.cells[-1].output_size)

    @property
    def dtype(self) -> Any:
        """float32 or float64, that of all layers inside."""
        return self.cells[0].dtype

    @property
    def dropout(self) -> float:
        """Probability of zeroing what goes from layer to layer."""
        return self._dropout

    @dropout.setter
    def dropout(self, value: float) -> None:
        self._set_dropout(value, None)

    def _set_dropout(self, value: float, rng: np.random.Generator | None) -> None:
        self._dropout = checks.fraction(type(self).__name__, "dropout", value)
        if self._dropout and not self.masks:
            self.masks = [Dropout(self._dropout, rng=rng) for _ in self.cells[1:]]
        for mask in self.masks:
            mask.p = self._dropout

    @property
    def takes_dt(self) -> bool:
        """Whether any layer takes dt."""
        return takes_dt(*self.cells)

    def forward(
        self,
        x: Any,
        state: Any = None,
        lengths: Any = None,
        reset: Any = None,
        *,
        reverse: bool = False,
        dt: Any = None,
    ) -> tuple[Tensor, tuple[Any, ...]]:
        """x (T, B, I) -> y (T, B, H) of the top layer and the last state of every layer. Arguments as for a
        cell; dt goes to the layers that take it.
        """
        states = self._states(state)
        if self._is_plain() and lengths is None and reset is None and reverse is False and dt is None:
            quick = stacked_with_tape if is_grad_enabled() else stacked
            if (made := quick(self.cells, x, states)) is not None:
                return made
        y: Any = x
        last = []
        for number, times in enumerate(with_dt(type(self).__name__, self.cells, dt)):
            y, layer_state = self._layer(number, y, states[number], lengths, reset, reverse, times)
            last.append(layer_state)
        return y, tuple(last)

    def _is_plain(self) -> bool:
        """Whether the layers read each other's outputs as they are."""
        return not (self.masks and self._dropout and self.training)

    def _layer(
        self, number: int, x: Any, state: Any, lengths: Any, reset: Any, reverse: bool, times: dict[str, Any]
    ) -> tuple[Tensor, Any]:
        """One layer, with dropout of what comes from the layer below."""
        if number and not self._is_plain():
            if number > len(self.masks):
                raise RuntimeError(
                    f"{type(self).__name__}: there are {len(self.cells)} layers, but dropout was set for "
                    f"{len(self.masks) + 1}; build it of all of them: {type(self).__name__}([..], dropout=..)"
                )
            x = self.masks[number - 1](x)
        y, last = self.cells[number](x, state, lengths, reset, reverse=reverse, **times)
        return y, last

    def step(self, x_t: Any, state: Any = None, dt: Any = None) -> tuple[np.ndarray, tuple[Any, ...]]:
        """x_t (B, I) -> y_t (B, H) and the next states, all plain arrays, without a tape."""
        states = self._states(state)
        last = []
        each = zip(self.cells, states, with_dt(type(self).__name__, self.cells, dt), strict=True)
        for layer, layer_state, times in each:
            x_t, layer_state = layer.step(x_t, layer_state, **times)
            last.append(layer_state)
        return x_t, tuple(last)

    def initial_state(self, batch_size: int) -> tuple[Any, ...]:
        """The initial state of every layer."""
        return tuple(layer.initial_state(batch_size) for layer in self.cells)

    def _states(self, state: Any) -> Sequence[Any]:
        if state is None:
            return [None] * len(self.cells)
        if not isinstance(state, (tuple, list)) or hasattr(state, "_fields") or len(state) != len(self.cells):
            got = f"{len(state)} states" if type(state) in (tuple, list) else f"a {checks.kind_of(state)}"
            kind = ValueError if isinstance(state, (tuple, list)) else TypeError
            raise kind(
                f"{type(self).__name__}: state is {got}, expected a tuple of {len(self.cells)} states, one per layer"
            )
        return state


def final_hidden(state: Any) -> Tensor:
    """The hidden states of all layers and directions of a state, side by side: (B, sum of their sizes).

    A classifier on the last states of a whole stack: `y, state = stack(x); logits =
    linear(ur.final_hidden(state))`. Cell states (`c` of an LSTM) are left out; a cell whose state has no h (`SRU`) has
    its last output in y only, which is an error here.
    """
    parts = _hidden(state)
    return parts[0] if len(parts) == 1 else ops.concat(parts, axis=-1)


def _hidden(state: Any) -> list[Any]:
    if hasattr(state, "h"):
        return [state.h]
    if hasattr(state, "_fields") and not hasattr(state, "forward"):
        raise TypeError(
            f"final_hidden: {type(state).__name__}({', '.join(state._fields)}) has no h, expected states with one; the "
            "last output of the layer is in y"
        )
    if not isinstance(state, (tuple, list)):
        raise TypeError(
            f"final_hidden: state is {type(state).__name__}, expected the state of a recurrent layer"
        )
    return [part for layer in state for part in _hidden(layer)]
