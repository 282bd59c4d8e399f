"""Gates as numbers: formulas of the cells over whole sequences, and how many gates are stuck open or shut."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from unrolled.diagnostics.trace import States, Trace
from unrolled.tape import Array


@dataclass(frozen=True)
class Gate:
    """A gate or candidate over a sequence: values (T, B, H), and the range that its activation can reach."""

    values: Array
    low: float = 0.0
    high: float = 1.0


@dataclass(frozen=True)
class GateValues:
    """All gates of one call by name."""

    gates: dict[str, Gate]


@dataclass(frozen=True)
class Saturation:
    """For every gate and unit, the share of steps and rows in the lowest and in the highest tenth of its range, (H,).

    The lowest tenth of a sigmoid is below 0.1, that of tanh below -0.8. Of relu, which has no upper end, `low` is the
    share of zeros and `high` is 0.
    """

    low: States
    high: States


Formula = Callable[[Any, Array, States, States], GateValues]
_FORMULAS: dict[str, Formula] = {}


def register_gates(cell_name: str) -> Callable[[Formula], Formula]:
    """Decorator: the formula of the gates of a cell class.

    It gets the cell, x (T, B, I), and the states before and after every step, (T, B, H) by name, and gives GateValues.
    """

    def keep(formula: Formula) -> Formula:
        _FORMULAS[cell_name] = formula
        return formula

    return keep


def gate_values(trace: Trace) -> GateValues:
    """The gates of a call, computed from the parameters in NumPy."""
    name = type(trace.cell).__name__
    if name not in _FORMULAS:
        raise ValueError(
            f"gate_values: no formula for {name}, there are those of {', '.join(sorted(_FORMULAS))}; "
            "register_gates adds one"
        )
    return _FORMULAS[name](trace.cell, trace.x, starting_states(trace), trace.after)


def starting_states(trace: Trace) -> States:
    """The states before every step, resets applied."""
    if trace.reset is None:
        return trace.before
    cut = np.stack([trace.arguments(t)["reset"][0] for t in range(trace.steps)])
    cut &= trace.valid
    return {name: np.where(cut[..., None], 0, array) for name, array in trace.before.items()}


def saturation(trace: Trace) -> Saturation:
    """How many gates are stuck, counted over the valid steps of a call (as in Karpathy et al. 2015)."""
    low, high = {}, {}
    for name, gate in gate_values(trace).gates.items():
        values = gate.values[trace.valid]
        if not len(values):
            raise ValueError("saturation: the call has no steps")
        if math.isinf(gate.high):
            low[name], high[name] = (values <= gate.low).mean(axis=0), np.zeros(values.shape[1])
            continue
        place = (values - gate.low) / (gate.high - gate.low)
        low[name], high[name] = (place < 0.1).mean(axis=0), (place > 0.9).mean(axis=0)
    return Saturation(low, high)


# --- formulas


def _sigmoid(a: Array) -> Array:
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * a))


def _projected(cell: Any, values: Array, weights: str, bias: bool) -> dict[str, Array]:
    """values (T, B, K) times the block of every gate, (T, B, H) each."""
    a = values @ np.asarray(getattr(cell, weights)).T
    if bias and cell.b is not None:
        a = a + np.asarray(cell.b)
    return dict(zip(cell.gates, np.split(a, len(cell.gates), axis=-1), strict=True))


_RANGES: dict[str, tuple[Callable[[Array], Array], float, float]] = {
    "sigmoid": (_sigmoid, 0.0, 1.0),
    "hard_sigmoid": (lambda a: np.clip(0.2 * a + 0.5, 0, 1), 0.0, 1.0),
    "tanh": (np.tanh, -1.0, 1.0),
    "softsign": (lambda a: a / (1 + np.abs(a)), -1.0, 1.0),
    "relu": (lambda a: np.maximum(a, 0), 0.0, math.inf),
    "identity": (lambda a: a, -math.inf, math.inf),
}


def _activated(name: str, a: Array) -> Gate:
    function, low, high = _RANGES[name]
    return Gate(function(a), low, high)


@register_gates("RNN")
def _rnn(cell: Any, x: Array, before: States, after: States) -> GateValues:
    phi = cell.nonlinearity
    h = _activated(phi, before["h"]).values if cell.state == "pre" else before["h"]
    inputs, recurrent = _projected(cell, x, "W_ih", True), _projected(cell, h, "W_hh", False)
    return GateValues({"h": _activated(phi, inputs["h"] + recurrent["h"])})


@register_gates("LSTM")
def _lstm(cell: Any, x: Array, before: States, after: States) -> GateValues:
    inputs, recurrent = _projected(cell, x, "W_ih", True), _projected(cell, before["h"], "W_hh", False)
    return GateValues({n: _activated(cell.activations[n], inputs[n] + recurrent[n]) for n in cell.gates})


@register_gates("PeepholeLSTM")
def _peephole_lstm(cell: Any, x: Array, before: States, after: States) -> GateValues:
    inputs, recurrent = _projected(cell, x, "W_ih", True), _projected(cell, before["h"], "W_hh", False)
    previous = cell.peepholes == "previous"
    seen = {"i": before["c"], "f": before["c"], "o": before["c"] if previous else after["c"]}
    p = {name: np.asarray(getattr(cell, f"p_{name}")) for name in seen}
    i, f, o = (_sigmoid(inputs[n] + recurrent[n] + p[n] * c) for n, c in seen.items())
    candidate = inputs["g"] + recurrent["g"]
    g = np.tanh(candidate + np.asarray(cell.p_g) * before["c"] if previous else candidate)
    return GateValues({"i": Gate(i), "f": Gate(f), "g": Gate(g, -1.0, 1.0), "o": Gate(o)})


@register_gates("CoupledLSTM")
def _coupled_lstm(cell: Any, x: Array, before: States, after: States) -> GateValues:
    inputs, recurrent = _projected(cell, x, "W_ih", True), _projected(cell, before["h"], "W_hh", False)
    i, o = (_sigmoid(inputs[name] + recurrent[name]) for name in ("i", "o"))
    g = np.tanh(inputs["g"] + recurrent["g"])
    return GateValues({"i": Gate(i), "g": Gate(g, -1.0, 1.0), "o": Gate(o)})


@register_gates("GRU")
def _gru(cell: Any, x: Array, before: States, after: States) -> GateValues:
    inputs, recurrent = _projected(cell, x, "W_ih", True), _projected(cell, before["h"], "W_hh", False)
    r, z = (_sigmoid(inputs[name] + recurrent[name]) for name in ("r", "z"))
    b_hn = 0 if cell.b_hn is None else np.asarray(cell.b_hn)
    n = np.tanh(inputs["n"] + r * (recurrent["n"] + b_hn))
    return GateValues({"r": Gate(r), "z": Gate(z), "n": Gate(n, -1.0, 1.0)})


@register_gates("GRUResetBefore")
def _gru_reset_before(cell: Any, x: Array, before: States, after: States) -> GateValues:
    inputs, recurrent = _projected(cell, x, "W_ih", True), _projected(cell, before["h"], "W_hh", False)
    r, z = (_sigmoid(inputs[name] + recurrent[name]) for name in ("r", "z"))
    n = np.tanh(inputs["n"] + _projected(cell, r * before["h"], "W_hh", False)["n"])
    return GateValues({"r": Gate(r), "z": Gate(z), "n": Gate(n, -1.0, 1.0)})
