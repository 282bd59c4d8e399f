"""Networks in continuous time."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from unrolled.cells.activations import activation, number_of
from unrolled.cells.fading import FADING_VECTORS, Fading
from unrolled.cells.rnn import RNNState
from unrolled.checks import flag, one_of, positive
from unrolled.tensor import Tensor


class FadingState(NamedTuple):
    """h (B, H); x (B, I), what was seen last of each feature, less its mean; age (B, I), the time since then."""

    h: Any
    x: Any
    age: Any


class CTRNN(Fading):
    """Continuous-time recurrent network, tau dh/dt = -h + phi(W_ih x + W_hh h + b), by steps of any length dt.

        g = phi(W_ih x[t] + W_hh h[t-1] + b)                 drive
        k = dt / tau                                         method="euler": explicit Euler
        k = 1 - exp(-dt / tau)                               method="exponential": exact while g does not change
        h[t] = h[t-1] + k * (g - h[t-1]),    y[t] = h[t]

    with tau (H,) > 0, which optimizers and `ur.init` keep at `least_tau` or more: below 0 h would run away from g. x[t]
    acts during the step of length dt[t] that ends in h[t], in the reverse direction too.
    Both methods are of first order in dt (observed between dt = 1/25 and 1/200: 1.01 and 1.00). Explicit Euler is
    stable for dt < 2 tau at most, exponential Euler at any dt.

    With missing=True, elements of x may be missing: NaN, or where the argument `mask` of the call is False. They are
    what was seen last of the feature, fading to a learned mean with the time since then, as in `GRUD`:

        x[t] = mean + exp(-max(0, w_gx * gap + b_gx)) * (last seen - mean),    gap: time since then

    with w_gx, b_gx, mean (I,). The state is then (h, x, age), see `FadingState`, and dt[t] is the time between the
    steps t - 1 and t in either direction; dt[0] is that since the state.

    Args:
        input_size: features of x.
        hidden_size: hidden units.
        tau: initial time constant of every unit.
        least_tau: the smallest that training makes of it; None: a hundredth of `tau`.
        method: "euler" or "exponential".
        nonlinearity: phi: sigmoid, hard_sigmoid, tanh, relu, identity or softsign.
        missing: whether elements of x may be missing.
        mean: (I,), the initial mean, such as that of the training data; None: zeros.
        learn_mean: whether it is trained.
        bias: whether there is b.
        dtype: float32 or float64.
        rng: source of the initial values; None: a new one.
        recompute: whether training keeps only a part of the steps at a time, see `Recurrent`.

    Sources: K. Funahashi, Y. Nakamura, Approximation of dynamical systems by continuous time recurrent neural networks,
    Neural Networks 6, 1993; missing values: Z. Che et al., Recurrent neural networks for multivariate time series with
    missing values, Scientific Reports 8, 2018.
    """

    gates = ("g",)

    tau: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        tau: float = 1.0,
        least_tau: float | None = None,
        method: str = "euler",
        nonlinearity: str = "tanh",
        missing: bool = False,
        mean: Any = None,
        learn_mean: bool = True,
        bias: bool = True,
        dtype: Any = np.float32,
        rng: np.random.Generator | None = None,
        recompute: bool | int = False,
    ) -> None:
        self._initial_tau = positive("CTRNN", "tau", tau)
        self.least_tau = tau / 100 if least_tau is None else positive("CTRNN", "least_tau", least_tau)
        if self.least_tau > tau:
            raise ValueError(f"CTRNN: least_tau is {least_tau}, expected at most {tau}, the initial tau")
        self.method = one_of("CTRNN", "method", method, ("euler", "exponential"))
        self.nonlinearity = activation("CTRNN", "nonlinearity", nonlinearity)
        self.missing = flag("CTRNN", "missing", missing)
        if mean is not None and not missing:
            raise ValueError("CTRNN: mean is given, expected None because missing=False")
        super().__init__(input_size, hidden_size, bias=bias, dtype=dtype, rng=rng, recompute=recompute)
        if self.missing:
            self._make_fading(mean, learn_mean)

    @property
    def State(self) -> Any:
        """The named tuple of the states."""
        return FadingState if self.missing else RNNState

    @property
    def vectors(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the parameters beside W_ih, W_hh and b."""
        return (*FADING_VECTORS, "tau") if self.missing else ("tau",)

    def _make_parameters(self, rng: np.random.Generator) -> None:
        super()._make_parameters(rng)
        self.tau = self._vector(self.hidden_size, self._initial_tau)
        self.tau._least = self.least_tau

    @property
    def _kernel(self) -> str:
        return "ctrnn_fading" if self.missing else "ctrnn"

    def _options(self) -> list[float]:
        return [number_of(self.nonlinearity), float(self.method == "exponential")]
