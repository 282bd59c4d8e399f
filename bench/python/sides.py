"""unrolled and its peers behind one interface: each turns a workload into a call, or says that it cannot."""

from __future__ import annotations

import importlib.util
import os
from typing import Any, Protocol

import numpy as np

import unrolled as ur

from .workloads import Array, Call, Part, Product, Workload, gradients


class Side(Protocol):
    name: str
    version: str

    def inference(self, w: Workload) -> Call | None: ...
    def training(self, w: Workload) -> Call | None: ...
    def linear(self, product: Product) -> Call: ...


class Unrolled:
    name = "unrolled"

    def __init__(self, threads: int) -> None:
        ur.set_num_threads(threads)
        self.version = ur.__version__

    def cell(self, w: Workload, part: Part | None = None) -> Any:
        part = part or w.parts[0]
        cell = getattr(ur, w.cell)(part.I, w.H, dtype=w.dtype)
        for name, array in part.parameters.items():
            cell.parameters()[name].data[...] = array
        return cell

    def network(self, w: Workload) -> tuple[Any, list[tuple[str, Any]]]:
        """The network of a workload, and its parameters by the names that all sides give them."""
        cells = [self.cell(w, part) for part in w.parts]
        named = [
            (part.key(name), cell.parameters()[name])
            for part, cell in zip(w.parts, cells, strict=True)
            for name in part.parameters
        ]
        layers = cells
        if w.bidirectional:
            layers = [ur.Bidirectional(*cells[k : k + 2]) for k in range(0, len(cells), 2)]
        return layers[0] if len(layers) == 1 else ur.Stack(layers), named

    def inference(self, w: Workload) -> Call:
        network, _ = self.network(w)
        options = {"lengths": w.lengths} if w.variable else {}

        def run() -> Any:
            with ur.no_grad():
                return network(w.x, **options)

        def results(r: Any) -> dict[str, Array]:
            last = {"h": np.asarray(r[1].h)} if w.single else {}
            return {"y": np.asarray(r[0]), **last}

        return Call(run, results)

    def training(self, w: Workload, recompute: bool = False) -> Call:
        network, parameters = self.network(w)
        if recompute:
            network.recompute = True
        options = {"lengths": w.lengths} if w.variable else {}
        return forward_and_backward(network, w.x, w.dy, parameters, options)

    def linear(self, product: Product) -> Call:
        outputs, inputs = product.W.shape
        layer = ur.Linear(inputs, outputs)
        layer.load_parameters({"W": product.W, "b": product.b})

        def run() -> Any:
            with ur.no_grad():
                return layer(product.x)

        return Call(run, lambda y: {"y": np.asarray(y)})

    def step(self, w: Workload) -> Call:
        cell = self.cell(w)
        x_t, state = w.x[0], cell.initial_state(w.B)
        return Call(lambda: cell.step(x_t, state), lambda r: {"y": r[0][None], "h": r[1].h})


def forward_and_backward(
    network: Any, x: Array, dy: Array, parameters: list[tuple[str, Any]], options: dict[str, Any]
) -> Call:
    """A training call of one of our networks: gradients of the input and of all parameters."""
    source = ur.Tensor(x, requires_grad=True)
    into = [("x", source), *parameters]

    def run() -> Any:
        for _, tensor in into:
            tensor.grad = None
        y, _ = network(source, **options)
        y.backward(dy)
        return y

    return Call(run, lambda y: {"y": np.asarray(y), **gradients(into)})


def available(names: list[str] | None, threads: int) -> list[Side]:
    """unrolled first, then the peers that are installed, or those that were asked for."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    from .jax_side import Jax  # each imports its library only when made
    from .onnx_side import OnnxRuntime
    from .torch_side import Torch

    peers: dict[str, Any] = {"torch": Torch, "onnxruntime": OnnxRuntime, "jax": Jax}
    needs = {"onnxruntime": ("onnxruntime", "onnx")}
    installed = [
        name
        for name in peers
        if all(importlib.util.find_spec(package) is not None for package in needs.get(name, (name,)))
    ]
    chosen = installed if names is None else names
    unknown = set(chosen) - set(peers)
    if unknown:
        raise ValueError(f"peers: received {sorted(unknown)}, expected some of {sorted(peers)}")
    return [Unrolled(threads), *(peers[name](threads) for name in chosen)]
