"""Gated recurrent units, with the reset after and before the product."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from unrolled.cells.base import Array
from unrolled.cells.regular import Gated, GatedOptions
from unrolled.checks import one_of
from unrolled.tensor import Tensor

if TYPE_CHECKING:
    from typing_extensions import Unpack


class GRUState(NamedTuple):
    """h: (B, H)."""

    h: Any


class _UpdateGate(Gated):
    """A cell whose gate z keeps the past, or takes the new with `update="new"`."""

    update: str

    def _shown(self, name: str, saved: Array) -> Array:
        return 1 - saved if name == "z" and self.update == "new" else saved  # saved: what z keeps

    @property
    def _past_gate(self) -> tuple[str, int]:  # type: ignore[override]
        return ("z", -1 if self.update == "new" else 1)


class GRU(_UpdateGate):
    """Gated recurrent unit, reset applied after the recurrent product.

        r = sigmoid(W_r x[t] + U_r h[t-1] + b_r)                reset gate
        z = sigmoid(W_z x[t] + U_z h[t-1] + b_z)                update gate: keeps the past
        n = tanh(W_n x[t] + b_n + r * (U_n h[t-1] + b_hn))      candidate
        h[t] = (1 - z) * n + z * h[t-1],    y[t] = h[t]

    with W_ih = [W_r; W_z; W_n], W_hh = [U_r; U_z; U_n], and b_hn (H,) apart from b. PyTorch, Keras (its default) and
    cuDNN have this form; `GRUResetBefore` has the paper's. Where z is said to take the new value, give
    update="new": h[t] = z * n + (1 - z) * h[t-1].

    Args:
        input_size: features of x.
        hidden_size: hidden units.
        update: what the gate z is said to do, "keep" the past or take the "new".
        bias: whether there are b and b_hn.
        dtype: float32 or float64.
        rng: source of the initial values; None: a new one.
        options: those of every gated cell, see `Gated`.

    Source: K. Cho et al., Learning phrase representations using RNN encoder-decoder, EMNLP 2014.
    """

    gates = ("r", "z", "n")
    vectors = ("b_hn",)
    State = GRUState

    b_hn: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        update: str = "keep",
        bias: bool = True,
        dtype: Any = np.float32,
        rng: np.random.Generator | None = None,
        **options: Unpack[GatedOptions],
    ) -> None:
        self.update = one_of("GRU", "update", update, ("keep", "new"))
        super().__init__(input_size, hidden_size, bias=bias, dtype=dtype, rng=rng, **options)

    def _slots(self) -> dict[str, int]:
        return {"r": 1, "z": 2, "n": 0}

    def _make_parameters(self, rng: np.random.Generator) -> None:
        super()._make_parameters(rng)
        self.b_hn = self._vector(self.hidden_size) if self.bias else None

    @property
    def _kernel(self) -> str:
        return "gru_takes_new" if self.update == "new" else "gru"


class GRUResetBefore(_UpdateGate):
    """Gated recurrent unit, reset applied before the recurrent product: the form of the paper.

        r = sigmoid(W_r x[t] + U_r h[t-1] + b_r)          reset gate
        z = sigmoid(W_z x[t] + U_z h[t-1] + b_z)          update gate: keeps the past
        n = tanh(W_n x[t] + U_n (r * h[t-1]) + b_n)       candidate
        h[t] = (1 - z) * n + z * h[t-1],    y[t] = h[t]

    with W_ih = [W_r; W_z; W_n] and W_hh = [U_r; U_z; U_n]. Not a flag of `GRU`, because the products differ.

    Args:
        input_size: features of x.
        hidden_size: hidden units.
        update: what the gate z is said to do, "keep" the past or take the "new".
        bias: whether there is b.
        dtype: float32 or float64.
        rng: source of the initial values; None: a new one.
        options: those of every gated cell, see `Gated`.

    Source: K. Cho et al., Learning phrase representations using RNN encoder-decoder, EMNLP 2014.
    """

    gates = ("r", "z", "n")
    State = GRUState

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        update: str = "keep",
        bias: bool = True,
        dtype: Any = np.float32,
        rng: np.random.Generator | None = None,
        **options: Unpack[GatedOptions],
    ) -> None:
        self.update = one_of("GRUResetBefore", "update", update, ("keep", "new"))
        super().__init__(input_size, hidden_size, bias=bias, dtype=dtype, rng=rng, **options)

    @property
    def _kernel(self) -> str:
        return "gru_reset_before_takes_new" if self.update == "new" else "gru_reset_before"
