"""Long short-term memory."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from unrolled.cells.base import Recurrent
from unrolled.checks import number


class LSTMState(NamedTuple):
    """h, c: (B, H) each."""

    h: Any
    c: Any


class LSTM(Recurrent):
    """Long short-term memory with forget gate.

        i = sigmoid(W_i x[t] + U_i h[t-1] + b_i)      input gate
        f = sigmoid(W_f x[t] + U_f h[t-1] + b_f)      forget gate
        g = tanh(W_g x[t] + U_g h[t-1] + b_g)         candidate
        o = sigmoid(W_o x[t] + U_o h[t-1] + b_o)      output gate
        c[t] = f * c[t-1] + i * g
        h[t] = o * tanh(c[t]),    y[t] = h[t]

    with W_ih = [W_i; W_f; W_g; W_o] and W_hh = [U_i; U_f; U_g; U_o].

    Args:
        input_size: features of x.
        hidden_size: hidden units.
        forget_bias: initial value of b_f. One keeps the gate open, so that early gradients reach far
            (Jozefowicz et al. 2015).
        bias: whether there is b.
        dtype: float32 or float64.
        rng: source of the initial values; None: a new one.

    Sources: S. Hochreiter, J. Schmidhuber, Long short-term memory, Neural Computation 9, 1997; F. A. Gers,
    J. Schmidhuber, F. Cummins, Learning to forget, Neural Computation 12, 2000.
    """

    gates = ("i", "f", "g", "o")
    State = LSTMState

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        forget_bias: float = 1.0,
        bias: bool = True,
        dtype: Any = np.float32,
        rng: np.random.Generator | None = None,
    ) -> None:
        self.forget_bias = number("LSTM", "forget_bias", forget_bias)
        super().__init__(input_size, hidden_size, bias=bias, dtype=dtype, rng=rng)
        self._set_bias("f", self.forget_bias)

    @property
    def _kernel(self) -> str:
        return "lstm"
