"""The table of cells: one row per cell, each with a step in NumPy written from its paper, not the library.

A new cell adds one `Case`; every `test_cells_*.py` then runs for it. A step takes the parameters by name, one
input (B, I) and the state as a tuple of (B, H) arrays; it returns the output (B, O) and the next state. Steps
are analytic wherever they are differentiable and accept complex numbers: one complex evaluation then gives an
exact directional derivative.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import unrolled as ur

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


# ---- steps ----


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


# ---- table ----


@dataclass(frozen=True)
class Case:
    """One row: how to make the cell, what it must have, and its step."""

    name: str
    cell: str  # name of the class in `unrolled`
    gates: tuple[str, ...]
    states: tuple[str, ...]
    step: Step
    options: Mapping[str, Any] = field(default_factory=dict)
    biases: Mapping[str, int] = field(default_factory=dict)  # name -> blocks of H rows
    torch: str | None = None  # class in torch.nn
    onnx: str | None = None  # operator type
    onnx_options: Mapping[str, Any] = field(default_factory=dict)

    def shapes(self, I: int, H: int, bias: bool = True) -> dict[str, tuple[int, ...]]:
        G = len(self.gates)
        biases = {name: (blocks * H,) for name, blocks in self.biases.items()} if bias else {}
        return {"W_ih": (G * H, I), "W_hh": (G * H, H), **biases}

    def make(self, I: int, H: int, dtype: Any = np.float64, seed: int = 0, **options: Any) -> Any:
        """A cell with random parameters, biases too: the biases of a new cell are zero and test nothing."""
        rng = np.random.default_rng(seed)
        cell = getattr(ur, self.cell)(I, H, dtype=dtype, rng=rng, **self.options, **options)
        for parameter in cell.parameters().values():
            randomize(parameter, rng)
        return cell

    def __str__(self) -> str:
        return self.name


def randomize(parameter: Any, rng: np.random.Generator) -> None:
    """Normal numbers of variance 1/columns (1/4 for vectors): no gate saturates, so that no term hides."""
    shape = parameter.shape
    scale = shape[1] ** -0.5 if len(shape) == 2 else 0.5
    parameter.data[...] = rng.normal(size=shape) * scale


CASES = [
    Case(
        "RNN-tanh", "RNN", ("h",), ("h",), elman(np.tanh), {"nonlinearity": "tanh"}, {"b": 1},
        torch="RNN", onnx="RNN", onnx_options={"activations": ["Tanh"]},
    ),
    Case(
        "RNN-relu", "RNN", ("h",), ("h",), elman(relu), {"nonlinearity": "relu"}, {"b": 1},
        torch="RNN", onnx="RNN", onnx_options={"activations": ["Relu"]},
    ),
    Case(
        "RNN-sigmoid", "RNN", ("h",), ("h",), elman(sigmoid), {"nonlinearity": "sigmoid"}, {"b": 1},
        onnx="RNN", onnx_options={"activations": ["Sigmoid"]},
    ),
    Case("LSTM", "LSTM", ("i", "f", "g", "o"), ("h", "c"), lstm, {}, {"b": 4}, torch="LSTM", onnx="LSTM"),
    Case(
        "GRU", "GRU", ("r", "z", "n"), ("h",), gru, {}, {"b": 3, "b_hn": 1},
        torch="GRU", onnx="GRU", onnx_options={"linear_before_reset": 1},
    ),
    Case(
        "GRUResetBefore", "GRUResetBefore", ("r", "z", "n"), ("h",), gru_reset_before, {}, {"b": 3},
        onnx="GRU", onnx_options={"linear_before_reset": 0},
    ),
]  # fmt: skip
