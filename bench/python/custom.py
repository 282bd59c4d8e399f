"""Cells that no peer has: written as a loop in PyTorch and as a scan in JAX, the way their users write them.

The step of a cell is one function for both, over the few functions that differ between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import unrolled as ur

from .rows import OURS, Bench, Goal, Plan, Row
from .sides import forward_and_backward
from .workloads import Array, Call, Shape, Workload

EPSILON = 1e-5
# How many times faster than PyTorch's loop and JAX's scan, and what part of our own LSTM's speed.
SHAPES: dict[Shape, float] = {(100, 1, 32, 64): 40.0, (100, 32, 128, 256): 4.0}
JAX_TARGET = 3.0
MOST_OF_LSTM = 1.25


@dataclass(frozen=True)
class Functions:
    """What the step of a cell needs. `normalise` is layer normalisation over the features, without gain and bias."""

    sigmoid: Callable[[Any], Any]
    tanh: Callable[[Any], Any]
    quarters: Callable[[Any], Any]
    normalise: Callable[[Any], Any]


def plain_input(_: Functions, p: Any, x: Any) -> Any:
    return x @ p["W_ih"].T + p["b"]


def peephole_step(f: Functions, p: Any, state: Any, a: Any) -> tuple[Any, Any]:
    h, c = state
    i, forget, g, o = f.quarters(a + h @ p["W_hh"].T)
    c = f.sigmoid(forget + p["p_f"] * c) * c + f.sigmoid(i + p["p_i"] * c) * f.tanh(g)
    h = f.sigmoid(o + p["p_o"] * c) * f.tanh(c)
    return (h, c), h


def normalised_input(f: Functions, p: Any, x: Any) -> Any:
    return p["g_ih"] * f.normalise(x @ p["W_ih"].T) + p["b"]


def normalised_step(f: Functions, p: Any, state: Any, a: Any) -> tuple[Any, Any]:
    h, c = state
    i, forget, g, o = f.quarters(a + p["g_hh"] * f.normalise(h @ p["W_hh"].T))
    c = f.sigmoid(forget) * c + f.sigmoid(i) * f.tanh(g)
    h = f.sigmoid(o) * f.tanh(p["g_c"] * f.normalise(c) + p["b_c"])
    return (h, c), h


@dataclass(frozen=True)
class CustomCell:
    cell: str  # our class
    input: Callable[[Functions, Any, Any], Any]
    step: Callable[[Functions, Any, Any, Any], tuple[Any, Any]]


CUSTOM = [
    CustomCell("PeepholeLSTM", plain_input, peephole_step),
    CustomCell("LayerNormLSTM", normalised_input, normalised_step),
]


def custom(bench: Bench) -> Iterator[Row]:
    for kind in CUSTOM:
        for shape, target in list(SHAPES.items())[: 1 if bench.quick else None]:
            w = Workload("LSTM", *shape)

            def make(w: Workload = w, kind: CustomCell = kind) -> dict[str, Call]:
                return calls(bench, kind, w)

            goals = [Goal("torch", target), Goal("jax", JAX_TARGET), Goal("LSTM", 1 / MOST_OF_LSTM)]
            yield from bench.row(Plan("custom", w.name.replace("LSTM", kind.cell), goals, make))


def calls(bench: Bench, kind: CustomCell, w: Workload) -> dict[str, Call]:
    """Training calls of all sides with the same parameters, those of our cell made random."""
    cell = getattr(ur, kind.cell)(w.I, w.H)
    rng = np.random.default_rng(1)
    for tensor in cell.parameters().values():
        tensor.data[...] += 0.1 * rng.standard_normal(tensor.shape).astype(np.float32)
    parameters = {name: np.array(tensor) for name, tensor in cell.parameters().items()}
    named = list(cell.parameters().items())
    result = {OURS: forward_and_backward(cell, w.x, w.dy, named, {})}
    result["LSTM"] = Call(bench.ours.training(w).run)
    if torch := bench.peer("torch"):
        result["torch"] = torch_loop(torch, kind, w, parameters)
    if jax := bench.peer("jax"):
        result["jax"] = jax_scan(jax, kind, w, parameters)
    return result


def torch_loop(side: Any, kind: CustomCell, w: Workload, arrays: dict[str, Array]) -> Call:
    torch = side.torch
    f = Functions(
        torch.sigmoid,
        torch.tanh,
        lambda a: a.chunk(4, 1),
        lambda a: torch.nn.functional.layer_norm(a, a.shape[-1:], eps=EPSILON),
    )
    p = {name: torch.from_numpy(array.copy()).requires_grad_() for name, array in arrays.items()}

    def forward(x: Any) -> Any:
        state = (torch.zeros(w.B, w.H), torch.zeros(w.B, w.H))
        outputs = []
        for a_t in kind.input(f, p, x):
            state, y_t = kind.step(f, p, state, a_t)
            outputs.append(y_t)
        return torch.stack(outputs)

    call: Call = side.forward_and_backward(w, forward, list(p.items()), p.values())
    return call


def jax_scan(side: Any, kind: CustomCell, w: Workload, arrays: dict[str, Array]) -> Call:
    np_, nn = side.jax.numpy, side.jax.nn
    f = Functions(
        nn.sigmoid,
        np_.tanh,
        lambda a: np_.split(a, 4, axis=1),
        lambda a: nn.standardize(a, axis=-1, epsilon=EPSILON),
    )
    p = {name: np_.asarray(array) for name, array in arrays.items()}

    def forward(p: Any, x: Any) -> Any:
        zeros = (np_.zeros((w.B, w.H), np.float32),) * 2
        return side.scan(lambda p, s, a: kind.step(f, p, s, a), p, zeros, kind.input(f, p, x))[0]

    def names(gradients: dict[str, Any]) -> dict[str, Array]:
        return {name: np.asarray(array) for name, array in gradients.items()}

    call: Call = side.forward_and_backward(forward, p, np_.asarray(w.x), w.dy, names)
    return call
