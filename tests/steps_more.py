"""Steps in NumPy of the cells beside Elman, LSTM and GRU, from their papers; see `steps.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from steps import Array, Parameters, State, Step, bias, relu, sigmoid


def hard_sigmoid(a: Array) -> Array:
    return np.where(a.real < -2.5, 0, np.where(a.real > 2.5, 1, 0.2 * a + 0.5))


def softsign(a: Array) -> Array:
    return a / (1 + np.where(a.real < 0, -a, a))


def identity(a: Array) -> Array:
    return a


def sums(p: Parameters, x: Array, h: Array, gates: int) -> list[Array]:
    return np.split(x @ p["W_ih"].T + h @ p["W_hh"].T + bias(p, "b"), gates, axis=1)


def inputs(p: Parameters, x: Array, gates: int) -> list[Array]:
    return np.split(x @ p["W_ih"].T + bias(p, "b"), gates, axis=1)


def elman_pre(activation: Callable[[Array], Array]) -> Step:
    """Pascanu et al. (2013), the state before the nonlinearity."""

    def step(p: Parameters, x: Array, state: State) -> tuple[Array, State]:
        h = x @ p["W_ih"].T + activation(state[0]) @ p["W_hh"].T + bias(p, "b")
        return activation(h), (h,)

    return step


def lstm_options(p: Parameters, x: Array, state: State) -> tuple[Array, State]:
    """An LSTM with i hard_sigmoid, f softsign, g relu, o identity, h tanh, and cells cut at 0.4."""
    i, f, g, o = sums(p, x, state[0], 4)
    c = softsign(f) * state[1] + hard_sigmoid(i) * relu(g)
    c = np.where(c.real > 0.4, 0.4, np.where(c.real < -0.4, -0.4, c))
    h = o * np.tanh(c)
    return h, (h, c)


def lstm_1997(p: Parameters, x: Array, state: State) -> tuple[Array, State]:
    """Hochreiter & Schmidhuber (1997): g(x) = 4 sigmoid(x) - 2, h(x) = 2 sigmoid(x) - 1, c = c' + i g."""
    i, g, o = sums(p, x, state[0], 3)
    c = state[1] + sigmoid(i) * (4 * sigmoid(g) - 2)
    h = sigmoid(o) * (2 * sigmoid(c) - 1)
    return h, (h, c)


def jordan(p: Parameters, x: Array, state: State) -> tuple[Array, State]:
    """Jordan (1986): the output comes back."""
    s = np.tanh(x @ p["W_ih"].T + state[0] @ p["W_hh"].T + bias(p, "b"))
    y = sigmoid(s @ p["W_ho"].T + bias(p, "b_o"))
    return y, (y,)


def projected_lstm(p: Parameters, x: Array, state: State) -> tuple[Array, State]:
    """Sak et al. (2014): h = W_hr (o tanh(c))."""
    i, f, g, o = sums(p, x, state[0], 4)
    c = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g)
    h = (sigmoid(o) * np.tanh(c)) @ p["W_hr"].T
    return h, (h, c)


def full_peephole_lstm(p: Parameters, x: Array, state: State, keep: float = 0.0) -> tuple[Array, State]:
    """Gates from [x, h, c] joined: the matrices of x, h and c side by side. `keep`: of c, before the output sees it."""
    h, c = state
    W_i, W_f, W_g, W_o = np.split(np.hstack([p["W_ih"], p["W_hh"]]), 4)
    V_i, V_f, V_o = np.split(p["W_ch"], 3)
    b_i, b_f, b_g, b_o = np.split(p["b"], 4) if "b" in p else (0, 0, 0, 0)
    xh = np.hstack([x, h])
    i = sigmoid(np.hstack([xh, c]) @ np.hstack([W_i, V_i]).T + b_i)
    f = sigmoid(np.hstack([xh, c]) @ np.hstack([W_f, V_f]).T + b_f)
    c = keep * c + (1 - keep) * (f * c + i * np.tanh(xh @ W_g.T + b_g))
    o = sigmoid(np.hstack([xh, c]) @ np.hstack([W_o, V_o]).T + b_o)
    h = o * np.tanh(c)
    return h, (h, c)


def multiplicative_lstm(p: Parameters, x: Array, state: State) -> tuple[Array, State]:
    """Krause et al. (2017): the gates see m = (W_mx x) * (W_mh h')."""
    m, *a = inputs(p, x, 5)
    m = m * (state[0] @ p["W_hm"].T)
    i, f, g, o = (s + r for s, r in zip(a, np.split(m @ p["W_mh"].T, 4, axis=1), strict=True))
    c = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return h, (h, c)


def slstm(p: Parameters, x: Array, state: State) -> tuple[Array, State]:
    """Beck et al. (2024), xLSTM: sLSTM with the stabiliser m, which starts at a_i as in their published code."""
    h, c, n, m = state
    i, f, z, o = sums(p, x, h, 4)
    new = np.where((n.real > np.finfo(np.float32).tiny) & ((f + m).real > i.real), f + m, i)
    i, f = np.exp(i - new), np.exp(f + m - new)
    c, n = f * c + i * np.tanh(z), f * n + i
    h = sigmoid(o) * c / n
    return h, (h, c, n, new)


