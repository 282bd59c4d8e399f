"""Networks of several cells: both directions, and three layers, beside the peers' and beside their parts run alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import unrolled as ur

from .grid import everybody
from .rows import Bench, Goal, Plan, Row
from .sides import forward_and_backward
from .workloads import STACKS, Array, Call, Workload


def stacks(bench: Bench) -> Iterator[Row]:
    for kind in ("inference", "training"):
        for shape in STACKS[:1] if bench.quick else STACKS:
            for cell in ("LSTM", "GRU"):
                for options in ({"bidirectional": True}, {"layers": 3}):
                    w = Workload(cell, *shape, **options)

                    def make(w: Workload = w, kind: str = kind) -> dict[str, Call]:
                        return everybody(bench, kind, w)() | {"parts": parts(bench, w, kind)}

                    goals = [Goal(bench.against, 1.0), Goal("parts", 1.0)]
                    yield from bench.row(Plan(f"stacks {kind}", w.name, goals, make))


def parts(bench: Bench, w: Workload, kind: str) -> Call:
    """The cells of a network one after the other, each on the input that it has in the network: what the network
    would cost if it added nothing to its parts and shared nothing between them."""
    calls = []
    x = w.x
    dy = [np.ascontiguousarray(part) for part in np.split(w.dy, w.directions, axis=-1)]
    for layer in range(w.layers):
        outputs = []
        for part in (part for part in w.parts if part.layer == layer):
            cell = bench.ours.cell(w, part)
            with ur.no_grad():
                outputs.append(np.asarray(cell(x, reverse=part.reverse)[0]))
            if kind == "inference":
                calls.append(alone(cell, x, part.reverse))
            else:
                named = list(cell.parameters().items())
                calls.append(
                    forward_and_backward(cell, x, dy[part.reverse], named, {"reverse": part.reverse}).run
                )
        x = np.concatenate(outputs, axis=-1)

    def run() -> None:
        for call in calls:
            call()

    return Call(run)


def alone(cell: Any, x: Array, reverse: bool) -> Any:
    def run() -> Any:
        with ur.no_grad():
            return cell(x, reverse=reverse)

    return run
