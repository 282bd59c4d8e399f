"""Relatives of the LSTM whose gates are joined in other ways: peepholes, coupled gates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from unrolled.cells.lstm import ForgetBias, LSTMState
from unrolled.cells.regular import Gated, GatedOptions
from unrolled.checks import one_of
from unrolled.tensor import Tensor

if TYPE_CHECKING:
    from typing_extensions import Unpack


class PeepholeLSTM(ForgetBias):
    """Long short-term memory whose gates see the cell through diagonal weights.

        i = sigmoid(W_i x[t] + U_i h[t-1] + p_i * c[t-1] + b_i)      input gate
        f = sigmoid(W_f x[t] + U_f h[t-1] + p_f * c[t-1] + b_f)      forget gate
        g = tanh(W_g x[t] + U_g h[t-1] + b_g)                        candidate
        c[t] = f * c[t-1] + i * g
        o = sigmoid(W_o x[t] + U_o h[t-1] + p_o * c[t] + b_o)        output gate
        h[t] = o * tanh(c[t]),    y[t] = h[t]

    with W_ih = [W_i; W_f; W_g; W_o], W_hh = [U_i; U_f; U_g; U_o] and p_i, p_f, p_o (H,), which start at zero. With
    peepholes="previous" all four sums see c[t-1]: p_o * c[t-1] instead of p_o * c[t], and p_g * c[t-1] in g.
    `FullPeepholeLSTM` has matrices in their place.

    Args:
        input_size: features of x.
        hidden_size: hidden units.
        peepholes: "output" (the output gate sees c[t]) or "previous" (it and the candidate see c[t-1]).
        forget_bias: initial value of b_f.
        bias: whether there is b.
        dtype: float32 or float64.
        rng: source of the initial values; None: a new one.
        options: those of every gated cell, see `Gated`.

    Source: F. A. Gers, N. N. Schraudolph, J. Schmidhuber, Learning precise timing with LSTM recurrent networks,
    JMLR 3, 2002.
    """

    gates = ("i", "f", "g", "o")
    State = LSTMState

    p_i: Tensor
    p_f: Tensor
    p_o: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        peepholes: str = "output",
        forget_bias: float = 1.0,
        bias: bool = True,
        dtype: Any = np.float32,
        rng: np.random.Generator | None = None,
        **options: Unpack[GatedOptions],
    ) -> None:
        self.peepholes = one_of("PeepholeLSTM", "peepholes", peepholes, ("output", "previous"))
        super().__init__(
            input_size, hidden_size, forget_bias=forget_bias, bias=bias, dtype=dtype, rng=rng, **options
        )

    @property
    def vectors(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the peepholes."""
        return ("p_i", "p_f", "p_o", "p_g") if self.peepholes == "previous" else ("p_i", "p_f", "p_o")

    def _make_parameters(self, rng: np.random.Generator) -> None:
        super()._make_parameters(rng)
        for name in self.vectors:
            setattr(self, name, self._vector(self.hidden_size))

    @property
    def _kernel(self) -> str:
        return "peephole_lstm_previous" if self.peepholes == "previous" else "peephole_lstm"


class CoupledLSTM(Gated):
    """Long short-term memory whose input gate also forgets: f = 1 - i.

        i = sigmoid(W_i x[t] + U_i h[t-1] + b_i)      input gate
        g = tanh(W_g x[t] + U_g h[t-1] + b_g)         candidate
        o = sigmoid(W_o x[t] + U_o h[t-1] + b_o)      output gate
        c[t] = (1 - i) * c[t-1] + i * g
        h[t] = o * tanh(c[t]),    y[t] = h[t]

    with W_ih = [W_i; W_g; W_o] and W_hh = [U_i; U_g; U_o].

    Args:
        input_size: features of x.
        hidden_size: hidden units.
        bias: whether there is b.
        dtype: float32 or float64.
        rng: source of the initial values; None: a new one.
        options: those of every gated cell, see `Gated`.

    Source: K. Greff et al., LSTM: a search space odyssey, IEEE Transactions on Neural Networks and Learning Systems 28,
    2017 (CIFG).
    """

    gates = ("i", "g", "o")
    State = LSTMState
    _past_gate = ("i", -1)

    @property
    def _kernel(self) -> str:
        return "coupled_lstm"


class FullPeepholeLSTM(ForgetBias):
    """Long short-term memory whose gates see the cell through full matrices: sums over x, h and c joined.

        i = sigmoid(W_i x[t] + U_i h[t-1] + V_i c[t-1] + b_i)      input gate
        f = sigmoid(W_f x[t] + U_f h[t-1] + V_f c[t-1] + b_f)      forget gate
        g = tanh(W_g x[t] + U_g h[t-1] + b_g)                      candidate
        c[t] = f * c[t-1] + i * g
        o = sigmoid(W_o x[t] + U_o h[t-1] + V_o c[t] + b_o)        output gate
        h[t] = o * tanh(c[t]),    y[t] = h[t]

    with W_ih = [W_i; W_f; W_g; W_o], W_hh = [U_i; U_f; U_g; U_o] and W_ch = [V_i; V_f; V_o] (3H, H). `PeepholeLSTM` has
    diagonal V.

    Args:
        input_size: features of x.
        hidden_size: hidden units.
        forget_bias: initial value of b_f.
        bias: whether there is b.
        dtype: float32 or float64.
        rng: source of the initial values; None: a new one.
        options: those of every gated cell, see `Gated`.

    Sources: F. A. Gers, N. N. Schraudolph, J. Schmidhuber, Learning precise timing with LSTM recurrent networks,
    JMLR 3, 2002; A. Graves, Generating sequences with recurrent neural networks, 2013.
    """

    gates = ("i", "f", "g", "o")
    matrices = ("W_hh", "W_ch")
    State = LSTMState

    def _make_parameters(self, rng: np.random.Generator) -> None:
        super()._make_parameters(rng)
        self.W_ch = self._recurrent_matrix(rng, 3)

    @property
    def _kernel(self) -> str:
        return "full_peephole_lstm"
