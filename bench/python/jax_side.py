"""JAX as a peer: a jitted `lax.scan` over each cell, the input products taken before the loop."""

from __future__ import annotations

import importlib
import os
from typing import Any

import numpy as np

from .workloads import GATES, Array, Call, Workload


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

    def forward(self, w: Workload) -> Any:
        step, count = self.step(w.cell), 2 if w.cell == "LSTM" else 1

        def run(p: Any, x: Any) -> Any:
            zeros = self.jax.numpy.zeros((w.B, w.H), np.float32)
            a = x @ p["W_ih"].T + p["b"]
            state, y = self.jax.lax.scan(lambda s, a_t: step(p, s, a_t), (zeros,) * count, a)
            return y, state[0]

        return run

    def arguments(self, w: Workload) -> tuple[Any, Any]:
        assert w.parameters["W_ih"].shape[0] == GATES[w.cell] * w.H
        return {n: self.jax.numpy.asarray(a) for n, a in w.parameters.items()}, self.jax.numpy.asarray(w.x)

    def inference(self, w: Workload) -> Call | None:
        if w.variable:
            return None
        forward, (p, x) = self.jax.jit(self.forward(w)), self.arguments(w)
        run = lambda: self.jax.block_until_ready(forward(p, x))  # noqa: E731
        return Call(run, lambda r: {"y": np.asarray(r[0]), "h": np.asarray(r[1])})

    def training(self, w: Workload) -> Call | None:
        if w.variable:
            return None
        forward, (p, x) = self.forward(w), self.arguments(w)
        dy = self.jax.numpy.asarray(w.dy)

        def both(p: Any, x: Any) -> Any:
            y, pull = self.jax.vjp(lambda p, x: forward(p, x)[0], p, x)
            return y, pull(dy)

        jitted = self.jax.jit(both)

        def results(r: Any) -> dict[str, Array]:
            y, (dp, dx) = r
            return {"y": np.asarray(y), "x": np.asarray(dx), **{n: np.asarray(a) for n, a in dp.items()}}

        return Call(lambda: self.jax.block_until_ready(jitted(p, x)), results)
