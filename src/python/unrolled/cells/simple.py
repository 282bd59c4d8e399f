"""Networks without gates: Jordan's, independently recurrent, leaky."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from unrolled.cells.activations import activation, number_of
from unrolled.cells.base import Recurrent
from unrolled.cells.lstm import LSTMState
from unrolled.cells.rnn import RNNState
from unrolled.checks import flag, number, one_of, size
from unrolled.tensor import Tensor


class JordanState(NamedTuple):
    """h: (B, O), the output of the step before."""

    h: Any


class Jordan(Recurrent):
    """Jordan network: the output of the step before comes back, not the hidden units.

        s[t] = phi(W_ih x[t] + W_hh y[t-1] + b)       hidden units (B, H)
        h[t] = psi(W_ho s[t] + b_o),    y[t] = h[t]   output (B, O), which is the state

    with W_hh (H, O) and W_ho (O, H).

    Args:
        input_size: features of x.
        hidden_size: hidden units H.
        output_size: features O of y; None: hidden_size.
        nonlinearity: phi: sigmoid, hard_sigmoid, tanh, relu, identity or softsign.
        output_nonlinearity: psi, one of the same.
        bias: whether there are b and b_o.
        dtype: float32 or float64.
        rng: source of the initial values; None: a new one.
        recompute: whether training keeps only a part of the steps at a time, see `Recurrent`.

    Source: M. I. Jordan, Attractor dynamics and parallelism in a connectionist sequential machine, Cognitive Science
    Society 1986.
    """

    gates = ("s",)
    matrices = ("W_hh", "W_ho")
    vectors = ("b_o",)
    State = JordanState

    b_o: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        output_size: int | None = None,
        nonlinearity: str = "tanh",
        output_nonlinearity: str = "tanh",
        bias: bool = True,
        dtype: Any = np.float32,
        rng: np.random.Generator | None = None,
        recompute: bool | int = False,
    ) -> None:
        given = hidden_size if output_size is None else size("Jordan", "output_size", output_size)
        self._output_size = given
        self.nonlinearity = activation("Jordan", "nonlinearity", nonlinearity)
        self.output_nonlinearity = activation("Jordan", "output_nonlinearity", output_nonlinearity)
        super().__init__(input_size, hidden_size, bias=bias, dtype=dtype, rng=rng, recompute=recompute)

    def _make_parameters(self, rng: np.random.Generator) -> None:
        super()._make_parameters(rng)
        self.W_hh = self._recurrent_matrix(rng, 1, columns=self.output_size)
        self.W_ho = self._recurrent_matrix(rng, 1, rows=self.output_size)
        self.b_o = self._vector(self.output_size) if self.bias else None

    def _gate_blocks(self, name: str) -> int:
        return 1  # also in W_ho, whose rows are outputs

    @property
    def output_size(self) -> int:
        """Features of y."""
        return self._output_size

    def _state_sizes(self) -> tuple[int, ...]:
        return (self.output_size,)

    def _slots(self) -> dict[str, int]:
        return {}  # its hidden units are a stream

    def _streams(self) -> dict[str, int]:
        return {"s": 0}

    @property
    def _kernel(self) -> str:
        return "jordan"

    def _options(self) -> list[float]:
        return [number_of(self.nonlinearity), number_of(self.output_nonlinearity)]


class IndRNN(Recurrent):
    """Independently recurrent network: every unit sees its own past only.

        h[t] = phi(W_ih x[t] + w_hh * h[t-1] + b),    y[t] = h[t]

    with w_hh (H,), which starts uniform in 0 .. 1.

    Args:
        input_size: features of x.
        hidden_size: hidden units.
        nonlinearity: phi: sigmoid, hard_sigmoid, tanh, relu, identity or softsign.
        bias: whether there is b.
        dtype: float32 or float64.
        rng: source of the initial values; None: a new one.
        recompute: whether training keeps only a part of the steps at a time, see `Recurrent`.

    Source: S. Li et al., Independently recurrent neural network (IndRNN), CVPR 2018.
    """

    gates = ("h",)
    matrices = ()
    vectors = ("w_hh",)
    State = RNNState

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        nonlinearity: str = "relu",
        bias: bool = True,
        dtype: Any = np.float32,
        rng: np.random.Generator | None = None,
        recompute: bool | int = False,
    ) -> None:
        self.nonlinearity = activation("IndRNN", "nonlinearity", nonlinearity)
        super().__init__(input_size, hidden_size, bias=bias, dtype=dtype, rng=rng, recompute=recompute)

    def _make_parameters(self, rng: np.random.Generator) -> None:
        super()._make_parameters(rng)
        self.w_hh = self._vector(self.hidden_size)
        self.w_hh._data[...] = rng.uniform(0, 1, self.hidden_size)

    def _slots(self) -> dict[str, int]:
        return {}  # its only sum is its state

    @property
    def _kernel(self) -> str:
        return "ind_rnn"

    def _options(self) -> list[float]:
        return [number_of(self.nonlinearity)]


KINDS = ("scalar", "unit", "matrix")


class LeakyRNN(Recurrent):
    """Leaky network: the bridge from Elman's network to the LSTM, whose gates are constants.

        g[t] = phi(W_ih x[t] + W_hh h[t-1] + b)
        c[t] = a c[t-1] + s g[t]
        h[t] = tanh(c[t]),    y[t] = h[t]

    With a = 0, s = 1 and phi the identity it is Elman's. a and s are each one number (1,), one per unit (H,) or a
    matrix (H, H), which start at `decay` and `gain` (times the identity).

    Args:
        input_size: features of x.
        hidden_size: hidden units.
        decay: initial a.
        gain: initial s.
        a: "scalar", "unit" or "matrix".
        s: the same for s.
        learned: whether a and s are trained.
        nonlinearity: phi: sigmoid, hard_sigmoid, tanh, relu, identity or softsign.
        bias: whether there is b.
        dtype: float32 or float64.
        rng: source of the initial values; None: a new one.
        recompute: whether training keeps only a part of the steps at a time, see `Recurrent`.

    Source: H. Jaeger, M. Lukosevicius, D. Popovici, U. Siewert, Optimization and applications of echo state networks
    with leaky-integrator neurons, Neural Networks 20, 2007.
    """

    gates = ("g",)
    State = LSTMState

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        decay: float = 0.9,
        gain: float = 1.0,
        a: str = "scalar",
        s: str = "scalar",
        learned: bool = True,
        nonlinearity: str = "identity",
        bias: bool = True,
        dtype: Any = np.float32,
        rng: np.random.Generator | None = None,
        recompute: bool | int = False,
    ) -> None:
        self.decay, self.gain = number("LeakyRNN", "decay", decay), number("LeakyRNN", "gain", gain)
        self.kinds = one_of("LeakyRNN", "a", a, KINDS), one_of("LeakyRNN", "s", s, KINDS)
        self.learned = flag("LeakyRNN", "learned", learned)
        self.nonlinearity = activation("LeakyRNN", "nonlinearity", nonlinearity)
        super().__init__(input_size, hidden_size, bias=bias, dtype=dtype, rng=rng, recompute=recompute)
        if not self.learned:
            self.freeze("[as]")

    @property
    def matrices(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the recurrent matrices."""
        return ("W_hh", *(name for name, kind in zip("as", self.kinds, strict=True) if kind == "matrix"))

    @property
    def vectors(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the numbers, one or one per unit."""
        return tuple(name for name, kind in zip("as", self.kinds, strict=True) if kind != "matrix")

    def _make_parameters(self, rng: np.random.Generator) -> None:
        super()._make_parameters(rng)
        for name, kind, start in zip("as", self.kinds, (self.decay, self.gain), strict=True):
            H = self.hidden_size
            shapes = {"scalar": np.ones(1), "unit": np.ones(H), "matrix": np.eye(H)}
            values = (start * shapes[kind]).astype(self.dtype)
            setattr(self, name, Tensor(values, requires_grad=True))

    @property
    def _kernel(self) -> str:
        native = {"scalar": "shared", "unit": "unit", "matrix": "full"}
        return "leaky_rnn_" + "_".join(native[kind] for kind in self.kinds)

    def _options(self) -> list[float]:
        return [number_of(self.nonlinearity)]
