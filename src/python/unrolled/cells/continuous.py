"""Networks in continuous time."""

from __future__ import annotations

from typing import Any

import numpy as np

from unrolled.cells.activations import activation, number_of
from unrolled.cells.base import Array, Recurrent
from unrolled.cells.rnn import RNNState
from unrolled.checks import floats, kind_of, one_of, positive
from unrolled.tensor import Tensor


class CTRNN(Recurrent):
    """Continuous-time recurrent network, tau dh/dt = -h + phi(W_ih x + W_hh h + b), by steps of any length dt.

        g = phi(W_ih x[t] + W_hh h[t-1] + b)                 drive
        k = dt / tau                                         method="euler": explicit Euler
        k = 1 - exp(-dt / tau)                               method="exponential": exact while g does not change
        h[t] = h[t-1] + k * (g - h[t-1]),    y[t] = h[t]

    with tau (H,) > 0. x[t] acts during the step of length dt[t] that ends in h[t]. Explicit Euler is stable for
    dt < 2 tau at most, exponential Euler at any dt.

    Args:
        input_size: features of x.
        hidden_size: hidden units.
        tau: initial time constant of every unit.
        method: "euler" or "exponential".
        nonlinearity: phi: sigmoid, hard_sigmoid, tanh, relu, identity or softsign.
        bias: whether there is b.
        dtype: float32 or float64.
        rng: source of the initial values; None: a new one.
        recompute: whether training keeps only a part of the steps at a time, see `Recurrent`.

    Source: K. Funahashi, Y. Nakamura, Approximation of dynamical systems by continuous time recurrent neural networks,
    Neural Networks 6, 1993.
    """

    gates = ("g",)
    vectors = ("tau",)
    State = RNNState

    tau: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        tau: float = 1.0,
        method: str = "euler",
        nonlinearity: str = "tanh",
        bias: bool = True,
        dtype: Any = np.float32,
        rng: np.random.Generator | None = None,
        recompute: bool | int = False,
    ) -> None:
        self._initial_tau = positive("CTRNN", "tau", tau)
        self.method = one_of("CTRNN", "method", method, ("euler", "exponential"))
        self.nonlinearity = activation("CTRNN", "nonlinearity", nonlinearity)
        super().__init__(input_size, hidden_size, bias=bias, dtype=dtype, rng=rng, recompute=recompute)

    def _make_parameters(self, rng: np.random.Generator) -> None:
        super()._make_parameters(rng)
        self.tau = self._vector(self.hidden_size, self._initial_tau)

    @property
    def _kernel(self) -> str:
        return "ctrnn"

    def _options(self) -> list[float]:
        return [number_of(self.nonlinearity), float(self.method == "exponential")]

    def forward(
        self,
        x: Any,
        state: Any = None,
        lengths: Any = None,
        reset: Any = None,
        *,
        reverse: bool = False,
        dt: Any = 1.0,
    ) -> tuple[Tensor, Any]:
        """Runs over a sequence, as every cell does.

        Args:
            x: (T, B, I).
            state: RNNState (or tuple) of a (B, H) array or Tensor; None: zeros.
            lengths: valid steps of each row; None: all T.
            reset: (T, B) bool, where the state is set to zero before the step.
            reverse: from each row's last valid step to its first.
            dt: length of the steps, 0 or more: a number, (T,), or (T, B). No gradient flows to it.

        Returns:
            y (T, B, H) and the last state.
        """
        if isinstance(dt, (int, float)) and dt == 1:
            return super().forward(x, state, lengths, reset, reverse=reverse)
        shape = np.shape(x)[:2]
        return self._run(x, state, lengths, reset, reverse, self._steps(dt, shape))

    def step(self, x_t: Array, state: Any = None, dt: Any = 1.0) -> tuple[Array, Any]:
        """One time step without a tape: x_t (B, I) -> y_t (B, H) and the next state. dt: a number or (B,)."""
        if isinstance(dt, (int, float)) and dt == 1:
            return super().step(x_t, state)
        lengths = dt if np.ndim(dt) == 0 else np.asarray(dt)[None]
        return self._careful_step(x_t, state, self._steps(lengths, (1, *np.shape(x_t)[:1])))

    def _steps(self, dt: Any, shape: tuple[int, ...]) -> Array:
        """dt for every step and row."""
        if isinstance(dt, (str, bool)) or dt is None:
            raise TypeError(f"CTRNN: dt is a {kind_of(dt)}, expected a number or an array")
        array = np.asarray(dt)
        if array.dtype.kind not in "iuf":
            raise TypeError(f"CTRNN: dt has dtype {array.dtype}, expected numbers")
        if array.ndim == 1 and array.shape == shape[:1]:
            array = array[:, None]
        elif array.ndim and array.shape != shape:
            raise ValueError(f"CTRNN: dt has shape {array.shape}, expected a number, {shape[:1]} or {shape}")
        if not (np.isfinite(array) & (array >= 0)).all():
            raise ValueError("CTRNN: dt has a negative or infinite number, expected 0 or more")
        steps = np.ascontiguousarray(np.broadcast_to(array, shape), self.dtype)
        return floats("CTRNN", "dt", steps, self.dtype, shape, f"{shape}")
