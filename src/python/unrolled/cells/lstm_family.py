"""Relatives of the LSTM with another cell: the first one, projected, multiplicative, with exponential gates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from unrolled.cells.base import Array
from unrolled.cells.lstm import ForgetBias, LSTMState
from unrolled.cells.regular import Gated, GatedOptions
from unrolled.checks import positive, size

if TYPE_CHECKING:
    from typing_extensions import Unpack


class LSTM1997(Gated):
    """Long short-term memory as it was first: no forget gate, squashing by scaled sigmoids.

        i = sigmoid(W_i x[t] + U_i h[t-1] + b_i)              input gate
        g = A tanh((W_g x[t] + U_g h[t-1] + b_g) / 2)         candidate: 4 sigmoid(a) - 2 for A = 2
        o = sigmoid(W_o x[t] + U_o h[t-1] + b_o)              output gate
        c[t] = c[t-1] + i * g
        h[t] = o * C tanh(c[t] / 2),    y[t] = h[t]           2 sigmoid(c) - 1 for C = 1

    with W_ih = [W_i; W_g; W_o] and W_hh = [U_i; U_g; U_o]. Nothing is forgotten: where sequences have no ends, `reset`
    empties the cell.

    Args:
        input_size: features of x.
        hidden_size: hidden units.
        candidate_range: A.
        output_range: C.
        bias: whether there is b.
        dtype: float32 or float64.
        rng: source of the initial values; None: a new one.
        options: those of every gated cell, see `Gated`.

    Source: S. Hochreiter, J. Schmidhuber, Long short-term memory, Neural Computation 9, 1997.
    """

    gates = ("i", "g", "o")
    State = LSTMState

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        candidate_range: float = 2.0,
        output_range: float = 1.0,
        bias: bool = True,
        dtype: Any = np.float32,
        rng: np.random.Generator | None = None,
        **options: Unpack[GatedOptions],
    ) -> None:
        self.candidate_range = positive("LSTM1997", "candidate_range", candidate_range)
        self.output_range = positive("LSTM1997", "output_range", output_range)
        super().__init__(input_size, hidden_size, bias=bias, dtype=dtype, rng=rng, **options)

    @property
    def _kernel(self) -> str:
        return "lstm_1997"

    def _shown(self, name: str, saved: Array) -> Array:
        return saved * saved.dtype.type(self.candidate_range) if name == "g" else saved

    def _options(self) -> list[float]:
        return [self.candidate_range, self.output_range]


class ProjectedLSTM(ForgetBias):
    """Long short-term memory with a recurrent projection: a wide cell, a narrow output.

        i = sigmoid(W_i x[t] + U_i h[t-1] + b_i)      input gate
        f = sigmoid(W_f x[t] + U_f h[t-1] + b_f)      forget gate
        g = tanh(W_g x[t] + U_g h[t-1] + b_g)         candidate
        o = sigmoid(W_o x[t] + U_o h[t-1] + b_o)      output gate
        c[t] = f * c[t-1] + i * g                     (B, H)
        h[t] = W_hr (o * tanh(c[t])),    y[t] = h[t]  (B, R), R = projection_size

    with W_ih = [W_i; W_f; W_g; W_o], W_hh = [U_i; U_f; U_g; U_o] (4H, R) and W_hr (R, H). PyTorch calls R proj_size.

    Args:
        input_size: features of x.
        hidden_size: units of the cell.
        projection_size: R, the features of y; None: half of hidden_size, rounded up.
        forget_bias: initial value of b_f.
        bias: whether there is b.
        dtype: float32 or float64.
        rng: source of the initial values; None: a new one.
        options: those of every gated cell, see `Gated`.

    Source: H. Sak, A. Senior, F. Beaufays, Long short-term memory recurrent neural network architectures for large
    scale acoustic modeling, Interspeech 2014.
    """

    gates = ("i", "f", "g", "o")
    matrices = ("W_hh", "W_hr")
    State = LSTMState

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        projection_size: int | None = None,
        forget_bias: float = 1.0,
        bias: bool = True,
        dtype: Any = np.float32,
        rng: np.random.Generator | None = None,
        **options: Unpack[GatedOptions],
    ) -> None:
        half = (size("ProjectedLSTM", "hidden_size", hidden_size) + 1) // 2
        self.projection_size = (
            half if projection_size is None else size("ProjectedLSTM", "projection_size", projection_size)
        )
        super().__init__(
            input_size, hidden_size, forget_bias=forget_bias, bias=bias, dtype=dtype, rng=rng, **options
        )

    def _make_parameters(self, rng: np.random.Generator) -> None:
        super()._make_parameters(rng)
        self.W_hh = self._recurrent_matrix(rng, 4, columns=self.projection_size)
        self.W_hr = self._recurrent_matrix(rng, 1, rows=self.projection_size)

    def _gate_blocks(self, name: str) -> int:
        return 1 if name == "W_hr" else super()._gate_blocks(name)  # the rows of W_hr are outputs

    @property
    def output_size(self) -> int:
        """Features of y: projection_size."""
        return self.projection_size

    def _state_sizes(self) -> tuple[int, ...]:
        return self.projection_size, self.hidden_size

    @property
    def _kernel(self) -> str:
        return "projected_lstm"


class MultiplicativeLSTM(ForgetBias):
    """Long short-term memory with another recurrent transition for every input.

        m = (W_m x[t] + b_m) * (W_hm h[t-1])          intermediate state
        i = sigmoid(W_i x[t] + V_i m + b_i)           input gate
        f = sigmoid(W_f x[t] + V_f m + b_f)           forget gate
        g = tanh(W_g x[t] + V_g m + b_g)              candidate
        o = sigmoid(W_o x[t] + V_o m + b_o)           output gate
        c[t] = f * c[t-1] + i * g
        h[t] = o * tanh(c[t]),    y[t] = h[t]

    with W_ih = [W_m; W_i; W_f; W_g; W_o], W_hm (H, H) and W_mh = [V_i; V_f; V_g; V_o] (4H, H).

    Args:
        input_size: features of x.
        hidden_size: hidden units.
        forget_bias: initial value of b_f.
        bias: whether there is b.
        dtype: float32 or float64.
        rng: source of the initial values; None: a new one.
        options: those of every gated cell, see `Gated`.

    Source: B. Krause, I. Murray, S. Renals, L. Lu, Multiplicative LSTM for sequence modelling, ICLR workshop 2017.
    """

    gates = ("m", "i", "f", "g", "o")
    matrices = ("W_hm", "W_mh")
    State = LSTMState

    def _make_parameters(self, rng: np.random.Generator) -> None:
        super()._make_parameters(rng)
        self.W_hm, self.W_mh = self._recurrent_matrix(rng, 1), self._recurrent_matrix(rng, 4)

    def _slots(self) -> dict[str, int]:
        return {name: k for k, name in enumerate(self.gates) if name != "m"}

    def _streams(self) -> dict[str, int]:
        return {"m": 1}  # behind c

    @property
    def _kernel(self) -> str:
        return "multiplicative_lstm"


class SLSTMState(NamedTuple):
    """h, c, n (normaliser), m (stabiliser): (B, H) each."""

    h: Any
    c: Any
    n: Any
    m: Any


class sLSTM(ForgetBias):  # noqa: N801 - the name of the paper
    """Long short-term memory with exponential gates, a normaliser and a stabiliser; one head.

        z = tanh(a_z),    o = sigmoid(a_o)            a = W x[t] + U h[t-1] + b of each gate
        m[t] = max(a_f + m[t-1], a_i)                 stabiliser: no exponential exceeds 1; a_i where n[t-1] = 0
        i = exp(a_i - m[t])                           input gate
        f = exp(a_f + m[t-1] - m[t])                  forget gate
        c[t] = f * c[t-1] + i * z
        n[t] = f * n[t-1] + i                         normaliser
        h[t] = o * c[t] / n[t],    y[t] = h[t]

    with W_ih = [W_i; W_f; W_z; W_o] and W_hh = [U_i; U_f; U_z; U_o]. A state given must have n >= 0. zoneout_c keeps
    c, n and m together; in evaluation the mean is that of c e^m and n e^m, which do not depend on the scale m.

    Args:
        input_size: features of x.
        hidden_size: hidden units.
        forget_bias: initial value of b_f.
        bias: whether there is b.
        dtype: float32 or float64.
        rng: source of the initial values; None: a new one.
        options: those of every gated cell, see `Gated`.

    Source: M. Beck et al., xLSTM: extended long short-term memory, NeurIPS 2024.
    """

    gates = ("i", "f", "z", "o")
    State = SLSTMState
    _least_starts: ClassVar[dict[str, float]] = {"n": 0.0}

    def _shown(self, name: str, saved: Array) -> Array:
        return np.minimum(saved, 1) if name == "f" else saved  # more only where the cell is empty

    @property
    def _kernel(self) -> str:
        return "slstm"
