"""What part of the machine's own best sgemm rate large LSTMs reach, measured in the same run."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import unrolled as ur

from .rows import OURS, Bench, Goal, Plan, Row
from .timing import interleave
from .workloads import GRID, Array, Call, Shape, Workload

SIZES = (1024, 2048, 4096)  # of the square matrices
TARGETS = {"inference": 0.90, "training": 0.85}
PASSES = {"inference": 1, "training": 3}  # a backward pass has twice the products of a forward pass
QUICK: list[Shape] = [(10, 32, 128, 256)]


def share(bench: Bench) -> Iterator[Row]:
    large = [shape for shape in GRID if shape[1] >= 32 and shape[3] >= 256]
    products = fastest_sizes(bench)
    for kind in ("inference", "training"):
        for shape in QUICK if bench.quick else large:
            w = Workload("LSTM", *shape)
            operations = PASSES[kind] * w.operations

            def make(w: Workload = w, kind: str = kind, operations: float = operations) -> dict[str, Call]:
                calls = {OURS: getattr(bench.ours, kind)(w)}
                for name, (size, product) in products.items():
                    calls[f"sgemm {name}"] = Call(product, work=2 * size**3 / operations)
                return calls

            for row in bench.row(Plan("share", f"{kind} {w.name}", [Goal("sgemm", TARGETS[kind])], make)):
                if row.times:
                    best = min(t.median for name, t in row.times.items() if name != OURS)
                    row.note = f"sgemm {operations / best / 1e9:,.0f} GFLOP/s {row.note}".strip()
                yield row


def fastest_sizes(bench: Bench) -> dict[str, tuple[int, Callable[[], Any]]]:
    """For every library that multiplies matrices: its product of the size with the highest rate."""
    result: dict[str, tuple[int, Callable[[], Any]]] = {}
    best: dict[str, float] = {}
    for size in SIZES[:1] if bench.quick else SIZES:
        calls = products(bench, size)
        for name, times in interleave(calls, 0).items():
            rate = 2 * size**3 / times.median
            if rate > best.get(name, 0):
                best[name], result[name] = rate, (size, calls[name])
    return result


def products(bench: Bench, size: int) -> dict[str, Callable[[], Any]]:
    rng = np.random.default_rng(size)
    a, b = (rng.standard_normal((size, size), np.float32) for _ in range(2))
    out = np.empty((size, size), np.float32)
    result: dict[str, Callable[[], Any]] = {"unrolled": lambda: ours(a, b)}
    if bench.threads == os.cpu_count() or limited_numpy(bench.threads):
        result["numpy"] = lambda: np.matmul(a, b, out=out)
    if torch := bench.peer("torch"):
        tensors = [torch.torch.from_numpy(array) for array in (a, b, np.empty_like(out))]
        result["torch"] = lambda: torch.torch.mm(tensors[0], tensors[1], out=tensors[2])
    return result


def ours(a: Array, b: Array) -> Any:
    with ur.no_grad():
        return ur.matmul(a, b)


def limited_numpy(threads: int) -> bool:
    """Whether the threads of NumPy's products could be limited."""
    if importlib.util.find_spec("threadpoolctl") is None:
        return False
    importlib.import_module("threadpoolctl").threadpool_limits(threads, "blas")
    return True
