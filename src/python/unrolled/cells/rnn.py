"""The Elman network."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from unrolled.cells.base import Recurrent
from unrolled.checks import one_of

NONLINEARITIES = ("tanh", "relu", "sigmoid", "identity")


class RNNState(NamedTuple):
    """h: (B, H)."""

    h: Any


class RNN(Recurrent):
    """Elman network.

        h[t] = phi(W_ih x[t] + W_hh h[t-1] + b),    y[t] = h[t]

    With state="pre" the state is kept before the nonlinearity; the outputs are the same if the states correspond:

        h[t] = W_ih x[t] + W_hh phi(h[t-1]) + b,    y[t] = phi(h[t])

    Args:
        input_size: features of x.
        hidden_size: hidden units.
        nonlinearity: phi, "tanh", "relu", "sigmoid" or "identity".
        state: "post" or "pre".
        bias: whether there is b.
        dtype: float32 or float64.
        rng: source of the initial values; None: a new one.
        recompute: whether training keeps only a part of the steps at a time, see `Recurrent`.

    Sources: J. L. Elman, Finding structure in time, Cognitive Science 14, 1990; R. Pascanu, T. Mikolov, Y. Bengio,
    On the difficulty of training recurrent neural networks, ICML 2013 (state="pre").
    """

    gates = ("h",)
    State = RNNState

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        nonlinearity: str = "tanh",
        *,
        state: str = "post",
        bias: bool = True,
        dtype: Any = np.float32,
        rng: np.random.Generator | None = None,
        recompute: bool | int = False,
    ) -> None:
        self.nonlinearity = one_of("RNN", "nonlinearity", nonlinearity, NONLINEARITIES)
        self.state = one_of("RNN", "state", state, ("post", "pre"))
        super().__init__(input_size, hidden_size, bias=bias, dtype=dtype, rng=rng, recompute=recompute)

    @property
    def _output_is_state(self) -> bool:  # type: ignore[override]
        return self.state == "post"

    def _slots(self) -> dict[str, int]:
        return {}  # its only sum is its state

    @property
    def _kernel(self) -> str:
        return f"rnn_pre_{self.nonlinearity}" if self.state == "pre" else f"rnn_{self.nonlinearity}"
