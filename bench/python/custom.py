"""Cells that no peer has: written as a loop in PyTorch and as a scan in JAX, the way their users write them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import unrolled as ur

from .custom_cells import CUSTOM, CustomCell, grid_outputs, of_jax, of_torch
from .rows import OURS, Bench, Goal, Plan, Row
from .sides import forward_and_backward
from .workloads import Array, Call, Shape, Workload

# How many times faster than PyTorch's loop and JAX's scan, and what part of our own LSTM's speed.
GATED: dict[Shape, float] = {(100, 1, 32, 64): 40.0, (100, 32, 128, 256): 4.0}
JAX_TARGET = 3.0
MOST_OF_LSTM = 1.25
SMALL: Shape = (100, 1, 32, 64)
SMALL_TARGET = 5.0  # over PyTorch, of the cells that are no LSTM, and of the grid
GRID_DEPTH = 10
GRIDS: list[Shape] = [(10, 1, 32, 32), (10, 8, 32, 32)]


def custom(bench: Bench) -> Iterator[Row]:
    for kind in CUSTOM:
        shapes = GATED if kind.gated else {SMALL: SMALL_TARGET}
        for shape, target in list(shapes.items())[: 1 if bench.quick else None]:
            w = Workload("LSTM", *shape)
            goals = [Goal("torch", target)]
            if kind.gated:
                goals += [Goal("jax", JAX_TARGET), Goal("LSTM", 1 / MOST_OF_LSTM)]
            name = w.name.replace("LSTM", kind.cell)
            yield from bench.row(Plan("custom", name, goals, partial(calls, bench, kind, w)))
    for shape in GRIDS[: 1 if bench.quick else None]:
        w = Workload("LSTM", *shape)
        name = f"{w.name.replace('LSTM', 'GridLSTM')} depth={GRID_DEPTH}"
        yield from bench.row(
            Plan("custom", name, [Goal("torch", SMALL_TARGET)], partial(grid_calls, bench, w))
        )


def randomised(layer: Any) -> dict[str, Array]:
    """Makes all parameters of a layer of ours random, and gives copies of them."""
    rng = np.random.default_rng(1)
    for tensor in layer.parameters().values():
        tensor.data[...] += 0.1 * rng.standard_normal(tensor.shape).astype(np.float32)
    return {name: np.array(tensor) for name, tensor in layer.parameters().items()}


def calls(bench: Bench, kind: CustomCell, w: Workload) -> dict[str, Call]:
    """Training calls of all sides with the same parameters."""
    cell = getattr(ur, kind.cell)(w.I, w.H, rng=np.random.default_rng(0))
    parameters = randomised(cell)
    result = {OURS: forward_and_backward(cell, w.x, w.dy, list(cell.parameters().items()), {})}
    if kind.gated:
        result["LSTM"] = Call(bench.ours.training(w).run)
    if torch := bench.peer("torch"):
        result["torch"] = torch_loop(torch, kind, w, parameters)
    if jax := bench.peer("jax"):
        result["jax"] = jax_scan(jax, kind, w, parameters)
    return result


def grid_calls(bench: Bench, w: Workload) -> dict[str, Call]:
    grid = ur.GridLSTM(w.I, w.H, GRID_DEPTH, rng=np.random.default_rng(0))
    parameters = randomised(grid)
    result = {OURS: forward_and_backward(grid, w.x, w.dy, list(grid.parameters().items()), {})}
    if torch := bench.peer("torch"):
        zeros = torch.torch.zeros(w.B, w.H)
        result["torch"] = torch_call(torch, w, parameters, lambda f, p, x: grid_outputs(f, p, x, zeros))
    return result


def torch_call(
    side: Any, w: Workload, arrays: dict[str, Array], outputs: Callable[[Any, Any, Any], list[Any]]
) -> Call:
    """A training call of what gives y[t] for each t, from functions, parameters and x."""
    torch, f = side.torch, of_torch(side.torch)
    p = {name: torch.from_numpy(array.copy()).requires_grad_() for name, array in arrays.items()}
    call: Call = side.forward_and_backward(
        w, lambda x: torch.stack(outputs(f, p, x)), list(p.items()), p.values()
    )
    return call


def torch_loop(side: Any, kind: CustomCell, w: Workload, arrays: dict[str, Array]) -> Call:
    def outputs(f: Any, p: Any, x: Any) -> list[Any]:
        state = tuple(side.torch.zeros(w.B, w.H) for _ in range(kind.states))
        found = []
        for a_t in kind.input(f, p, x):
            state, y_t = kind.step(f, p, state, a_t)
            found.append(y_t)
        return found

    return torch_call(side, w, arrays, outputs)


def jax_scan(side: Any, kind: CustomCell, w: Workload, arrays: dict[str, Array]) -> Call:
    np_, f = side.jax.numpy, of_jax(side.jax)
    p = {name: np_.asarray(array) for name, array in arrays.items()}

    def forward(p: Any, x: Any) -> Any:
        zeros = (np_.zeros((w.B, w.H), np.float32),) * kind.states
        return side.scan(lambda p, s, a: kind.step(f, p, s, a), p, zeros, kind.input(f, p, x))[0]

    def names(gradients: dict[str, Any]) -> dict[str, Array]:
        return {name: np.asarray(array) for name, array in gradients.items()}

    call: Call = side.forward_and_backward(forward, p, np_.asarray(w.x), w.dy, names)
    return call
