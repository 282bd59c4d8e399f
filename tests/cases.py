"""The table of cells: one row per cell, each with a step in NumPy from `steps.py`.

A new cell adds one `Case`; every `test_cells_*.py` then runs for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import steps
import steps_more as more
import unrolled as ur
from steps import Array as Array
from steps import Parameters as Parameters
from steps import State as State
from steps import Step as Step

I_F_G_O = ("i", "f", "g", "o")
GAINS_4 = {"W_hh": ("4H", "H"), "g_ih": ("4H",), "g_hh": ("4H",), "g_c": ("H",)}


LEAKS = {"scalar": ("1",), "unit": ("H",), "matrix": ("H", "H")}


def about_half(H: int) -> int:
    return H // 2 + 1


@dataclass(frozen=True)
class Case:
    """One row: how to make the cell, what it must have, and its step. Sizes are written as "H", "4H", "O" (output)."""

    name: str
    cell: str  # name of the class in `unrolled`
    gates: tuple[str, ...]
    states: tuple[str, ...]
    step: Step
    options: Mapping[str, Any] = field(default_factory=dict)
    biases: Mapping[str, int | str] = field(
        default_factory=dict
    )  # absent with bias=False; a number: blocks of H
    weights: Mapping[str, tuple[str, ...]] | None = None  # beside W_ih; None: W_hh of all gates
    output: Callable[[int], int] = lambda H: H
    size_option: str | None = None  # of the constructor, for `output`
    narrow: tuple[str, ...] = ()  # states as wide as the output
    positive: tuple[str, ...] = ()  # states that must be
    bounded: bool = True  # however large the input, the output is not
    torch: str | None = None  # class in torch.nn
    onnx: str | None = None  # operator type
    onnx_options: Mapping[str, Any] = field(default_factory=dict)

    def shapes(self, I: int, H: int, bias: bool = True) -> dict[str, tuple[int, ...]]:
        def size(text: str) -> int:
            return int(text[:-1] or 1) * {"H": H, "O": self.output(H), "1": 1}[text[-1]]

        G = len(self.gates)
        weights = {"W_hh": (f"{G}H", "H")} if self.weights is None else self.weights
        biases = (
            {n: (size(f"{b}H" if isinstance(b, int) else b),) for n, b in self.biases.items()} if bias else {}
        )
        return {"W_ih": (G * H, I), **{n: tuple(map(size, s)) for n, s in weights.items()}, **biases}

    def state_size(self, name: str, H: int) -> int:
        return self.output(H) if name in self.narrow else H

    def new(self, I: int, H: int, **options: Any) -> Any:
        """A cell as its class makes it."""
        sized = {self.size_option: self.output(H)} if self.size_option else {}
        return getattr(ur, self.cell)(I, H, **{**self.options, **sized, **options})

    def make(self, I: int, H: int, dtype: Any = np.float64, seed: int = 0, **options: Any) -> Any:
        """A cell with random parameters, biases too: the biases of a new cell are zero and test nothing."""
        rng = np.random.default_rng(seed)
        cell = self.new(I, H, dtype=dtype, rng=rng, **options)
        for name, parameter in cell.parameters().items():
            randomize(parameter, rng, name)
        return cell

    def __str__(self) -> str:
        return self.name


def randomize(parameter: Any, rng: np.random.Generator, name: str = "") -> None:
    """Normal numbers of variance 1/columns (1/4 for vectors): no gate saturates, so that no term hides.
    Time constants are positive."""
    shape = parameter.shape
    scale = shape[1] ** -0.5 if len(shape) == 2 else 0.5
    values = rng.normal(size=shape) * scale
    parameter.data[...] = 1.5 + np.abs(values) if name.split(".")[-1] == "tau" else values


CASES = [
    Case(
        "RNN-tanh", "RNN", ("h",), ("h",), steps.elman(np.tanh), {"nonlinearity": "tanh"}, {"b": 1},
        torch="RNN", onnx="RNN", onnx_options={"activations": ["Tanh"]},
    ),
    Case(
        "RNN-relu", "RNN", ("h",), ("h",), steps.elman(steps.relu), {"nonlinearity": "relu"}, {"b": 1},
        bounded=False, torch="RNN", onnx="RNN", onnx_options={"activations": ["Relu"]},
    ),
    Case(
        "RNN-sigmoid", "RNN", ("h",), ("h",), steps.elman(steps.sigmoid), {"nonlinearity": "sigmoid"}, {"b": 1},
        onnx="RNN", onnx_options={"activations": ["Sigmoid"]},
    ),
    Case("LSTM", "LSTM", I_F_G_O, ("h", "c"), steps.lstm, {}, {"b": 4}, torch="LSTM", onnx="LSTM"),
    Case(
        "GRU", "GRU", ("r", "z", "n"), ("h",), steps.gru, {}, {"b": 3, "b_hn": 1},
        torch="GRU", onnx="GRU", onnx_options={"linear_before_reset": 1},
    ),
    Case(
        "GRUResetBefore", "GRUResetBefore", ("r", "z", "n"), ("h",), steps.gru_reset_before, {}, {"b": 3},
        onnx="GRU", onnx_options={"linear_before_reset": 0},
    ),
    Case(
        "PeepholeLSTM", "PeepholeLSTM", I_F_G_O, ("h", "c"), steps.peephole_lstm, {}, {"b": 4},
        {"W_hh": ("4H", "H"), "p_i": ("H",), "p_f": ("H",), "p_o": ("H",)}, onnx="LSTM",
    ),
    Case(
        "PeepholeLSTM-previous", "PeepholeLSTM", I_F_G_O, ("h", "c"), steps.peephole_lstm_previous,
        {"peepholes": "previous"}, {"b": 4},
        {"W_hh": ("4H", "H"), **dict.fromkeys(("p_i", "p_f", "p_g", "p_o"), ("H",))},
    ),
    Case(
        "CoupledLSTM", "CoupledLSTM", ("i", "g", "o"), ("h", "c"), steps.coupled_lstm, {}, {"b": 3},
        onnx="LSTM", onnx_options={"input_forget": 1},
    ),
    Case(
        "RNN-pre", "RNN", ("h",), ("h",), more.elman_pre(np.tanh), {"state": "pre"}, {"b": 1},
    ),
    Case(
        "LSTM-options", "LSTM", I_F_G_O, ("h", "c"), more.lstm_options,
        {"cell_clip": 0.4, "activations": {"i": "hard_sigmoid", "f": "softsign", "g": "relu", "o": "identity"}},
        {"b": 4}, bounded=False,
    ),
    Case("LSTM1997", "LSTM1997", ("i", "g", "o"), ("h", "c"), more.lstm_1997, {}, {"b": 3}),
    Case(
        "Jordan", "Jordan", ("s",), ("h",), more.jordan, {"output_nonlinearity": "sigmoid"}, {"b": 1, "b_o": "O"},
        {"W_hh": ("H", "O"), "W_ho": ("O", "H")}, about_half, "output_size", ("h",),
    ),
    Case(
        "ProjectedLSTM", "ProjectedLSTM", I_F_G_O, ("h", "c"), more.projected_lstm, {}, {"b": 4},
        {"W_hh": ("4H", "O"), "W_hr": ("O", "H")}, about_half, "projection_size", ("h",), torch="LSTM",
    ),
    Case(
        "FullPeepholeLSTM", "FullPeepholeLSTM", I_F_G_O, ("h", "c"), more.full_peephole_lstm, {}, {"b": 4},
        {"W_hh": ("4H", "H"), "W_ch": ("3H", "H")},
    ),
    Case(
        "MultiplicativeLSTM", "MultiplicativeLSTM", ("m", *I_F_G_O), ("h", "c"), more.multiplicative_lstm, {},
        {"b": 5}, {"W_hm": ("H", "H"), "W_mh": ("4H", "H")}, bounded=False,
    ),
    Case(
        "sLSTM", "sLSTM", ("i", "f", "z", "o"), ("h", "c", "n", "m"), more.slstm, {}, {"b": 4},
        positive=("n",), bounded=False,
    ),
    Case(
        "LayerNormRNN", "LayerNormRNN", ("h",), ("h",), more.layer_norm_rnn, {}, {"b": 1},
        {"W_hh": ("H", "H"), "g_ih": ("H",), "g_hh": ("H",)}, bounded=False,
    ),
    Case(
        "LayerNormLSTM", "LayerNormLSTM", I_F_G_O, ("h", "c"), more.layer_norm_lstm, {}, {"b": 4, "b_c": 1},
        GAINS_4, bounded=False,
    ),
    Case(
        "LayerNormGRU", "LayerNormGRU", ("r", "z", "n"), ("h",), more.layer_norm_gru, {}, {"b": 3, "b_hn": 1},
        {"W_hh": ("3H", "H"), "g_ih": ("3H",), "g_hh": ("3H",)}, bounded=False,
    ),
    Case("MGU", "MGU", ("f", "n"), ("h",), more.mgu, {}, {"b": 2}),
    Case(
        "BistableGRU", "BistableGRU", ("a", "c", "n"), ("h",), more.bistable_gru, {}, {"b": 3},
        {"u_a": ("H",), "u_c": ("H",)},
    ),
    Case(
        "RecurrentHighway", "RecurrentHighway", ("n", "t"), ("h",), more.recurrent_highway, {},
        {"b": 2, "b_deep": 4}, {"W_hh": ("6H", "H")},
    ),
    Case("MinimalGRU", "MinimalGRU", ("z", "n"), ("h",), more.minimal_gru, {}, {"b": 2}, {}, bounded=False),
    Case(
        "MinimalLSTM", "MinimalLSTM", ("f", "i", "n"), ("h",), more.minimal_lstm, {}, {"b": 3}, {}, bounded=False,
    ),
    Case(
        "SRU", "SRU", ("n", "f", "r", "s"), ("c",), more.sru, {}, {"b": 4}, {"v_f": ("H",), "v_r": ("H",)},
        bounded=False,
    ),
    Case("IndRNN", "IndRNN", ("h",), ("h",), more.ind_rnn, {}, {"b": 1}, {"w_hh": ("H",)}, bounded=False),
    Case(
        "LeakyRNN", "LeakyRNN", ("g",), ("h", "c"), more.leaky_rnn, {}, {"b": 1},
        {"W_hh": ("H", "H"), "a": ("1",), "s": ("1",)}, bounded=False,
    ),
    Case("CTRNN", "CTRNN", ("g",), ("h",), more.ctrnn, {}, {"b": 1}, {"W_hh": ("H", "H"), "tau": ("H",)}),
]  # fmt: skip

# Options of the classes above: values, gradients and invariants, not every test.
VARIANTS = [
    Case(
        "RNN-identity", "RNN", ("h",), ("h",), steps.elman(more.identity), {"nonlinearity": "identity"}, {"b": 1},
        bounded=False,
    ),
    Case(
        "GRU-new", "GRU", ("r", "z", "n"), ("h",), more.gru_takes_new, {"update": "new"}, {"b": 3, "b_hn": 1},
    ),
    Case(
        "BistableGRU-matrix", "BistableGRU", ("a", "c", "n"), ("h",), more.bistable_gru, {"recurrent": "matrix"},
        {"b": 3}, {"W_hh": ("2H", "H")},
    ),
    Case(
        "CTRNN-exponential", "CTRNN", ("g",), ("h",), more.ctrnn_exponential, {"method": "exponential"}, {"b": 1},
        {"W_hh": ("H", "H"), "tau": ("H",)},
    ),
    Case(
        "GRUResetBefore-new", "GRUResetBefore", ("r", "z", "n"), ("h",), more.gru_reset_before_takes_new,
        {"update": "new"}, {"b": 3},
    ),
    *(
        Case(
            f"RNN-pre-{name}", "RNN", ("h",), ("h",), more.elman_pre(phi), {"state": "pre", "nonlinearity": name},
            {"b": 1}, bounded=False,
        )
        for name, phi in [("relu", steps.relu), ("sigmoid", steps.sigmoid), ("identity", more.identity)]
    ),
    *(
        Case(
            f"RecurrentHighway-{depth}", "RecurrentHighway", ("n", "t"), ("h",), more.recurrent_highway,
            {"depth": depth}, {"b": 2, **({"b_deep": 2 * depth - 2} if depth > 1 else {})},
            {"W_hh": (f"{2 * depth}H", "H")},
        )
        for depth in (1, 2, 4, 5)
    ),
    *(
        Case(
            f"LeakyRNN-{a}-{s}", "LeakyRNN", ("g",), ("h", "c"), more.leaky_rnn, {"a": a, "s": s}, {"b": 1},
            {"W_hh": ("H", "H"), "a": LEAKS[a], "s": LEAKS[s]}, bounded=False,
        )
        for a in LEAKS for s in LEAKS if (a, s) != ("scalar", "scalar")
    ),
]  # fmt: skip
