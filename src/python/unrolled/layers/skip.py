"""Connections that lead the input of a recurrent layer around it: Residual and Highway."""

from __future__ import annotations

from typing import Any

import numpy as np

from unrolled import checks, init, ops
from unrolled.layers.recurrent import takes_dt, with_dt, zero_padding
from unrolled.module import Module
from unrolled.tensor import Tensor, no_grad

Array = np.ndarray[Any, Any]


class Skip(Module):
    """What `Residual` and `Highway` share: the call, `step` and state of the layer inside, and a way around it.

    The output has the size of the layer's. Where its input has another, `projection=True` leads x through a
    matrix W (output_size, input_size); without one that is an error.
    """

    layer: Any
    W: Tensor | None

    def _wrap(self, layer: Any, projection: bool, rng: np.random.Generator) -> None:
        who = type(self).__name__
        checks.recurrent_layers(who, {"layer": layer})
        self.layer = layer
        self.projection = checks.flag(who, "projection", projection)
        if not projection and layer.input_size != layer.output_size:
            raise ValueError(
                f"{who}: the layer has input_size={layer.input_size} and output_size={layer.output_size}, "
                "expected equal ones; projection=True leads x through a matrix"
            )
        self.W = self._matrix(rng) if projection else None

    def _matrix(self, rng: np.random.Generator) -> Tensor:
        """A new matrix (output_size, input_size)."""
        shape = (self.output_size, self.input_size)
        return Tensor(
            init.glorot_uniform_values(shape, rng=rng, dtype=np.dtype(self.dtype)), requires_grad=True
        )

    @property
    def input_size(self) -> int:
        """Features of x."""
        return int(self.layer.input_size)

    @property
    def output_size(self) -> int:
        """Features of y."""
        return int(self.layer.output_size)

    @property
    def dtype(self) -> Any:
        """float32 or float64, that of all layers inside."""
        return self.layer.dtype

    @property
    def takes_dt(self) -> bool:
        """Whether the layer inside takes dt."""
        return takes_dt(self.layer)

    def forward(
        self,
        x: Any,
        state: Any = None,
        lengths: Any = None,
        reset: Any = None,
        *,
        reverse: bool = False,
        dt: Any = None,
    ) -> tuple[Tensor, Any]:
        """x (T, B, I) -> y (T, B, O) and the last state of the layer inside. Arguments as for a cell; dt where that
        layer takes it.
        """
        (times,) = with_dt(type(self).__name__, (self.layer,), dt)
        y, state = self.layer(x, state, lengths, reset, reverse=reverse, **times)
        return self._combine(zero_padding(x, lengths), y), state

    def step(self, x_t: Array, state: Any = None, dt: Any = None) -> tuple[Array, Any]:
        """x_t (B, I) -> y_t (B, O) and the next state, all plain arrays, without a tape."""
        (times,) = with_dt(type(self).__name__, (self.layer,), dt)
        y_t, state = self.layer.step(x_t, state, **times)
        with no_grad():
            return self._combine(Tensor(x_t), Tensor(y_t))._data, state

    def initial_state(self, batch_size: int) -> Any:
        """That of the layer inside."""
        return self.layer.initial_state(batch_size)

    def _around(self, x: Tensor) -> Tensor:
        return x if self.W is None else ops.linear(x, self.W)

    def _combine(self, x: Tensor, y: Tensor) -> Tensor:
        """The output, from x and the output y of the layer; 0 where both are."""
        raise NotImplementedError


class Residual(Skip):
    """A recurrent layer that learns what to add to its input.

        y[t] = x[t] + layer(x)[t]          y[t] = W x[t] + layer(x)[t]    with projection=True

    Beyond the length of a row, y is 0. State, `lengths`, `reset`, `reverse` and `step` are those of the layer.

    Args:
        layer: a cell, `Stack`, `Bidirectional` or another layer with one output per step.
        projection: whether x passes through W first; needed where the layer's sizes differ.
        rng: source of the initial W, Glorot uniform.

    Attributes:
        W: (output_size, input_size) or None.

    Source: K. He et al., Deep residual learning for image recognition, CVPR 2016.
    """

    def __init__(
        self, layer: Any, *, projection: bool = False, rng: np.random.Generator | None = None
    ) -> None:
        self._wrap(layer, projection, checks.generator("Residual", rng))

    def _combine(self, x: Tensor, y: Tensor) -> Tensor:
        return self._around(x) + y


class Highway(Skip):
    """A recurrent layer beside its input, and a gate that chooses between them.

        s = sigmoid(W_s x[t] + b_s)                               transform gate; 1 - s carries
        y[t] = s * layer(x)[t] + (1 - s) * x[t]                   (W x[t] with projection=True)

    Beyond the length of a row, y is 0. State, `lengths`, `reset`, `reverse` and `step` are those of the layer.
    For a highway network without time see `HighwayNetwork`.

    Args:
        layer: a cell, `Stack`, `Bidirectional` or another layer with one output per step.
        transform_bias: initial value of b_s. Negative, so that a new layer carries its input and a deep stack
            of them starts near the identity.
        projection: whether the carried x passes through W first; needed where the layer's sizes differ.
        rng: source of the initial W_s and W, Glorot uniform.

    Attributes:
        W_s: (output_size, input_size).
        b_s: (output_size,).
        W: (output_size, input_size) or None.

    Sources: R. K. Srivastava, K. Greff, J. Schmidhuber, Highway networks, 2015; between recurrent layers:
    Y. Zhang et al., Highway long short-term memory RNNs, ICASSP 2016 (who gate the cells of two layers;
    here the outputs are, so that any layer will do).
    """

    def __init__(
        self,
        layer: Any,
        *,
        transform_bias: float = -2.0,
        projection: bool = False,
        rng: np.random.Generator | None = None,
    ) -> None:
        rng = checks.generator("Highway", rng)
        self._wrap(layer, projection, rng)
        self.transform_bias = checks.number("Highway", "transform_bias", transform_bias)
        self.W_s = self._matrix(rng)
        self.b_s = Tensor(
            np.full(self.output_size, self.transform_bias, np.dtype(self.dtype)), requires_grad=True
        )

    def _combine(self, x: Tensor, y: Tensor) -> Tensor:
        s = ops.sigmoid(ops.linear(x, self.W_s, self.b_s))
        return s * y + (1 - s) * self._around(x)