def normalise(r: Array) -> Array:
    centred = r - r.mean(axis=1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)


def layer_norm_rnn(p: Parameters, x: Array, state: State) -> tuple[Array, State]:
    """Ba et al. (2016), with both sums normalised apart."""
    a = p["g_ih"] * normalise(x @ p["W_ih"].T) + p["g_hh"] * normalise(state[0] @ p["W_hh"].T)
    h = np.tanh(a + bias(p, "b"))
    return h, (h,)


def layer_norm_lstm(p: Parameters, x: Array, state: State, keep: float = 0.0) -> tuple[Array, State]:
    """Ba et al. (2016), equations 20 to 22. `keep`: of c, before it is normalised."""
    a = p["g_ih"] * normalise(x @ p["W_ih"].T) + p["g_hh"] * normalise(state[0] @ p["W_hh"].T)
    i, f, g, o = np.split(a + bias(p, "b"), 4, axis=1)
    c = keep * state[1] + (1 - keep) * (sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g))
    h = sigmoid(o) * np.tanh(p["g_c"] * normalise(c) + bias(p, "b_c"))
    return h, (h, c)


def layer_norm_gru(p: Parameters, x: Array, state: State) -> tuple[Array, State]:
    """Ba et al. (2016), supplement: r and z normalised together, the candidate's sums apart."""
    (h,) = state
    H = h.shape[1]
    both = [x @ p["W_ih"].T, h @ p["W_hh"].T]
    a, u = (np.hstack([normalise(s[:, : 2 * H]), normalise(s[:, 2 * H :])]) for s in both)
    a_r, a_z, a_n = np.split(p["g_ih"] * a + bias(p, "b"), 3, axis=1)
    u_r, u_z, u_n = np.split(p["g_hh"] * u, 3, axis=1)
    r, z = sigmoid(a_r + u_r), sigmoid(a_z + u_z)
    n = np.tanh(a_n + r * (u_n + bias(p, "b_hn")))
    h = (1 - z) * n + z * h
    return h, (h,)


def mgu(p: Parameters, x: Array, state: State) -> tuple[Array, State]:
    """Zhou et al. (2016): h = (1 - f) h' + f tanh(W x + U (f * h'))."""
    (h,) = state
    a_f, a_n = inputs(p, x, 2)
    U_f, U_n = np.split(p["W_hh"], 2)
    f = sigmoid(a_f + h @ U_f.T)
    h = (1 - f) * h + f * np.tanh(a_n + (f * h) @ U_n.T)
    return h, (h,)


def bistable_gru(p: Parameters, x: Array, state: State) -> tuple[Array, State]:
    """Vecoven et al. (2021): BRC with diagonal weights, nBRC with matrices."""
    (h,) = state
    a, c, n = inputs(p, x, 3)
    if "W_hh" in p:
        u_a, u_c = np.split(h @ p["W_hh"].T, 2, axis=1)
    else:
        u_a, u_c = p["u_a"] * h, p["u_c"] * h
    c = sigmoid(c + u_c)
    h = c * h + (1 - c) * np.tanh(n + (1 + np.tanh(a + u_a)) * h)
    return h, (h,)


