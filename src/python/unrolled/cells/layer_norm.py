"""Cells with layer normalisation inside the step."""

from __future__ import annotations

import numpy as np

from unrolled.cells.base import Recurrent
from unrolled.cells.gru import GRUState
from unrolled.cells.lstm import ForgetBias, LSTMState
from unrolled.cells.regular import Gated
from unrolled.cells.rnn import RNNState
from unrolled.tensor import Tensor


class _LayerNorm(Recurrent):
    """Gains of the normalised sums of W_ih x and W_hh h, ones at first."""

    g_ih: Tensor
    g_hh: Tensor

    def _make_parameters(self, rng: np.random.Generator) -> None:
        super()._make_parameters(rng)
        size = len(self.gates) * self.hidden_size
        self.g_ih, self.g_hh = self._vector(size, 1.0), self._vector(size, 1.0)


class LayerNormRNN(_LayerNorm):
    """Elman network with layer normalisation of both sums.

        h[t] = tanh(LN(W_ih x[t]; g_ih) + LN(W_hh h[t-1]; g_hh) + b),    y[t] = h[t]
        LN(r; g) = g * (r - mean(r)) / sqrt(variance(r) + 1e-5) over the units

    Args:
        input_size: features of x.
        hidden_size: hidden units.
        bias: whether there is b.
        dtype: float32 or float64.
        rng: source of the initial values; None: a new one.

    Source: J. L. Ba, J. R. Kiros, G. E. Hinton, Layer normalization, 2016.
    """

    gates = ("h",)
    vectors = ("g_ih", "g_hh")
    State = RNNState

    def _slots(self) -> dict[str, int]:
        return {}  # its only sum is its state

    @property
    def _kernel(self) -> str:
        return "layer_norm_rnn"


class LayerNormLSTM(_LayerNorm, ForgetBias):
    """Long short-term memory with layer normalisation of W_ih x, of W_hh h and of c.

        [i; f; g; o] = LN(W_ih x[t]; g_ih) + LN(W_hh h[t-1]; g_hh) + b      each LN over all 4H sums
        i, f, o through sigmoid, g through tanh
        c[t] = f * c[t-1] + i * g
        h[t] = o * tanh(LN(c[t]; g_c) + b_c),    y[t] = h[t]
        LN(r; g) = g * (r - mean(r)) / sqrt(variance(r) + 1e-5)

    with g_ih, g_hh (4H,) and g_c, b_c (H,). The paper's two shifts of the sums are one, b.

    Args:
        input_size: features of x.
        hidden_size: hidden units.
        forget_bias: initial value of b_f.
        bias: whether there are b and b_c.
        dtype: float32 or float64.
        rng: source of the initial values; None: a new one.
        options: those of every gated cell, see `Gated`.

    Source: J. L. Ba, J. R. Kiros, G. E. Hinton, Layer normalization, 2016 (equations 20 to 22 and 29 to 31).
    """

    gates = ("i", "f", "g", "o")
    vectors = ("g_ih", "g_hh", "g_c", "b_c")
    State = LSTMState

    g_c: Tensor
    b_c: Tensor | None

    def _make_parameters(self, rng: np.random.Generator) -> None:
        super()._make_parameters(rng)
        self.g_c = self._vector(self.hidden_size, 1.0)
        self.b_c = self._vector(self.hidden_size) if self.bias else None

    @property
    def _kernel(self) -> str:
        return "layer_norm_lstm"


class LayerNormGRU(_LayerNorm, Gated):
    """Gated recurrent unit with layer normalisation of W_ih x and of W_hh h, gates and candidate apart.

        [r; z] = sigmoid(LN(W_rz x[t]; g_ih) + LN(U_rz h[t-1]; g_hh) + b_rz)            LN over 2H sums
        n = tanh(LN(W_n x[t]; g_ih) + b_n + r * (LN(U_n h[t-1]; g_hh) + b_hn))          LN over H sums
        h[t] = (1 - z) * n + z * h[t-1],    y[t] = h[t]
        LN(r; g) = g * (r - mean(r)) / sqrt(variance(r) + 1e-5)

    with g_ih, g_hh (3H,), the gates in the order r z n, and b_hn (H,).

    Args:
        input_size: features of x.
        hidden_size: hidden units.
        bias: whether there are b and b_hn.
        dtype: float32 or float64.
        rng: source of the initial values; None: a new one.
        options: those of every gated cell, see `Gated`.

    Source: J. L. Ba, J. R. Kiros, G. E. Hinton, Layer normalization, 2016 (supplement, skip-thoughts).
    """

    gates = ("r", "z", "n")
    vectors = ("g_ih", "g_hh", "b_hn")
    State = GRUState
    _past_gate = ("z", 1)

    b_hn: Tensor | None

    def _slots(self) -> dict[str, int]:
        return {"r": 1, "z": 2, "n": 0}

    def _make_parameters(self, rng: np.random.Generator) -> None:
        super()._make_parameters(rng)
        self.b_hn = self._vector(self.hidden_size) if self.bias else None

    @property
    def _kernel(self) -> str:
        return "layer_norm_gru"
