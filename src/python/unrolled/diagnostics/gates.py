"""Gates as numbers: formulas of the cells over whole sequences, and how many gates are stuck open or shut."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from unrolled.diagnostics.trace import States, Trace, check_trace
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
    """The gates of a call as the kernel has computed them, with its resets and masks; of classes that `register_gates`
    knows, by their formula.
    """
    check_trace("gate_values", trace)
    cell = trace.cell
    name = type(cell).__name__
    if name in _FORMULAS:
        return _FORMULAS[name](cell, trace.x, starting_states(trace), trace.after)
    if name not in _RANGES:
        known = ", ".join(sorted({*_FORMULAS, *_RANGES}))
        raise ValueError(
            f"gate_values: no formula for {name}, there are those of {known}; register_gates adds one"
        )
    gates = trace.gates or {"h": trace.y}  # a cell whose only sum is its state
    ranges = _RANGES[name](cell)
    return GateValues({gate: Gate(values, *ranges[gate.split("_")[0]]) for gate, values in gates.items()})


def starting_states(trace: Trace) -> States:
    """The states before every step, resets applied."""
    if trace.reset is None:
        return trace.before
    cut = np.stack([trace.arguments(t)["reset"][0] for t in range(trace.steps)])
    cut &= trace.valid
    learned = getattr(trace.cell, "learn_initial_state", False)
    starts = {name: np.asarray(getattr(trace.cell, f"{name}0")) if learned else 0 for name in trace.names}
    return {name: np.where(cut[..., None], starts[name], array) for name, array in trace.before.items()}


def saturation(trace: Trace) -> Saturation:
    """How many gates are stuck, counted over the valid steps of a call (as in Karpathy et al. 2015)."""
    check_trace("saturation", trace)
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


# --- what the gates of every cell can reach, by name

Range = tuple[float, float]
_OPEN: Range = (0.0, 1.0)  # of sigmoid
_SIGNED: Range = (-1.0, 1.0)  # of tanh
_FREE: Range = (-math.inf, math.inf)
_OF_ACTIVATION: dict[str, Range] = {
    "sigmoid": _OPEN,
    "hard_sigmoid": _OPEN,
    "tanh": _SIGNED,
    "softsign": _SIGNED,
    "relu": (0.0, math.inf),
    "identity": _FREE,
}


def _fixed(
    *, sigmoids: str, tanhs: str = "", free: str = "", **others: Range
) -> Callable[[Any], dict[str, Range]]:
    """Ranges of gates of one letter each."""
    kinds = ((sigmoids, _OPEN), (tanhs, _SIGNED), (free, _FREE))
    ranges = {**{gate: reach for gates, reach in kinds for gate in gates}, **others}
    return lambda cell: ranges


def _of_option(gate: str) -> Callable[[Any], dict[str, Range]]:
    return lambda cell: {gate: _OF_ACTIVATION[cell.nonlinearity]}


def _lstm(cell: Any) -> dict[str, Range]:
    return {gate: _OF_ACTIVATION[name] for gate, name in cell.activations.items()}


def _lstm_1997(cell: Any) -> dict[str, Range]:
    return {"i": _OPEN, "o": _OPEN, "g": (-cell.candidate_range, cell.candidate_range)}


_LSTM, _GRU = _fixed(sigmoids="ifo", tanhs="g"), _fixed(sigmoids="rz", tanhs="n")
_RANGES: dict[str, Callable[[Any], dict[str, Range]]] = {
    **dict.fromkeys(("RNN", "IndRNN"), _of_option("h")),
    **dict.fromkeys(("CTRNN", "LeakyRNN"), _of_option("g")),
    "Jordan": _of_option("s"),
    "LayerNormRNN": lambda cell: {"h": _SIGNED},
    "LSTM": _lstm,
    "LSTM1997": _lstm_1997,
    **dict.fromkeys(
        ("PeepholeLSTM", "FullPeepholeLSTM", "ProjectedLSTM", "LayerNormLSTM", "CoupledLSTM"), _LSTM
    ),
    "MultiplicativeLSTM": _fixed(sigmoids="ifo", tanhs="g", free="m"),
    "sLSTM": _fixed(sigmoids="ifo", tanhs="z"),  # i and f as they are after stabilising
    **dict.fromkeys(("GRU", "GRUResetBefore", "LayerNormGRU", "GRUD"), _GRU),
    "MGU": _fixed(sigmoids="f", tanhs="n"),
    "BistableGRU": _fixed(sigmoids="c", tanhs="n", a=(0.0, 2.0)),
    "RecurrentHighway": _fixed(sigmoids="t", tanhs="n"),  # n_1, t_1, n_2, ..
    "MinimalGRU": _fixed(sigmoids="z", free="n"),
    "MinimalLSTM": _fixed(sigmoids="fi", free="n"),
    "SRU": _fixed(sigmoids="fr", free="ns"),
    "QRNN": _fixed(sigmoids="foi", tanhs="z"),
}