def recurrent_highway(p: Parameters, x: Array, state: State) -> tuple[Array, State]:
    """Zilly et al. (2017), carry gate 1 - t."""
    (s,) = state
    H = s.shape[1]
    a = x @ p["W_ih"].T + bias(p, "b")
    for layer, U in enumerate(np.split(p["W_hh"], len(p["W_hh"]) // (2 * H))):
        if layer:
            a = p["b_deep"][2 * H * (layer - 1) : 2 * H * layer] if "b_deep" in p else 0
        n, t = np.split(a + s @ U.T, 2, axis=1)
        s = np.tanh(n) * sigmoid(t) + s * (1 - sigmoid(t))
    return s, (s,)


def minimal_gru(p: Parameters, x: Array, state: State) -> tuple[Array, State]:
    """Feng et al. (2024), with z for their 1 - z."""
    z, n = inputs(p, x, 2)
    h = sigmoid(z) * state[0] + (1 - sigmoid(z)) * n
    return h, (h,)


def minimal_lstm(p: Parameters, x: Array, state: State) -> tuple[Array, State]:
    """Feng et al. (2024): f' = f / (f + i), i' = i / (f + i)."""
    f, i, n = inputs(p, x, 3)
    f, i = sigmoid(f), sigmoid(i)
    h = f / (f + i) * state[0] + i / (f + i) * n
    return h, (h,)


def sru(p: Parameters, x: Array, state: State) -> tuple[Array, State]:
    """Lei et al. (2018), equations 3 to 7, with W_s x in the highway connection."""
    (c,) = state
    n, f, r, s = inputs(p, x, 4)
    f, r = sigmoid(f + p["v_f"] * c), sigmoid(r + p["v_r"] * c)
    c = f * c + (1 - f) * n
    return r * c + (1 - r) * s, (c,)


def ind_rnn(p: Parameters, x: Array, state: State) -> tuple[Array, State]:
    """Li et al. (2018): h = relu(W x + u * h' + b)."""
    h = relu(x @ p["W_ih"].T + p["w_hh"] * state[0] + bias(p, "b"))
    return h, (h,)


def leaky_rnn(p: Parameters, x: Array, state: State) -> tuple[Array, State]:
    """c = a c' + s g, h = tanh(c), with a and s numbers, one per unit, or matrices."""

    def times(name: str, v: Array) -> Array:
        return v @ p[name].T if p[name].ndim == 2 else p[name] * v

    h, c = state
    c = times("a", c) + times("s", x @ p["W_ih"].T + h @ p["W_hh"].T + bias(p, "b"))
    h = np.tanh(c)
    return h, (h, c)


def ctrnn(p: Parameters, x: Array, state: State, dt: Array | float = 1.0) -> tuple[Array, State]:
    """Explicit Euler on tau dh/dt = -h + tanh(W x + U h + b)."""
    (h,) = state
    h = h + dt * (-h + np.tanh(x @ p["W_ih"].T + h @ p["W_hh"].T + bias(p, "b"))) / p["tau"]
    return h, (h,)


def ctrnn_exponential(p: Parameters, x: Array, state: State, dt: Array | float = 1.0) -> tuple[Array, State]:
    """The exact solution of tau dh/dt = -h + g for a constant g after dt."""
    (h,) = state
    g = np.tanh(x @ p["W_ih"].T + h @ p["W_hh"].T + bias(p, "b"))
    h = g + np.exp(-dt / p["tau"]) * (h - g)
    return h, (h,)


def gru_reset_before_takes_new(p: Parameters, x: Array, state: State) -> tuple[Array, State]:
    """A GRU with h = z n + (1 - z) h', reset before the product."""
    (h,) = state
    a_r, a_z, a_n = inputs(p, x, 3)
    U_r, U_z, U_n = np.split(p["W_hh"], 3)
    n = np.tanh(a_n + (sigmoid(a_r + h @ U_r.T) * h) @ U_n.T)
    z = sigmoid(a_z + h @ U_z.T)
    h = z * n + (1 - z) * h
    return h, (h,)


def gru_takes_new(p: Parameters, x: Array, state: State) -> tuple[Array, State]:
    """A GRU with h = z n + (1 - z) h', reset after the product."""
    (h,) = state
    x_r, x_z, x_n = inputs(p, x, 3)
    h_r, h_z, h_n = np.split(h @ p["W_hh"].T, 3, axis=1)
    z = sigmoid(x_z + h_z)
    h = z * np.tanh(x_n + sigmoid(x_r + h_r) * (h_n + bias(p, "b_hn"))) + (1 - z) * h
    return h, (h,)


def slstm_with_zoneout(keep_h: float, keep_c: float) -> Step:
    """Mixed are c e^m and n e^m, for which m is a unit of measure: one for both, in which neither overflows."""

    def zoned(p: Parameters, x: Array, state: State) -> tuple[Array, State]:
        h, c, n, m = state
        _, (h_new, c_new, n_new, m_new) = slstm(p, x, state)
        unit = m_new
        if keep_c:
            unit = np.where((n.real > np.finfo(np.float32).tiny) & (m.real > m_new.real), m, m_new)
        past, present = keep_c * np.exp(m - unit), (1 - keep_c) * np.exp(m_new - unit)
        h = keep_h * h + (1 - keep_h) * h_new
        return h, (h, past * c + present * c_new, past * n + present * n_new, unit)

    return zoned


# The output of these sees the c that zoneout has mixed already.
SEES_KEPT_CELL = (full_peephole_lstm, layer_norm_lstm)


def with_zoneout(step: Step, states: tuple[str, ...], rates: Mapping[str, float]) -> Step:
    """Krueger et al. (2017) in evaluation: of each state, its rate stays and the rest is new."""

    if step is slstm:
        return slstm_with_zoneout(rates.get("h", 0.0), rates.get("c", 0.0))

    def zoned(p: Parameters, x: Array, state: State) -> tuple[Array, State]:
        inside = {"keep": rates.get("c", 0.0)} if step in SEES_KEPT_CELL else {}
        y, after = step(p, x, state, **inside)
        keep = {name: rates.get(name, 0.0) for name in states if not (inside and name == "c")}
        mixed = tuple(
            keep.get(n, 0.0) * old + (1 - keep.get(n, 0.0)) * new
            for n, old, new in zip(states, state, after, strict=True)
        )
        return (mixed[0] if states[0] == "h" else y), mixed

    return zoned
