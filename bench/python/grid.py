"""The groups of single cells: the grid, in float32 and float64, streaming steps, unequal lengths, two threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

import unrolled as ur

from .rows import OURS, Bench, Goal, Plan, Row
from .workloads import CELLS, GRID, QUICK_GRID, QUICK_VARIABLE, STEP_SIZES, VARIABLE, Call, Shape, Workload

PRODUCT = "product"  # of two matrices, by which the cores of the machine are judged
TRUE_CORES = 0.85  # of as many times as fast as there are threads
ATTEMPTS = 4


def shapes(bench: Bench) -> list[Shape]:
    return QUICK_GRID if bench.quick else GRID


def everybody(bench: Bench, kind: str, w: Workload) -> Callable[[], dict[str, Call]]:
    """The calls of all sides that can run a workload; `kind` is "inference" or "training"."""

    def make() -> dict[str, Call]:
        made = {side.name: getattr(side, kind)(w) for side in bench.sides}
        return {name: call for name, call in made.items() if call is not None}

    return make


def inference(bench: Bench) -> Iterator[Row]:
    yield from _grid(bench, "inference")


def training(bench: Bench) -> Iterator[Row]:
    yield from _grid(bench, "training")


def _grid(bench: Bench, kind: str) -> Iterator[Row]:
    for cell in CELLS:
        for shape in shapes(bench):
            w = Workload(cell, *shape)
            yield from bench.row(Plan(kind, w.name, [Goal(bench.against, 1.0)], everybody(bench, kind, w)))


def float64(bench: Bench) -> Iterator[Row]:
    """Training in float64, beside PyTorch; without the two shapes of most work. The goal is the mean's."""
    by_work = sorted(shapes(bench), key=lambda shape: Workload("RNN", *shape).operations)
    chosen = [shape for shape in shapes(bench) if bench.quick or shape in by_work[:-2]]
    for cell in CELLS:
        for shape in chosen:
            w = Workload(cell, *shape, dtype="float64")
            yield from bench.row(Plan("float64", w.name, [], everybody(bench, "training", w)))


def steps(bench: Bench) -> Iterator[Row]:
    """One streaming step at batch 1 through Python; peers call their layer with T = 1."""
    for cell in CELLS:
        for H in STEP_SIZES:
            w = Workload(cell, 1, 1, H, H)

            def make(w: Workload = w) -> dict[str, Call]:
                return everybody(bench, "inference", w)() | {OURS: bench.ours.step(w)}

            goals = [Goal("onnxruntime", 3.0)] + ([Goal("torch", 10.0)] if H == 64 else [])
            yield from bench.row(Plan("step", w.name, goals, make))


def lengths(bench: Bench) -> Iterator[Row]:
    """Training on sequences of unequal length, with lengths=: beside PackedSequence; beside the padded batch with
    us, where the ideal is the inverse of the valid part of the steps; and beside PyTorch's padded batch."""
    for cell in ("LSTM", "GRU"):
        for shape in QUICK_VARIABLE if bench.quick else VARIABLE:
            w, full = Workload(cell, *shape, variable=True), Workload(cell, *shape)

            def make(w: Workload = w, full: Workload = full) -> dict[str, Call]:
                calls = {OURS: bench.ours.training(w), "padded": Call(bench.ours.training(full).run)}
                if torch := bench.peer("torch"):
                    calls["packed torch"] = torch.training(w)
                    calls["padded-torch"] = Call(torch.training(full).run)
                return calls

            filled = float(w.lengths.mean() / w.T)
            goals = [Goal("packed", 5.0), Goal("padded", 1 / filled / 1.1), Goal("padded-torch", 1.0)]
            note = f"{filled:.0%} filled, ideal beside padded {1 / filled:.2f}"
            yield from bench.row(Plan("lengths", w.name, goals, make, note))


def scaling(bench: Bench) -> Iterator[Row]:
    """Ourselves on all threads beside one, with the same results."""
    if bench.threads < 2:
        return
    a, b = (np.random.default_rng(seed).standard_normal((512, 512), np.float32) for seed in range(2))
    product = Call(lambda: ur.matmul(a, b))
    for kind in ("inference", "training"):
        for cell in CELLS:
            for shape in shapes(bench):
                w = Workload(cell, *shape)

                def make(w: Workload = w, kind: str = kind) -> dict[str, Call]:
                    calls = [getattr(bench.ours, kind)(w) for _ in range(2)]
                    return {
                        OURS: with_threads(calls[0], bench.threads, bench.threads),
                        "one": with_threads(calls[1], 1, bench.threads),
                        PRODUCT: with_threads(product, bench.threads, bench.threads),
                        f"{PRODUCT} one": with_threads(product, 1, bench.threads),
                    }

                enough = w.H >= 128 and w.T * w.B >= 64
                # Below, both may run on one thread and take the same time, which noise puts on either side of 1.
                goal = Goal("one", 0.9 * bench.threads) if enough else Goal("one", 1.0, slack=0.03)
                yield from on_true_cores(bench, Plan("scaling", f"{kind} {w.name}", [goal], make))


def on_true_cores(bench: Bench, plan: Plan) -> Iterator[Row]:
    """The row, again if it was measured while the machine's processors were no cores of their own, as a matrix product
    shows: a host may give two of them one core for seconds. The note says what the product gained.
    """
    gains: list[tuple[float, Row]] = []
    for _ in range(1 if bench.quick else ATTEMPTS):
        for row in bench.row(plan):
            if not row.times:  # the sides disagree
                yield row
                return
            gain = row.times[f"{PRODUCT} one"].median / row.times[PRODUCT].median
            row.note = "; ".join(filter(None, [f"product {gain:.2f}", row.note]))
            gains.append((gain, row))
        if not gains or gains[-1][0] > TRUE_CORES * bench.threads:
            break
    if gains:
        yield max(gains, key=lambda pair: pair[0])[1]


def with_threads(call: Call, threads: int, afterwards: int) -> Call:
    def run() -> object:
        ur.set_num_threads(threads)
        result = call.run()
        ur.set_num_threads(afterwards)
        return result

    return Call(run, call.results)
