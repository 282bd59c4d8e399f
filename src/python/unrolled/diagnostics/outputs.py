"""How outputs are made of the memory states of the same step: the path of gradients that no state carries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from unrolled import ops
from unrolled.cells.activations import activate
from unrolled.tape import Array
from unrolled.tensor import Tensor

States = dict[str, Array]
Tensors = dict[str, Tensor]
Output = Callable[[Any, Tensors, Tensors], Tensor]
_OUTPUTS: dict[str, Output] = {}


def register_output(*cell_names: str) -> Callable[[Output], Output]:
    """Decorator: y[t] of these cell classes as a function of the states after step t, all else being held.

    It gets the cell, its gates (T, B, H) by name as `cell.inspect` gives them, and the states (T, B, width) by name,
    and gives y (T, B, O), all of them Tensors. Only its derivative with respect to the states counts.
    """

    def keep(output: Output) -> Output:
        _OUTPUTS.update(dict.fromkeys(cell_names, output))
        return output

    return keep


def h_is_output(cell: Any) -> bool:
    """Whether the first state is the output itself."""
    return cell.State._fields[0] == "h" and bool(cell._output_is_state)


def memories(cell: Any) -> tuple[str, ...]:
    """The states that y[t] is made of, where there is a formula: c of an LSTM, not h. None with zoneout, where the c
    that makes the output is not the c that is kept.
    """
    names: tuple[str, ...] = cell.State._fields[1:] if h_is_output(cell) else cell.State._fields
    zoned = max(getattr(cell, "zoneout_h", 0), getattr(cell, "zoneout_c", 0)) > 0
    return () if zoned or type(cell).__name__ not in _OUTPUTS else names


def through_output(cell: Any, gates: States, after: States, valid: Array, dy: Array) -> States:
    """Gradients of the memory states by way of y of the same step, (T, B, width), given dy (T, B, O)."""
    ran = valid[..., None]
    # Ones for steps that did not run, whose states may have no output (n = 0).
    made = {name: np.where(ran, after[name], 1).astype(cell.dtype) for name in memories(cell)}
    states = {name: Tensor(values, requires_grad=True) for name, values in made.items()}
    y = _OUTPUTS[type(cell).__name__](cell, {name: Tensor(g) for name, g in gates.items()}, states)
    y.backward(np.where(ran, dy, 0).astype(cell.dtype))
    return {name: np.zeros_like(s._data) if s.grad is None else s.grad for name, s in states.items()}


def _moved(gate: Tensor, change: Tensor) -> Tensor:
    """A sigmoid gate whose sum changes with the state: to first order, `change` being 0 where it stands."""
    return gate + gate * (1 - gate) * (change - change.detach())


@register_output("RNN")
def _rnn(cell: Any, gates: Tensors, states: Tensors) -> Tensor:
    return activate(cell.nonlinearity, states["h"])  # of state="pre"; else h is the output


@register_output("LSTM")
def _lstm(cell: Any, gates: Tensors, states: Tensors) -> Tensor:
    return gates["o"] * activate(cell.activations["h"], states["c"])


@register_output("CoupledLSTM", "MultiplicativeLSTM")
def _gated_tanh(cell: Any, gates: Tensors, states: Tensors) -> Tensor:
    return gates["o"] * ops.tanh(states["c"])


@register_output("LSTM1997")
def _lstm_1997(cell: Any, gates: Tensors, states: Tensors) -> Tensor:
    return gates["o"] * ops.tanh(states["c"] / 2) * float(cell.output_range)


@register_output("PeepholeLSTM")
def _peephole_lstm(cell: Any, gates: Tensors, states: Tensors) -> Tensor:
    late = cell.peepholes == "output"
    o = _moved(gates["o"], states["c"] * cell.p_o._data) if late else gates["o"]
    return o * ops.tanh(states["c"])


@register_output("FullPeepholeLSTM")
def _full_peephole_lstm(cell: Any, gates: Tensors, states: Tensors) -> Tensor:
    V_o = cell.W_ch._data[2 * cell.hidden_size :]
    return _moved(gates["o"], ops.linear(states["c"], V_o)) * ops.tanh(states["c"])


@register_output("ProjectedLSTM")
def _projected_lstm(cell: Any, gates: Tensors, states: Tensors) -> Tensor:
    return ops.linear(gates["o"] * ops.tanh(states["c"]), cell.W_hr._data)


@register_output("LayerNormLSTM")
def _layer_norm_lstm(cell: Any, gates: Tensors, states: Tensors) -> Tensor:
    shift = None if cell.b_c is None else cell.b_c._data
    return gates["o"] * ops.tanh(ops.layer_norm(states["c"], cell.g_c._data, shift))


@register_output("sLSTM")
def _slstm(cell: Any, gates: Tensors, states: Tensors) -> Tensor:
    return gates["o"] * states["c"] / states["n"]


@register_output("SRU")
def _sru(cell: Any, gates: Tensors, states: Tensors) -> Tensor:
    return gates["r"] * states["c"]


@register_output("QRNN")
def _qrnn(cell: Any, gates: Tensors, states: Tensors) -> Tensor:
    return gates["o"] * states["c"] if "o" in gates else states["c"]


@register_output("LeakyRNN")
def _leaky_rnn(cell: Any, gates: Tensors, states: Tensors) -> Tensor:
    return ops.tanh(states["c"])
