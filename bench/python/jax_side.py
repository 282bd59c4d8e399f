"""JAX as a peer: a jitted `lax.scan` over each cell, the input products taken before the loop."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from .workloads import Array, Call, Product, Workload


class Jax:
    name = "jax"

    def __init__(self, threads: int) -> None:
        if threads == 1:
            flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
            os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()
        self.jax: Any = importlib.import_module("jax")
        self.version = str(self.jax.__version__)

    def step(self, cell: str) -> Any:
        np_, sigmoid = self.jax.numpy, self.jax.nn.sigmoid

        def elman(p: Any, state: Any, a: Any) -> Any:
            h = np_.tanh(a + state[0] @ p["W_hh"].T)
            return (h,), h

        def lstm(p: Any, state: Any, a: Any) -> Any:
            h, c = state
            i, f, g, o = np_.split(a + h @ p["W_hh"].T, 4, axis=1)
            c = sigmoid(f) * c + sigmoid(i) * np_.tanh(g)
            h = sigmoid(o) * np_.tanh(c)
            return (h, c), h

        def gru(p: Any, state: Any, a: Any) -> Any:
            (h,) = state
            a_r, a_z, a_n = np_.split(a, 3, axis=1)
            u_r, u_z, u_n = np_.split(h @ p["W_hh"].T, 3, axis=1)
            r, z = sigmoid(a_r + u_r), sigmoid(a_z + u_z)
            h = (1 - z) * np_.tanh(a_n + r * (u_n + p["b_hn"])) + z * h
            return (h,), h

        return {"RNN": elman, "LSTM": lstm, "GRU": gru}[cell]

    def scan(self, step: Any, p: Any, zeros: Any, a: Any, reverse: bool = False) -> tuple[Any, Any]:
        """Input parts (T, B, G*H) to y (T, B, H) and the last h."""
        state, y = self.jax.lax.scan(lambda s, a_t: step(p, s, a_t), zeros, a, reverse=reverse)
        return y, state[0]

    def forward(self, w: Workload) -> Callable[[Any, Any], Any]:
        step, count = self.step(w.cell), 2 if w.cell == "LSTM" else 1

        def run(parameters: Any, x: Any) -> Any:
            zeros = (self.jax.numpy.zeros((w.B, w.H), np.float32),) * count
            for layer in range(w.layers):
                outputs = []
                for part, p in zip(w.parts, parameters, strict=True):
                    if part.layer == layer:
                        a = x @ p["W_ih"].T + p["b"]
                        y, h = self.scan(step, p, zeros, a, part.reverse)
                        outputs.append(y)
                x = outputs[0] if len(outputs) == 1 else self.jax.numpy.concatenate(outputs, axis=-1)
            return x, h

        return run

    def arguments(self, w: Workload) -> tuple[Any, Any]:
        array = self.jax.numpy.asarray
        return [{n: array(a) for n, a in part.parameters.items()} for part in w.parts], array(w.x)

    def inference(self, w: Workload) -> Call | None:
        if w.variable or w.dtype != "float32":
            return None
        forward, (p, x) = self.jax.jit(self.forward(w)), self.arguments(w)

        def results(r: Any) -> dict[str, Array]:
            return {"y": np.asarray(r[0])} | ({"h": np.asarray(r[1])} if w.single else {})

        return Call(lambda: self.jax.block_until_ready(forward(p, x)), results)

    def linear(self, product: Product) -> Call:
        x, W, b = (self.jax.numpy.asarray(array) for array in (product.x, product.W, product.b))
        forward = self.jax.jit(lambda x: x @ W.T + b)  # weights are constants, as a service has them
        return Call(lambda: self.jax.block_until_ready(forward(x)), lambda y: {"y": np.asarray(y)})

    def training(self, w: Workload) -> Call | None:
        if w.variable or w.dtype != "float32":
            return None
        forward, (p, x) = self.forward(w), self.arguments(w)

        def named(gradients: Any) -> dict[str, Array]:
            pairs = zip(w.parts, gradients, strict=True)
            return {part.key(n): np.asarray(a) for part, of in pairs for n, a in of.items()}

        return self.forward_and_backward(lambda p, x: forward(p, x)[0], p, x, w.dy, named)

    def forward_and_backward(
        self, forward: Callable[[Any, Any], Any], p: Any, x: Any, dy: Array, named: Callable[[Any], Any]
    ) -> Call:
        """A training call of `forward`, parameters and input to an output; `named` gives the gradients their names."""
        given = self.jax.numpy.asarray(dy)

        def both(p: Any, x: Any, given: Any) -> Any:
            y, pull = self.jax.vjp(forward, p, x)
            return y, pull(given)

        jitted = self.jax.jit(both)

        def results(r: Any) -> dict[str, Array]:
            y, (dp, dx) = r
            return {"y": np.asarray(y), "x": np.asarray(dx), **named(dp)}

        return Call(lambda: self.jax.block_until_ready(jitted(p, x, given)), results)
