"""Long short-term memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from unrolled.cells.activations import activation, number_of
from unrolled.cells.regular import Gated, GatedOptions
from unrolled.checks import kind_of, number, positive

if TYPE_CHECKING:
    from typing_extensions import Unpack

# The nonlinearities of the gates, of the candidate and of the cell's output, in the order of the native cell.
USUAL = {"i": "sigmoid", "f": "sigmoid", "g": "tanh", "o": "sigmoid", "h": "tanh"}


class LSTMState(NamedTuple):
    """h, c: (B, H) each."""

    h: Any
    c: Any


class ForgetBias(Gated):
    """A cell with a forget gate f, whose bias starts at `forget_bias`."""

    _past_gate = ("f", 1)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        forget_bias: float = 1.0,
        bias: bool = True,
        dtype: Any = np.float32,
        rng: np.random.Generator | None = None,
        **options: Unpack[GatedOptions],
    ) -> None:
        self.forget_bias = number(type(self).__name__, "forget_bias", forget_bias)
        super().__init__(input_size, hidden_size, bias=bias, dtype=dtype, rng=rng, **options)

    def _make_parameters(self, rng: np.random.Generator) -> None:
        super()._make_parameters(rng)
        self._set_bias("f", self.forget_bias)


class LSTM(ForgetBias):
    """Long short-term memory with forget gate.

        i = sigmoid(W_i x[t] + U_i h[t-1] + b_i)      input gate
        f = sigmoid(W_f x[t] + U_f h[t-1] + b_f)      forget gate
        g = tanh(W_g x[t] + U_g h[t-1] + b_g)         candidate
        o = sigmoid(W_o x[t] + U_o h[t-1] + b_o)      output gate
        c[t] = f * c[t-1] + i * g
        h[t] = o * tanh(c[t]),    y[t] = h[t]

    with W_ih = [W_i; W_f; W_g; W_o] and W_hh = [U_i; U_f; U_g; U_o]. Other nonlinearities may take the place of the
    sigmoids (keys "i", "f", "o" of `activations`), of the tanh of the candidate ("g") and of the cell's output
    ("h"): sigmoid, hard_sigmoid (0.2 a + 0.5 cut to 0 .. 1), tanh, relu, identity, softsign.

    Args:
        input_size: features of x.
        hidden_size: hidden units.
        forget_bias: initial value of b_f. One keeps the gate open, so that early gradients reach far
            (Jozefowicz et al. 2015).
        cell_clip: c[t] is cut to -cell_clip .. cell_clip; None: it is not.
        activations: nonlinearities that are not the usual ones, as {"g": "relu", "h": "identity"}.
        bias: whether there is b.
        dtype: float32 or float64.
        rng: source of the initial values; None: a new one.
        options: those of every gated cell, see `Gated`.

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
        cell_clip: float | None = None,
        activations: Mapping[str, str] | None = None,
        bias: bool = True,
        dtype: Any = np.float32,
        rng: np.random.Generator | None = None,
        **options: Unpack[GatedOptions],
    ) -> None:
        self.cell_clip = None if cell_clip is None else positive("LSTM", "cell_clip", cell_clip)
        self.activations = _activations(activations)
        super().__init__(
            input_size, hidden_size, forget_bias=forget_bias, bias=bias, dtype=dtype, rng=rng, **options
        )

    @property
    def _kernel(self) -> str:
        plain = self.activations == USUAL and self.cell_clip is None
        return "lstm" if plain else "lstm_options"

    def _options(self) -> list[float]:
        if self._kernel == "lstm":
            return []
        clip = math.inf if self.cell_clip is None else self.cell_clip
        return [*(number_of(self.activations[name]) for name in USUAL), clip]


def _activations(given: Any) -> dict[str, str]:
    """All five nonlinearities."""
    if given is None:
        return dict(USUAL)
    if not isinstance(given, Mapping):
        raise TypeError(
            f"LSTM: activations is a {kind_of(given)}, expected a mapping of {', '.join(USUAL)} to names"
        )
    for name, value in given.items():
        if name not in USUAL:
            raise ValueError(f"LSTM: activations has {name!r}, expected {', '.join(USUAL)}")
        activation("LSTM", f"activations[{name!r}]", value)
    return {**USUAL, **given}
