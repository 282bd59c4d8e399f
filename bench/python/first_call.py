"""The first call against the tenth, each measured in a new process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from .rows import OURS, Bench, Goal, Row
from .timing import Times
from .workloads import CELLS, GRID, QUICK_GRID, Shape

SCRIPT = """
import sys, time
import numpy as np
import unrolled as ur
cell, T, B, I, H, threads = sys.argv[1], *map(int, sys.argv[2:])
ur.set_num_threads(threads)
layer = getattr(ur, cell)(I, H)
x = np.random.default_rng(0).standard_normal((T, B, I)).astype(np.float32)
for _ in range(10):
    begin = time.perf_counter()
    with ur.no_grad():
        layer(x)
    print(time.perf_counter() - begin)
"""


def first_calls(bench: Bench) -> Iterator[Row]:
    """The first call takes no more than twice the tenth."""
    for cell in CELLS:
        for shape in QUICK_GRID if bench.quick else GRID:
            name = "{} T={} B={} I={} H={}".format(cell, *shape)
            if bench.wants("first", name):
                first, tenth = first_and_tenth(cell, shape, bench.threads, 2 if bench.quick else 5)
                yield Row("first", name, [Goal("tenth", 0.5)], {OURS: first, "tenth": tenth})


def first_and_tenth(cell: str, shape: Shape, threads: int, processes: int) -> tuple[Times, Times]:
    runs = []
    for _ in range(processes):
        arguments = [cell, *map(str, shape), str(threads)]
        run = subprocess.run(
            [sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=True
        )
        times = [float(line) for line in run.stdout.split()]
        runs.append((times[0], times[-1]))
    return Times.of([first for first, _ in runs]), Times.of([tenth for _, tenth in runs])
