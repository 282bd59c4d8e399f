"""Steps in NumPy of the cells that keep something of their inputs, from their papers; see `steps.py`."""

from __future__ import annotations

import numpy as np

from steps import Array, Parameters, State, Step, bias, sigmoid


def qrnn(pooling: str) -> Step:
    """Bradbury et al. (2017), equations 2 to 6: the window of inputs as one row, the oldest first."""

    def step(p: Parameters, x: Array, state: State) -> tuple[Array, State]:
        c, past = state
        window = np.hstack([past, x])
        z, f, *o_i = np.split(window @ p["W_ih"].T + bias(p, "b"), 1 + len(pooling), axis=1)
        z, f = np.tanh(z), sigmoid(f)
        c = f * c + (sigmoid(o_i[1]) if pooling == "ifo" else 1 - f) * z
        h = c if pooling == "f" else sigmoid(o_i[0]) * c
        return h, (c, window[:, x.shape[1] :])

    return step


def decay(weighted: Array) -> Array:
    return np.exp(-np.where(weighted.real > 0, weighted, 0))


def imputed(p: Parameters, x: Array, last: Array, age: Array, dt: Array | float = 1.0) -> tuple[Array, ...]:
    """Che et al. (2018), equations 3 to 5: the input, the mask, the gaps, and the two states after the step. `last` is
    x' less the mean."""
    seen = ~np.isnan(x.real)
    x = np.where(seen, x, 0)
    gap = age + dt
    left = decay(p["w_gx"] * gap + p["b_gx"])
    filled = np.where(seen, x, left * (last + p["mean"]) + (1 - left) * p["mean"])
    return filled, 1.0 * seen, gap, np.where(seen, x - p["mean"], last), np.where(seen, 0, gap)


def gru_d(
    p: Parameters, x: Array, state: State, dt: Array | float = 1.0, mask: Array | float = 1.0
) -> tuple[Array, State]:
    """Che et al. (2018), equations 6 to 10, with z for their 1 - z. `mask`: of the faded h in r and z."""
    h, last, age = state
    x, m, gap, last, age = imputed(p, x, last, age, dt)
    h = decay(gap @ p["W_gh"].T + bias(p, "b_gh")) * h
    a_r, a_z, a_n = np.split(np.hstack([x, m]) @ p["W_ih"].T + bias(p, "b"), 3, axis=1)
    U_r, U_z, U_n = np.split(p["W_hh"], 3)
    r, z = sigmoid(a_r + (mask * h) @ U_r.T), sigmoid(a_z + (mask * h) @ U_z.T)
    h = (1 - z) * np.tanh(a_n + (r * h) @ U_n.T) + z * h
    return h, (h, last, age)


def ctrnn_fading(p: Parameters, x: Array, state: State, dt: Array | float = 1.0) -> tuple[Array, State]:
    """Explicit Euler on the input of Che et al. (2018)."""
    h, last, age = state
    x, _, _, last, age = imputed(p, x, last, age, dt)
    h = h + dt * (-h + np.tanh(x @ p["W_ih"].T + h @ p["W_hh"].T + bias(p, "b"))) / p["tau"]
    return h, (h, last, age)
