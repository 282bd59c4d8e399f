"""A feed-forward network of highway layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from unrolled import checks, init, ops
from unrolled.module import Module
from unrolled.tensor import Tensor

NONLINEARITIES = ("tanh", "relu")


class HighwayNetwork(Module):
    """A recurrence turned by 90 degrees: depth takes the place of time, and a gate carries.

        a[0] = x
        z = sigmoid(W_z a[t-1] + b_z)                  carry gate, as the update gate of a GRU
        h' = f(W_h a[t-1] + b_h)
        a[t] = z a[t-1] + (1 - z) h',    t = 1 .. depth,    y = a[depth]

    Gradients pass through depth along z as they pass through time along the gate of a GRU, so that networks of a
    hundred layers train. With tied layers it is a gated recurrent network without input after its start. The loop
    over depth runs in C++, forward and backward; threads share the rows. x has any number of leading axes: on a
    sequence (T, B, H) every step is one row. `Highway` is the connection around a recurrent layer.

    Args:
        size: H, units of x, of every layer and of y.
        depth: layers.
        tied: whether all layers share one W and b.
        nonlinearity: f, "tanh" or "relu".
        carry_bias: initial value of b_z. Positive, so that a new network carries x to its end.
        bias: whether there is b.
        dtype: float32 or float64.
        rng: source of the initial W, orthogonal for each block of each layer.

    Attributes:
        W: (depth, or 1 where tied, 2 * H, H): W_z above W_h.
        b: (depth or 1, 2 * H) or None.

    Shapes: x and y (..., H).

    Source: R. K. Srivastava, K. Greff, J. Schmidhuber, Training very deep networks, NIPS 2015 (whose transform gate
    is 1 - z).
    """

    def __init__(
        self,
        size: int,
        depth: int,
        *,
        tied: bool = False,
        nonlinearity: str = "tanh",
        carry_bias: float = 2.0,
        bias: bool = True,
        dtype: Any = np.float32,
        rng: np.random.Generator | None = None,
    ) -> None:
        who = "HighwayNetwork"
        self.size = checks.size(who, "size", size)
        self.depth = checks.size(who, "depth", depth)
        self.tied = checks.flag(who, "tied", tied)
        self.nonlinearity = checks.one_of(who, "nonlinearity", nonlinearity, NONLINEARITIES)
        self.carry_bias = checks.number(who, "carry_bias", carry_bias)
        self.bias = checks.flag(who, "bias", bias)
        self.dtype = checks.float_dtype(who, dtype)
        rng = checks.generator(who, rng)
        H, L = self.size, 1 if self.tied else self.depth
        W = [init.orthogonal_values((2 * H, H), blocks=2, rng=rng, dtype=self.dtype) for _ in range(L)]
        self.W = Tensor(np.stack(W), requires_grad=True)
        start = np.zeros((L, 2 * H), self.dtype)
        start[:, :H] = self.carry_bias
        self.b = Tensor(start, requires_grad=True) if self.bias else None

    def forward(self, x: Any) -> Tensor:
        """x (..., H) -> y (..., H)."""
        x = checks.features("HighwayNetwork", x, self.dtype, "size", self.size)
        flat = ops.reshape(x, (x.size // self.size, self.size))
        relu = int(self.nonlinearity == "relu")
        y = ops.apply("highway", flat, self.W, self.b, depth=self.depth, relu=relu)[0]
        return ops.reshape(y, x.shape)
