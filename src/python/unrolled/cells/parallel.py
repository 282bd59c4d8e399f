"""Cells whose gates do not multiply the past by a matrix: all their products run over the whole sequence at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from unrolled.cells.gru import GRUState
from unrolled.cells.regular import Gated, GatedOptions
from unrolled.checks import one_of, size
from unrolled.tensor import Tensor

if TYPE_CHECKING:
    from typing_extensions import Unpack


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
    _past_gate = ("z", 1)

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
    _past_gate = ("f", 1)

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
    _past_gate = ("f", 1)

    v_f: Tensor
    v_r: Tensor

    def _make_parameters(self, rng: np.random.Generator) -> None:
        super()._make_parameters(rng)
        self.v_f, self.v_r = self._vector(self.hidden_size), self._vector(self.hidden_size)

    @property
    def _kernel(self) -> str:
        return "sru"


class QRNNState(NamedTuple):
    """c: (B, H); x: (B, (width - 1) * I), the last inputs, oldest first."""

    c: Any
    x: Any


class QRNN(Gated):
    """Quasi-recurrent network: a convolution over the last inputs makes the gates, the recurrence is elementwise.

        X = [x[t-width+1]; ...; x[t]]                     zeros before the sequence
        z = tanh(W_z X + b_z)                             candidate
        f = sigmoid(W_f X + b_f)                          forget gate
        o = sigmoid(W_o X + b_o)                          output gate, in "fo" and "ifo"
        i = sigmoid(W_i X + b_i)                          input gate, in "ifo"
        c[t] = f * c[t-1] + (1 - f) * z                   f * c[t-1] + i * z with pooling="ifo"
        h[t] = o * c[t],    y[t] = h[t]                   h[t] = c[t] with pooling="f"

    with W_ih = [W_z; W_f; W_o; W_i] (G*H, width * I), the columns of the oldest input first. The state is (c, x): the
    last width - 1 inputs are a part of it, so that steps and parts of a sequence give what the whole does. zoneout_c is
    the paper's zoneout, which sets f to 1 (with "ifo", i to 0 as well).

    Args:
        input_size: features of x.
        hidden_size: hidden units.
        pooling: "f", "fo" or "ifo".
        width: how many steps the convolution sees.
        bias: whether there is b.
        dtype: float32 or float64.
        rng: source of the initial values; None: a new one.
        options: those of every gated cell, see `Gated`.

    Source: J. Bradbury, S. Merity, C. Xiong, R. Socher, Quasi-recurrent neural networks, ICLR 2017.
    """

    matrices = ()
    State = QRNNState
    _past_gate = ("f", 1)
    _makes_input = True

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        pooling: str = "fo",
        width: int = 2,
        bias: bool = True,
        dtype: Any = np.float32,
        rng: np.random.Generator | None = None,
        **options: Unpack[GatedOptions],
    ) -> None:
        self.pooling = one_of("QRNN", "pooling", pooling, ("f", "fo", "ifo"))
        self.width = size("QRNN", "width", width)
        super().__init__(input_size, hidden_size, bias=bias, dtype=dtype, rng=rng, **options)

    @property
    def gates(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the candidate and the gates."""
        return ("z", *(gate for gate in "foi" if gate in self.pooling))

    @property
    def _input_row(self) -> int:
        return self.width * self.input_size

    def _state_sizes(self) -> tuple[int, ...]:
        return self.hidden_size, (self.width - 1) * self.input_size

    def _width_of(self, state: str, size: int) -> str:
        if state == "x":
            return f"{self.width - 1} inputs of input_size={self.input_size}"
        return super()._width_of(state, size)

    @property
    def _kernel(self) -> str:
        return f"qrnn_{self.pooling}"

    def _options(self) -> list[float]:
        return [float(self.width - 1)]
