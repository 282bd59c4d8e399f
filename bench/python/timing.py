"""Fair times on a shared machine: sides take turns, so a slow moment hits them all, and medians forget it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

# Threads of an OpenMP runtime spin for some milliseconds after a call; the next side must not share its cores
# with them. A sleep this long outlives every runtime's default.
QUIET_SECONDS = 0.01
Clock = Callable[[], float]
SAMPLE_SECONDS = 0.002  # a sample repeats a short call until it takes about this long


@dataclass(frozen=True)
class Times:
    """Seconds per call."""

    median: float
    low: float  # quartiles
    high: float
    samples: int


def interleave(
    sides: Mapping[str, Callable[[], Any]], seconds: float, most: int = 60, clock: Clock = time.perf_counter
) -> dict[str, Times]:
    """Median times of calls that take turns. `seconds` is for each side; every side has at least 3 turns."""
    repeats = {name: _repeats(call, clock) for name, call in sides.items()}
    samples: dict[str, list[float]] = {name: [] for name in sides}
    spent = dict.fromkeys(sides, 0.0)
    turns = 0
    while turns < 3 or (turns < most and max(spent.values()) < seconds):
        for name, call in sides.items():
            time.sleep(QUIET_SECONDS)
            call()  # wakes this side's threads and brings its weights into the cache
            begin = clock()
            for _ in range(repeats[name]):
                call()
            duration = clock() - begin
            samples[name].append(duration / repeats[name])
            spent[name] += duration
        turns += 1
    return {name: _summary(values) for name, values in samples.items()}


def _repeats(call: Callable[[], Any], clock: Clock) -> int:
    call()
    begin = clock()
    call()
    return max(1, round(SAMPLE_SECONDS / max(1e-7, clock() - begin)))


def _summary(values: list[float]) -> Times:
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    return Times(float(median), float(low), float(high), len(values))


def geometric_mean(values: list[float]) -> float:
    return float(np.exp(np.mean(np.log(values)))) if values else float("nan")
