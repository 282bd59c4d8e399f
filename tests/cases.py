"""The table of cells: one row per cell, each with a step in NumPy from `steps.py`.

A new cell adds one `Case`; every `test_cells_*.py` then runs for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import steps
import unrolled as ur
from steps import Array as Array
from steps import Parameters as Parameters
from steps import State as State
from steps import Step as Step

I_F_G_O = ("i", "f", "g", "o")


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
]  # fmt: skip
