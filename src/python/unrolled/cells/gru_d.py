"""A gated recurrent unit for inputs with missing values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from unrolled.cells.continuous import FadingState
from unrolled.cells.fading import FADING_VECTORS, Fading
from unrolled.cells.regular import Gated, GatedOptions
from unrolled.tensor import Tensor

if TYPE_CHECKING:
    from typing_extensions import Unpack


class GRUD(Fading, Gated):
    """GRU-D: a gated recurrent unit whose inputs and hidden state fade while values are missing.

    An element of x is missing where it is NaN, or where the argument `mask` of the call is False.

        gap[t] = dt[t] + gap[t-1] where x[t-1] is missing, dt[t] where not       time since a feature was seen
        v = exp(-max(0, w_gx * gap + b_gx))                                      what is left of it
        X = x[t] where seen; v * last + (1 - v) * mean where missing             last: what was seen last
        q = exp(-max(0, W_gh gap + b_gh)) * h[t-1]                               hidden state, faded
        r = sigmoid(W_r X + V_r m + U_r q + b_r)                                 m: 1 where seen, else 0
        z = sigmoid(W_z X + V_z m + U_z q + b_z)                                 update gate: keeps the past
        n = tanh(W_n X + V_n m + U_n (r * q) + b_n)                              candidate
        h[t] = (1 - z) * n + z * q,    y[t] = h[t]

    with W_ih = [W_r V_r; W_z V_z; W_n V_n] (3H, 2I), W_hh = [U_r; U_z; U_n], W_gh (H, I), b_gh (H,) and w_gx, b_gx,
    mean (I,). The paper's z takes the new: negate the rows of z. dt[t] is the time between the steps t - 1 and t, in
    either direction; dt[0] is that since the state (the paper has 0 there). The state is (h, x, age): x is what was
    seen last less the mean, age the time since then, both (B, I); of a feature that was never seen, X is the mean.

    Args:
        input_size: features of x.
        hidden_size: hidden units.
        mean: (I,), the initial mean, such as that of the training data; None: zeros.
        learn_mean: whether it is trained.
        bias: whether there are b and b_gh.
        dtype: float32 or float64.
        rng: source of the initial values; None: a new one.
        options: those of every gated cell, see `Gated`.

    Source: Z. Che, S. Purushotham, K. Cho, D. Sontag, Y. Liu, Recurrent neural networks for multivariate time series
    with missing values, Scientific Reports 8, 2018.
    """

    gates = ("r", "z", "n")
    matrices = ("W_hh", "W_gh")
    vectors = (*FADING_VECTORS, "b_gh")
    State = FadingState
    _past_gate = ("z", 1)

    W_gh: Tensor
    b_gh: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        mean: Any = None,
        learn_mean: bool = True,
        bias: bool = True,
        dtype: Any = np.float32,
        rng: np.random.Generator | None = None,
        **options: Unpack[GatedOptions],
    ) -> None:
        super().__init__(input_size, hidden_size, bias=bias, dtype=dtype, rng=rng, **options)
        self._make_fading(mean, learn_mean)

    @property
    def _input_row(self) -> int:
        return 2 * self.input_size

    def _make_parameters(self, rng: np.random.Generator) -> None:
        super()._make_parameters(rng)
        self.W_gh = self._glorot_matrix(rng, 1, self.input_size)
        self.b_gh = self._vector(self.hidden_size) if self.bias else None

    @property
    def recurrent_matrices(self) -> tuple[str, ...]:
        """Names of the matrices that multiply what comes from the step before; not W_gh, which multiplies times."""
        return ("W_hh",)

    @property
    def _kernel(self) -> str:
        return "gru_d"
