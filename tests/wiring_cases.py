"""The table of layers around recurrent layers, each with an independent NumPy reference.

A reference takes the parameters by dotted name, x (T, B, I), the initial state as nested tuples of arrays, and the
arguments of the call; it gives y and the last state as nested tuples. References are built from the steps of
`cases.py`; they accept complex numbers, so that one evaluation gives an exact directional derivative.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import unrolled as ur
from cases import randomized
from reference import run
from steps import Array, Parameters, elman, gru, lstm, sigmoid

Reference = Callable[..., tuple[Array, Any]]


def inside(p: Parameters, name: str) -> dict[str, Array]:
    """The parameters of the part of that name."""
    return {key[len(name) + 1 :]: value for key, value in p.items() if key.startswith(name + ".")}


def valid(x: Array, lengths: Array | None) -> Array:
    """x with zeros behind the lengths, row by row."""
    x = x.copy()
    for b, n in enumerate(() if lengths is None else lengths):
        x[n:, b] = 0
    return x


def cell(step: Any) -> Reference:
    return lambda p, x, state, **arguments: run(step, p, x, tuple(state), **arguments)


def residual(inner: Reference) -> Reference:
    """He et al. (2016): y = x + F(x), or W x + F(x)."""

    def reference(p: Parameters, x: Array, state: Any, lengths: Any = None, **arguments: Any) -> Any:
        y, last = inner(inside(p, "layer"), x, state, lengths=lengths, **arguments)
        x = valid(x, lengths)
        return y + (x @ p["W"].T if "W" in p else x), last

    return reference


def highway(inner: Reference) -> Reference:
    """Srivastava et al. (2015), equation 3: y = H(x) T(x) + x (1 - T(x))."""

    def reference(p: Parameters, x: Array, state: Any, lengths: Any = None, **arguments: Any) -> Any:
        H, last = inner(inside(p, "layer"), x, state, lengths=lengths, **arguments)
        x = valid(x, lengths)
        T = sigmoid(x @ p["W_s"].T + p["b_s"])
        return H * T + (x @ p["W"].T if "W" in p else x) * (1 - T), last

    return reference


def stack(*layers: Reference) -> Reference:
    def reference(p: Parameters, x: Array, state: Any, **arguments: Any) -> Any:
        last = []
        for number, layer in enumerate(layers):
            x, after = layer(inside(p, f"cells.{number}"), x, state[number], **arguments)
            last.append(after)
        return x, tuple(last)

    return reference


def bidirectional(there: Reference, back: Reference, merge: str = "concat") -> Reference:
    """Schuster and Paliwal (1997)."""

    def reference(p: Parameters, x: Array, state: Any, reverse: bool = False, **arguments: Any) -> Any:
        first, s = there(inside(p, "forward_cell"), x, state[0], reverse=reverse, **arguments)
        second, t = back(inside(p, "backward_cell"), x, state[1], reverse=not reverse, **arguments)
        return np.concatenate([first, second], axis=2) if merge == "concat" else first + second, (s, t)

    return reference


def pyramid(*layers: Reference) -> Reference:
    """Chan et al. (2016), equation 5, index by index: input j of a layer is [y[2j], y[2j + 1]] of the layer below."""

    def reference(
        p: Parameters, x: Array, state: Any, lengths: Any = None, reset: Any = None, **arguments: Any
    ) -> Any:
        T, B = x.shape[:2]
        n = [T] * B if lengths is None else list(lengths)
        cut = np.zeros((T, B), bool) if reset is None else reset
        y, last = x, []
        for number, layer in enumerate(layers):
            if number:
                half, F = (len(y) + 1) // 2, y.shape[2]
                x = np.zeros((half, B, 2 * F), y.dtype)
                new_cut = np.zeros((half, B), bool)
                for j in range(half):
                    for b in range(B):
                        new_cut[j, b] = cut[2 * j, b]
                        for f in range(F):
                            x[j, b, f] = y[2 * j, b, f]
                            x[j, b, F + f] = y[2 * j + 1, b, f] if 2 * j + 1 < n[b] else 0
                n, cut = [-(-size // 2) for size in n], new_cut
            part = inside(p, f"cells.{number}")
            y, after = layer(part, x, state[number], lengths=np.array(n), reset=cut, **arguments)
            last.append(after)
        return y, tuple(last)

    return reference


def lstm_block(z: Array, m: Array) -> tuple[Array, Array]:
    """h and memory of an LSTM from the sums of its gates i, f, g, o."""
    i, f, g, o = np.split(z, 4, axis=1)
    m = sigmoid(f) * m + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(m), m


def grid_lstm(p: Parameters, x: Array, state: Any) -> Any:
    """Kalchbrenner et al. (2016), section 3: one time step through all layers of a grid of time and depth."""
    H = p["W"].shape[2] // 2
    layers = [np.split(s, s.shape[1] // H, axis=1) for s in state]
    h_depth, m_depth = np.split(x @ p["W_in"].T + p["b_in"], 2, axis=1)
    after = []
    for number, (h_time, m_time) in enumerate(zip(*layers, strict=True)):
        W, b = (p[name][number if len(p[name]) > 1 else 0] for name in ("W", "b"))
        z = np.concatenate([h_time, h_depth], axis=1) @ W.T + b
        after.append(lstm_block(z[:, : 4 * H], m_time))
        h_depth, m_depth = lstm_block(z[:, 4 * H :], m_depth)
    return h_depth, tuple(np.concatenate(parts, axis=1) for parts in zip(*after, strict=True))


@dataclass(frozen=True)
class WiringCase:
    """One row. `make(rng=, dtype=)` builds the layer; `pairs`: resets may fall on multiples of this step only."""

    name: str
    make: Callable[..., Any]
    reference: Reference
    streams: bool = True  # has `step`, and a sequence may be cut anywhere
    pairs: int = 1

    def layer(self, dtype: Any = np.float64, seed: int = 0) -> Any:
        """A layer with random parameters, biases too."""
        return randomized(self.make, dtype, seed)

    def __str__(self) -> str:
        return self.name


def both(make: Any, I: int, H: int, merge: str = "concat", **made: Any) -> Any:
    return ur.Bidirectional(make(I, H, **made), make(I, H, **made), merge=merge)


RNN, LSTM, GRU, GRID = cell(elman(np.tanh)), cell(lstm), cell(gru), cell(grid_lstm)
CASES = [
    WiringCase("Residual", lambda **m: ur.Residual(ur.LSTM(5, 5, **m)), residual(LSTM)),
    WiringCase(
        "Residual-projection",
        lambda rng, **m: ur.Residual(ur.GRU(5, 3, rng=rng, **m), projection=True, rng=rng), residual(GRU),
    ),
    WiringCase(
        "Residual-stack",
        lambda **m: ur.Stack([ur.Residual(ur.Stack([ur.LSTM(5, 3, **m), ur.GRU(3, 5, **m)])) for _ in range(3)]),
        stack(*[residual(stack(LSTM, GRU))] * 3),
    ),
    WiringCase(
        "Residual-both", lambda **m: ur.Residual(both(ur.RNN, 5, 5, "sum", **m)),
        residual(bidirectional(RNN, RNN, "sum")), streams=False,
    ),
    WiringCase("Highway", lambda rng, **m: ur.Highway(ur.GRU(5, 5, rng=rng, **m), rng=rng), highway(GRU)),
    WiringCase(
        "Highway-projection",
        lambda rng, **m: ur.Highway(ur.LSTM(5, 3, rng=rng, **m), projection=True, rng=rng), highway(LSTM),
    ),
    WiringCase(
        "Highway-stack",
        lambda rng, **m: ur.Stack([ur.Highway(ur.RNN(5, 5, rng=rng, **m), rng=rng) for _ in range(3)]),
        stack(*[highway(RNN)] * 3),
    ),
    WiringCase(
        "Stack-mixed",
        lambda **m: ur.Stack([ur.LSTM(5, 4, **m), ur.GRU(4, 3, **m), ur.RNN(3, 5, **m)]), stack(LSTM, GRU, RNN),
    ),
    WiringCase(
        "Bidirectional-stack",
        lambda **m: ur.Stack([both(ur.GRU, 5, 2, **m), both(ur.LSTM, 4, 3, "sum", **m), both(ur.RNN, 3, 2, **m)]),
        stack(bidirectional(GRU, GRU), bidirectional(LSTM, LSTM, "sum"), bidirectional(RNN, RNN)), streams=False,
    ),
    WiringCase(
        "Pyramid", lambda **m: ur.Pyramid([ur.RNN(5, 4, **m), ur.LSTM(8, 3, **m), ur.GRU(6, 4, **m)]),
        pyramid(RNN, LSTM, GRU), streams=False, pairs=4,
    ),
    WiringCase(
        "Pyramid-both", lambda **m: ur.Pyramid([both(ur.LSTM, 5, 2, **m), both(ur.GRU, 8, 3, **m)]),
        pyramid(bidirectional(LSTM, LSTM), bidirectional(GRU, GRU)), streams=False, pairs=2,
    ),
    WiringCase("GridLSTM", lambda **m: ur.GridLSTM(5, 3, 4, **m), GRID),
    WiringCase("GridLSTM-tied", lambda **m: ur.GridLSTM(5, 3, 4, tied=True, **m), GRID),
    WiringCase("GridLSTM-flat", lambda **m: ur.GridLSTM(5, 17, 1, **m), GRID),
    WiringCase(
        "GridLSTM-stack",
        lambda **m: ur.Stack([ur.GridLSTM(5, 3, 2, **m), ur.GRU(3, 5, **m), ur.Residual(ur.GridLSTM(5, 5, 2, **m))]),
        stack(GRID, GRU, residual(GRID)),
    ),
    WiringCase(
        "GridLSTM-both", lambda **m: both(ur.GridLSTM, 5, 3, depth=2, **m), bidirectional(GRID, GRID), streams=False,
    ),
]  # fmt: skip
