"""Gated units beside the GRU: one gate, bistable, deep in one step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from unrolled.cells.base import Array
from unrolled.cells.gru import GRUState
from unrolled.cells.regular import Gated, GatedOptions
from unrolled.checks import number, one_of, size
from unrolled.tensor import Tensor

if TYPE_CHECKING:
    from typing_extensions import Unpack


class MGU(Gated):
    """Minimal gated unit: one gate forgets and resets.

        f = sigmoid(W_f x[t] + U_f h[t-1] + b_f)          gate: takes the new
        n = tanh(W_n x[t] + U_n (f * h[t-1]) + b_n)       candidate
        h[t] = (1 - f) * h[t-1] + f * n,    y[t] = h[t]

    with W_ih = [W_f; W_n] and W_hh = [U_f; U_n].

    Args:
        input_size: features of x.
        hidden_size: hidden units.
        bias: whether there is b.
        dtype: float32 or float64.
        rng: source of the initial values; None: a new one.
        options: those of every gated cell, see `Gated`.

    Source: G.-B. Zhou, J. Wu, C.-L. Zhang, Z.-H. Zhou, Minimal gated unit for recurrent neural networks, International
    Journal of Automation and Computing 13, 2016.
    """

    gates = ("f", "n")
    State = GRUState
    _past_gate = ("f", -1)

    @property
    def _kernel(self) -> str:
        return "mgu"


class BistableGRU(Gated):
    """Bistable recurrent cell: a unit whose feedback a exceeds 1 has two stable states and keeps one for ever.

        a = 1 + tanh(W_a x[t] + u_a * h[t-1] + b_a)       feedback, 0 to 2
        c = sigmoid(W_c x[t] + u_c * h[t-1] + b_c)        update gate: keeps the past
        n = tanh(W_n x[t] + a * h[t-1] + b_n)             candidate
        h[t] = c * h[t-1] + (1 - c) * n,    y[t] = h[t]

    with W_ih = [W_a; W_c; W_n] and u_a, u_c (H,). With recurrent="matrix", the neuromodulated cell, W_hh = [U_a; U_c]
    (2H, H) takes the place of u_a, u_c.

    Args:
        input_size: features of x.
        hidden_size: hidden units.
        recurrent: "diagonal" or "matrix".
        bias: whether there is b.
        dtype: float32 or float64.
        rng: source of the initial values; None: a new one.
        options: those of every gated cell, see `Gated`.

    Source: N. Vecoven, D. Ernst, G. Drion, A bio-inspired bistable recurrent cell allows for long-lasting memory,
    PLOS ONE 16, 2021.
    """

    gates = ("a", "c", "n")
    State = GRUState
    _past_gate = ("c", 1)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        recurrent: str = "diagonal",
        bias: bool = True,
        dtype: Any = np.float32,
        rng: np.random.Generator | None = None,
        **options: Unpack[GatedOptions],
    ) -> None:
        self.recurrent = one_of("BistableGRU", "recurrent", recurrent, ("diagonal", "matrix"))
        super().__init__(input_size, hidden_size, bias=bias, dtype=dtype, rng=rng, **options)

    @property
    def matrices(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the recurrent matrices."""
        return ("W_hh",) if self.recurrent == "matrix" else ()

    @property
    def vectors(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the diagonal weights."""
        return () if self.recurrent == "matrix" else ("u_a", "u_c")

    def _make_parameters(self, rng: np.random.Generator) -> None:
        super()._make_parameters(rng)
        if self.recurrent == "matrix":
            self.W_hh = self._recurrent_matrix(rng, 2)
        for name in self.vectors:
            setattr(self, name, self._vector(self.hidden_size, 1.0))

    def _shown(self, name: str, saved: Array) -> Array:
        return saved + 1 if name == "a" else saved

    @property
    def _kernel(self) -> str:
        return "bistable_gru_full" if self.recurrent == "matrix" else "bistable_gru"


class RecurrentHighway(Gated):
    """Recurrent highway network: `depth` highway layers in every step.

        s_0 = h[t-1]
        n_l = tanh(W_n x[t] if l = 1, + U_n,l s_(l-1) + b_n,l)           candidate of layer l = 1 .. depth
        t_l = sigmoid(W_t x[t] if l = 1, + U_t,l s_(l-1) + b_t,l)        transform gate; 1 - t_l carries
        s_l = t_l * n_l + (1 - t_l) * s_(l-1)
        h[t] = s_depth,    y[t] = h[t]

    with W_ih = [W_n; W_t], W_hh = [U_n,1; U_t,1; U_n,2; ...] (2 depth H, H), b = [b_n,1; b_t,1] and
    b_deep = [b_n,2; b_t,2; ...] (2 (depth - 1) H,).

    Args:
        input_size: features of x.
        hidden_size: hidden units.
        depth: layers in a step, 1 to 5.
        transform_bias: initial value of all b_t; below zero most of the past is carried at first.
        bias: whether there are b and b_deep.
        dtype: float32 or float64.
        rng: source of the initial values; None: a new one.
        options: those of every gated cell, see `Gated`.

    Source: J. G. Zilly, R. K. Srivastava, J. Koutnik, J. Schmidhuber, Recurrent highway networks, ICML 2017.
    """

    gates = ("n", "t")
    State = GRUState
    _past_gate = ("t", -1)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        depth: int = 3,
        transform_bias: float = -2.0,
        bias: bool = True,
        dtype: Any = np.float32,
        rng: np.random.Generator | None = None,
        **options: Unpack[GatedOptions],
    ) -> None:
        self.depth = size("RecurrentHighway", "depth", depth)
        if self.depth > 5:
            raise ValueError(f"RecurrentHighway: depth is {depth}, expected 1 to 5")
        self.transform_bias = number("RecurrentHighway", "transform_bias", transform_bias)
        super().__init__(input_size, hidden_size, bias=bias, dtype=dtype, rng=rng, **options)

    @property
    def vectors(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the biases that no input has."""
        return ("b_deep",) if self.depth > 1 else ()

    def _make_parameters(self, rng: np.random.Generator) -> None:
        super()._make_parameters(rng)
        self.W_hh = self._recurrent_matrix(rng, 2 * self.depth)
        if self.depth > 1:
            self.b_deep: Tensor | None = None
            if self.bias:
                self.b_deep = self._vector(2 * (self.depth - 1) * self.hidden_size)
        self._set_bias("t", self.transform_bias)

    def _set_bias(self, gate: str, value: float) -> None:
        super()._set_bias(gate, value)
        if self.depth > 1 and self.b_deep is not None:
            self.b_deep._data.reshape(-1, 2, self.hidden_size)[:, self.gates.index(gate)] = value
            self.b_deep.touch()

    def _slots(self) -> dict[str, int]:
        return {f"{name}_{k // 2 + 1}": k for k, name in enumerate(self.gates * self.depth)}

    @property
    def _kernel(self) -> str:
        return f"recurrent_highway_{self.depth}"
