"""Peak memory of a training call, each side in a process of its own: `python -m bench.python.memory -h`.

What counts is the largest resident memory during the call less that before it: layer, input and gradient of the output
are there before; the output, all gradients, and what is kept or scratch are not. The library has been used before, on
a short sequence through layers of the same size, so that its threads and compiled kernels are there.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from .rows import OURS, Bench, Goal, Plan, Row
from .sides import Unrolled, available
from .timing import Times
from .workloads import CELLS, Call, Shape, Workload

SHAPES: list[Shape] = [(100, 32, 128, 256), (784, 64, 1, 128), (50, 64, 256, 512), (100, 1, 512, 512)]
LONG: Shape = (784, 64, 1, 128)
QUICK_LONG: Shape = (100, 16, 32, 64)
MOST = 0.7  # of PyTorch's memory
MOST_TIME = 1.4  # of the time without recomputing
GROWTH = 2.0  # sqrt(4): of the memory of four times as many steps


def memory(bench: Bench) -> Iterator[Row]:
    if not Path("/proc/self/clear_refs").exists():
        print("memory: this system does not tell the peak memory of a part of a process")
        return
    for cell in ("LSTM",) if bench.quick else CELLS:
        for shape in SHAPES[:1] if bench.quick else SHAPES:
            w = Workload(cell, *shape)
            if bench.wants("memory", w.name):
                row = Row("memory", w.name, [Goal("torch", 1 / MOST)], unit="MB")
                for peer in (name for name in bench.peers if name != "onnxruntime"):
                    row.times[peer] = peak(peer, w, bench.threads)
                row.times[OURS] = peak(OURS, w, bench.threads)
                yield row
    for cell in ("LSTM", "GRU"):
        yield from recomputing(bench, Workload(cell, *(QUICK_LONG if bench.quick else LONG)))


def recomputing(bench: Bench, w: Workload) -> Iterator[Row]:
    """With `recompute`: the time beside that without, and the growth of memory with T beyond what the caller gets,
    y and the gradients."""

    def make() -> dict[str, Call]:
        return {OURS: bench.ours.training(w, recompute=True), "kept": bench.ours.training(w)}

    yield from bench.row(Plan("memory", f"recompute time {w.name}", [Goal("kept", 1 / MOST_TIME)], make))
    if bench.wants("memory", name := f"recompute {w.name}"):
        longer = replace(w, T=4 * w.T)
        held = [beyond_results(peak(OURS, each, bench.threads, True), each) for each in (w, longer)]
        # As a ratio: what a memory that grows with the square root of T would be, over what it is.
        square_root = Times.of([GROWTH * held[0]])
        goal = Goal("square-root", 1.0, slack=0.15)
        times = {OURS: Times.of([held[1]]), "square-root": square_root}
        yield Row("memory", name, [goal], times, note=f"four times as many steps, {longer.T}", unit="MB")


def beyond_results(times: Times, w: Workload) -> float:
    parameters = sum(a.size for part in w.parts for a in part.parameters.values())
    return max(1.0, times.median - 4 * (w.x.size + w.dy.size + parameters))


def peak(side: str, w: Workload, threads: int, recompute: bool = False) -> Times:
    """Bytes, over processes of their own."""
    command = [sys.executable, "-m", __name__, side, json.dumps(asdict(w)), "--threads", str(threads)]
    run = subprocess.run(
        [*command, *(["--recompute"] if recompute else [])], capture_output=True, text=True, check=True
    )
    return Times.of([float(run.stdout.split()[-1])])


def resident(name: str) -> int:
    """VmRSS or VmHWM of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def rise(call: Call) -> int:
    """How much the resident memory rises above what it is now, at most, during a call."""
    gc.collect()
    trim: Any = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)  # what earlier calls have freed is not there for this one
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    base = resident("VmRSS")
    kept = call.run()
    highest = resident("VmHWM")
    del kept
    return highest - base


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.python.memory", description=__doc__)
    parser.add_argument("side", help="unrolled, torch or jax")
    parser.add_argument("workload", help="JSON: cell, T, B, I, H")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--recompute", action="store_true")
    options = parser.parse_args()
    w = Workload(**json.loads(options.workload))
    side = available([] if options.side == OURS else [options.side], options.threads)[-1]

    def training(of: Workload) -> Call:
        call = side.training(of, options.recompute) if isinstance(side, Unrolled) else side.training(of)
        assert call is not None
        return call

    short = training(replace(w, T=2, B=2))
    for _ in range(3):
        short.run()
    del short
    print(rise(training(w)))


if __name__ == "__main__":
    main()
