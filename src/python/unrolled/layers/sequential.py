"""Layers applied one after the other."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from unrolled import checks
from unrolled.layers.recurrent import takes_dt, with_dt
from unrolled.module import Module


class _Beside(NamedTuple):
    """What belongs to the steps of an input or output, beside its values."""

    lengths: Any
    reset: Any
    dt: Any


class Sequential(Module):
    """Applies modules or plain functions in order: `Sequential(Embedding(V, D), LSTM(D, H), Linear(H, V))`. A list of
    them does as well.

    Of a recurrent layer, which gives `(y, state)`, only y is passed on; `lengths`, `reset` and `dt` (where it is taken)
    go to every recurrent layer, behind a `Pyramid` those of its output, and `lengths` to layers over images; other
    layers see each position alone. To start from a state or to keep the last one, write a Module. `layer =
    sequential[0]` gives a layer, `len` their number.
    """

    def __init__(self, *layers: Any) -> None:
        if len(layers) == 1 and isinstance(layers[0], (list, tuple)):
            layers = tuple(layers[0])
        if not layers:
            raise ValueError("Sequential: there are no layers")
        for number, layer in enumerate(layers):
            if not callable(layer):
                raise TypeError(
                    f"Sequential: layer {number} is {checks.kind_of(layer)}, which cannot be called"
                )
        self.layers = list(layers)

    @property
    def takes_dt(self) -> bool:
        """Whether any layer takes dt."""
        return takes_dt(*self.layers)

    def forward(self, x: Any, *, lengths: Any = None, reset: Any = None, dt: Any = None) -> Any:
        """The output of the last layer."""
        if reset is not None and not self._has_recurrent():
            kinds = ", ".join(type(layer).__name__ for layer in self.layers)
            raise TypeError(
                f"Sequential: reset is given, expected None because no layer inside has an initial_state ({kinds})"
            )
        with_dt("Sequential", self.layers, dt)
        return self._through(x, _Beside(lengths, reset, dt))[0]

    def _through(self, x: Any, beside: _Beside) -> tuple[Any, _Beside]:
        """The output of the last layer and what is beside it."""
        for layer in self.layers:
            if _is_plain_sequence(layer):
                x, beside = layer._through(x, beside)
            elif isinstance(layer, Sequential):
                x = layer(x, lengths=beside.lengths, reset=beside.reset, **_times(layer, beside.dt))
            elif _is_recurrent(layer):
                x, beside = _recurrent(layer, x, beside)
            else:
                x = layer(x, beside.lengths) if getattr(layer, "takes_lengths", False) else layer(x)
        return x, beside

    def _has_recurrent(self) -> bool:
        return any(
            layer._has_recurrent() if isinstance(layer, Sequential) else _is_recurrent(layer)
            for layer in self.layers
        )

    def __getitem__(self, number: int) -> Any:
        return self.layers[number]

    def __len__(self) -> int:
        return len(self.layers)


def _is_plain_sequence(layer: Any) -> bool:
    """Whether a call of it is nothing but its layers."""
    kind = type(layer)
    return (
        isinstance(layer, Sequential)
        and kind.forward is Sequential.forward
        and kind.__call__ is Sequential.__call__
    )


def _times(layer: Any, dt: Any) -> dict[str, Any]:
    return {"dt": dt} if dt is not None and takes_dt(layer) else {}


def _is_recurrent(layer: Any) -> bool:
    return hasattr(layer, "initial_state")


def _recurrent(layer: Any, x: Any, beside: _Beside) -> tuple[Any, _Beside]:
    lengths, reset, dt = beside
    shape = np.shape(x)[:2]
    y, _, *shorter = layer(x, None, lengths, reset, **_times(layer, dt))
    if shorter:
        beside = _Beside(shorter[0], layer.joined_reset(reset), layer.joined_dt(dt, shape, lengths))
    return y, beside
