"""One time step of every cell in NumPy, written from its paper, not from the library.

A step takes the parameters by name, one input (B, I) and the state as a tuple of arrays; it returns the output (B, O)
and the next state. Steps are analytic wherever they are differentiable and accept complex numbers: one complex
evaluation then gives an exact directional derivative.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

Array = np.ndarray
Parameters = Mapping[str, Array]
State = tuple[Array, ...]
Step = Callable[[Parameters, Array, State], tuple[Array, State]]


def sigmoid(a: Array) -> Array:
    return 0.5 * (1 + np.tanh(0.5 * a))  # equal to 1 / (1 + exp(-a)), without overflow


def relu(a: Array) -> Array:
    return np.where(a.real > 0, a, 0)


def bias(p: Parameters, name: str) -> Array | float:
    return p.get(name, 0.0)  # cells made with bias=False have none


def elman(activation: Callable[[Array], Array]) -> Step:
    """Elman (1990), Finding structure in time: h = f(W_ih x + W_hh h' + b)."""

    def step(p: Parameters, x: Array, state: State) -> tuple[Array, State]:
        (h,) = state
        h = activation(x @ p["W_ih"].T + h @ p["W_hh"].T + bias(p, "b"))
        return h, (h,)

    return step


def lstm(p: Parameters, x: Array, state: State) -> tuple[Array, State]:
    """Gers et al. (2000), Learning to forget: c = f c' + i g, h = o tanh(c). Gate blocks i, f, g, o."""
    h, c = state
    a = x @ p["W_ih"].T + h @ p["W_hh"].T + bias(p, "b")
    i, f, g, o = np.split(a, 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return h, (h, c)


def gru(p: Parameters, x: Array, state: State) -> tuple[Array, State]:
    """Cho et al. (2014), the reset gate after the product as in cuDNN. Blocks r, z, n; z keeps the past."""
    (h,) = state
    x_r, x_z, x_n = np.split(x @ p["W_ih"].T + bias(p, "b"), 3, axis=1)
    h_r, h_z, h_n = np.split(h @ p["W_hh"].T, 3, axis=1)
    r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
    n = np.tanh(x_n + r * (h_n + bias(p, "b_hn")))
    h = (1 - z) * n + z * h
    return h, (h,)


def gru_reset_before(p: Parameters, x: Array, state: State) -> tuple[Array, State]:
    """Cho et al. (2014), Learning phrase representations: the candidate sees U (r * h'). Blocks r, z, n."""
    (h,) = state
    x_r, x_z, x_n = np.split(x @ p["W_ih"].T + bias(p, "b"), 3, axis=1)
    U_r, U_z, U_n = np.split(p["W_hh"], 3, axis=0)
    r, z = sigmoid(x_r + h @ U_r.T), sigmoid(x_z + h @ U_z.T)
    n = np.tanh(x_n + (r * h) @ U_n.T)
    h = (1 - z) * n + z * h
    return h, (h,)


def peephole_lstm(p: Parameters, x: Array, state: State) -> tuple[Array, State]:
    """Gers et al. (2002), Learning precise timing: i and f see c', o sees the new c."""
    h, c = state
    i, f, g, o = np.split(x @ p["W_ih"].T + h @ p["W_hh"].T + bias(p, "b"), 4, axis=1)
    c = sigmoid(f + p["p_f"] * c) * c + sigmoid(i + p["p_i"] * c) * np.tanh(g)
    h = sigmoid(o + p["p_o"] * c) * np.tanh(c)
    return h, (h, c)


def peephole_lstm_previous(p: Parameters, x: Array, state: State) -> tuple[Array, State]:
    """The form in which all four sums see c'."""
    h, c = state
    a = x @ p["W_ih"].T + h @ p["W_hh"].T + bias(p, "b")
    i, f, g, o = (s + p[f"p_{name}"] * c for s, name in zip(np.split(a, 4, axis=1), "ifgo", strict=True))
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return h, (h, c)


def coupled_lstm(p: Parameters, x: Array, state: State) -> tuple[Array, State]:
    """Greff et al. (2017), LSTM: a search space odyssey: CIFG, f = 1 - i."""
    h, c = state
    i, g, o = np.split(x @ p["W_ih"].T + h @ p["W_hh"].T + bias(p, "b"), 3, axis=1)
    c = (1 - sigmoid(i)) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return h, (h, c)
