"""Layers applied one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from unrolled.layers.recurrent import takes_dt, with_dt
from unrolled.module import Module


class Sequential(Module):
    """Applies modules or plain functions in order: `Sequential(Embedding(V, D), LSTM(D, H), Linear(H, V))`.

    Of a recurrent layer, which gives `(y, state)`, only y is passed on; `lengths`, `reset` and `dt` (where it is taken)
    go to every recurrent layer, behind a `Pyramid` those of its output. To start from a state or to keep the last
    one, write a Module. `layer = sequential[0]` gives a layer, `len` their number.
    """

    def __init__(self, *layers: Any) -> None:
        if not layers:
            raise ValueError("Sequential: there are no layers")
        for number, layer in enumerate(layers):
            if not callable(layer):
                raise TypeError(
                    f"Sequential: layer {number} is {type(layer).__name__}, which cannot be called"
                )
        self.layers = list(layers)

    @property
    def takes_dt(self) -> bool:
        """Whether any layer takes dt."""
        return takes_dt(*self.layers)

    def forward(self, x: Any, *, lengths: Any = None, reset: Any = None, dt: Any = None) -> Any:
        """The output of the last layer."""
        for layer, takes in zip(self.layers, with_dt("Sequential", self.layers, dt), strict=True):
            times = {"dt": dt} if takes else {}
            if hasattr(layer, "initial_state"):
                shape = np.shape(x)[:2]
                x, _, *shorter = layer(x, None, lengths, reset, **times)
                if shorter:
                    dt = layer.joined_dt(dt, shape, lengths)
                    lengths, reset = shorter[0], layer.joined_reset(reset)
            elif isinstance(layer, Sequential):
                x = layer(x, lengths=lengths, reset=reset, **times)
            else:
                x = layer(x)
        return x

    def __getitem__(self, number: int) -> Any:
        return self.layers[number]

    def __len__(self) -> int:
        return len(self.layers)
