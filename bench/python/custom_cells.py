"""Cells and a grid that no peer has, written over the few functions in which PyTorch, JAX and NumPy differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

EPSILON = 1e-5


@dataclass(frozen=True)
class Functions:
    """What the cells need. `normalise` is layer normalisation over the features, without gain and bias; `quarters`
    splits features, `join` puts two blocks of them side by side."""

    sigmoid: Callable[[Any], Any]
    tanh: Callable[[Any], Any]
    quarters: Callable[[Any], Any]
    normalise: Callable[[Any], Any]
    join: Callable[[Any, Any], Any]


def of_torch(torch: Any) -> Functions:
    return Functions(
        torch.sigmoid,
        torch.tanh,
        lambda a: a.chunk(4, 1),
        lambda a: torch.nn.functional.layer_norm(a, a.shape[-1:], eps=EPSILON),
        lambda a, b: torch.cat((a, b), 1),
    )


def of_jax(jax: Any) -> Functions:
    return Functions(
        jax.nn.sigmoid,
        jax.numpy.tanh,
        lambda a: jax.numpy.split(a, 4, axis=1),
        lambda a: jax.nn.standardize(a, axis=-1, epsilon=EPSILON),
        lambda a, b: jax.numpy.concatenate((a, b), axis=1),
    )


def of_numpy() -> Functions:
    def normalise(a: Any) -> Any:
        return (a - a.mean(-1, keepdims=True)) / np.sqrt(a.var(-1, keepdims=True) + EPSILON)

    return Functions(
        lambda a: 1 / (1 + np.exp(-a)),
        np.tanh,
        lambda a: np.split(a, 4, axis=1),
        normalise,
        lambda a, b: np.concatenate((a, b), axis=1),
    )


def plain_input(_: Functions, p: Any, x: Any) -> Any:
    return x @ p["W_ih"].T + p["b"]


def lstm_point(f: Functions, sums: Any, c: Any) -> tuple[Any, Any]:
    """h and c from the sums of i f g o."""
    i, forget, g, o = f.quarters(sums)
    c = f.sigmoid(forget) * c + f.sigmoid(i) * f.tanh(g)
    return f.sigmoid(o) * f.tanh(c), c


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


def continuous_step(f: Functions, p: Any, state: Any, a: Any) -> tuple[Any, Any]:
    """Explicit Euler with dt = 1."""
    (h,) = state
    h = h + (f.tanh(a + h @ p["W_hh"].T) - h) / p["tau"]
    return (h,), h


def jordan_step(f: Functions, p: Any, state: Any, a: Any) -> tuple[Any, Any]:
    (y,) = state
    y = f.tanh(f.tanh(a + y @ p["W_hh"].T) @ p["W_ho"].T + p["b_o"])
    return (y,), y


def grid_outputs(f: Functions, p: Any, x: Any, zeros: Any) -> list[Any]:
    """GridLSTM in two dimensions, block by block. x (T, B, I), zeros (B, H); y[t] (B, H) for each t."""
    depth, H = p["W"].shape[0], zeros.shape[1]
    along_time = [(zeros, zeros)] * depth
    outputs = []
    for x_t in x:
        entering = x_t @ p["W_in"].T + p["b_in"]
        h, c = entering[:, :H], entering[:, H:]
        for layer in range(depth):
            h_time, c_time = along_time[layer]
            sums = f.join(h_time, h) @ p["W"][layer].T + p["b"][layer]
            along_time[layer] = lstm_point(f, sums[:, : 4 * H], c_time)
            h, c = lstm_point(f, sums[:, 4 * H :], c)
        outputs.append(h)
    return outputs


@dataclass(frozen=True)
class CustomCell:
    """Equations of a cell of ours, and how many arrays its state has. `gated`: it is an LSTM with something more."""

    cell: str  # our class
    input: Callable[[Functions, Any, Any], Any]
    step: Callable[[Functions, Any, Any, Any], tuple[Any, Any]]
    states: int
    gated: bool


CUSTOM = [
    CustomCell("PeepholeLSTM", plain_input, peephole_step, 2, True),
    CustomCell("LayerNormLSTM", normalised_input, normalised_step, 2, True),
    CustomCell("CTRNN", plain_input, continuous_step, 1, False),
    CustomCell("Jordan", plain_input, jordan_step, 1, False),
]
