"""Cells whose gates do not multiply the past by a matrix: all their products run over the whole sequence at once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from unrolled.cells.gru import GRUState
from unrolled.cells.regular import Gated
from unrolled.tensor import Tensor


class MinimalGRU(Gated):
    """minGRU: a gated unit whose gate and candidate do not see the past.

        z = sigmoid(W_z x[t] + b_z)                       keeps the past
        n = W_n x[t] + b_n                                candidate
        h[t] = z * h[t-1] + (1 - z) * n,    y[t] = h[t]

    with W_ih = [W_z; W_n]. The paper's z takes the new: negate the rows of z.

    Args:
        input_size: features of x.
        hidden_size: hidden units.
        bias: whether there is b.
        dtype: float32 or float64.
        rng: source of the initial values; None: a new one.
        options: those of every gated cell, see `Gated`.

    Source: L. Feng et al., Were RNNs all we needed?, 2024.
    """

    gates = ("z", "n")
    matrices = ()
    State = GRUState

    @property
    def _kernel(self) -> str:
        return "minimal_gru"


class MinimalLSTM(Gated):
    """minLSTM: forget and input gate divided by their sum, and a candidate, that do not see the past.

        f = sigmoid(W_f x[t] + b_f)                       forget gate
        i = sigmoid(W_i x[t] + b_i)                       input gate
        n = W_n x[t] + b_n                                candidate
        h[t] = (f * h[t-1] + i * n) / (f + i),    y[t] = h[t]

    with W_ih = [W_f; W_i; W_n].

    Args:
        input_size: features of x.
        hidden_size: hidden units.
        bias: whether there is b.
        dtype: float32 or float64.
        rng: source of the initial values; None: a new one.
        options: those of every gated cell, see `Gated`.

    Source: L. Feng et al., Were RNNs all we needed?, 2024.
    """

    gates = ("f", "i", "n")
    matrices = ()
    State = GRUState

    @property
    def _kernel(self) -> str:
        return "minimal_lstm"


class SRUState(NamedTuple):
    """c: (B, H)."""

    c: Any


class SRU(Gated):
    """Simple recurrent unit: a light recurrence and a highway connection around it.

        n = W_n x[t] + b_n                                candidate
        f = sigmoid(W_f x[t] + v_f * c[t-1] + b_f)        forget gate
        r = sigmoid(W_r x[t] + v_r * c[t-1] + b_r)        highway gate
        s = W_s x[t] + b_s                                the way around
        c[t] = f * c[t-1] + (1 - f) * n
        h[t] = r * c[t] + (1 - r) * s,    y[t] = h[t]

    with W_ih = [W_n; W_f; W_r; W_s] and v_f, v_r (H,). The state is c alone. The paper has s = x where the sizes are
    equal; this is its form for any sizes.

    Args:
        input_size: features of x.
        hidden_size: hidden units.
        bias: whether there is b.
        dtype: float32 or float64.
        rng: source of the initial values; None: a new one.
        options: those of every gated cell, see `Gated`.

    Source: T. Lei, Y. Zhang, S. I. Wang, H. Dai, Y. Artzi, Simple recurrent units for highly parallelizable recurrence,
    EMNLP 2018.
    """

    gates = ("n", "f", "r", "s")
    matrices = ()
    vectors = ("v_f", "v_r")
    State = SRUState

    v_f: Tensor
    v_r: Tensor

    def _make_parameters(self, rng: np.random.Generator) -> None:
        super()._make_parameters(rng)
        self.v_f, self.v_r = self._vector(self.hidden_size), self._vector(self.hidden_size)

    @property
    def _kernel(self) -> str:
        return "sru"
