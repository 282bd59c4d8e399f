"""The first call against the tenth, each measured in a new process."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

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


def first_and_tenth(cell: str, shape: tuple[int, int, int, int], threads: int) -> tuple[float, float]:
    """Seconds, medians over five processes."""
    runs = []
    for _ in range(5):
        arguments = [cell, *map(str, shape), str(threads)]
        run = subprocess.run(
            [sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=True
        )
        times = [float(line) for line in run.stdout.split()]
        runs.append((times[0], times[-1]))
    first, tenth = np.median(runs, axis=0)
    return float(first), float(tenth)
