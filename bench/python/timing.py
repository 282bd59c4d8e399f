"""Fair times on a shared machine: sides take turns, so a slow moment hits them all, and medians forget it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Clock = Callable[[], float]
# A sample repeats a short call for about this long, after some that do not count: the first ones find caches and branch
# predictors as the other sides have left them, a processor that has slept, and threads that a system has woken on one
# core and leaves there for milliseconds.
SAMPLE_SECONDS = 0.01
WARM_SECONDS = 0.012

# Idle threads of a runtime spin for a while after a call: libgomp's 5 to 15 ms, libiomp's 200 (KMP_BLOCKTIME).
# Telling them not to (OMP_WAIT_POLICY=passive, KMP_BLOCKTIME=0) would slow down every short call of theirs, so the
# next side waits instead until the process uses no processor time.
QUIET_PIECE = 0.003
QUIET_AT_MOST = 0.4


@dataclass(frozen=True)
class Times:
    """Seconds per call, or bytes where a row is about memory: less is better."""

    median: float
    low: float  # quartiles
    high: float
    samples: int

    @staticmethod
    def of(values: list[float]) -> Times:
        low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
        return Times(float(median), float(low), float(high), len(values))

    def for_each(self, work: float) -> Times:
        """Of one of so many pieces of work that a call does."""
        return Times(self.median / work, self.low / work, self.high / work, self.samples)


def settle() -> None:
    """Returns when all threads of this process have gone to sleep."""
    end = time.perf_counter() + QUIET_AT_MOST
    while time.perf_counter() < end:
        before = time.process_time()
        time.sleep(QUIET_PIECE)
        if time.process_time() - before < QUIET_PIECE / 10:
            return


def interleave(
    sides: Mapping[str, Callable[[], Any]], seconds: float, most: int = 60, clock: Clock = time.perf_counter
) -> dict[str, Times]:
    """Median times of calls that take turns. `seconds` is for each side; every side has at least 3 turns."""
    repeats = {name: _repeats(call, clock) for name, call in sides.items()}
    names = list(sides)
    samples: dict[str, list[float]] = {name: [] for name in names}
    spent = dict.fromkeys(sides, 0.0)
    turns = 0
    while turns < 3 or (turns < most and max(spent.values()) < seconds):
        for name in names[::-1] if turns % 2 else names:  # none always follows the same other
            call = sides[name]
            settle()
            _warm(call)  # wakes this side's threads and brings its weights into the cache
            begin = clock()
            for _ in range(repeats[name]):
                call()
            duration = clock() - begin
            samples[name].append(duration / repeats[name])
            spent[name] += duration
        turns += 1
    return {name: Times.of(values) for name, values in samples.items()}


def _warm(call: Callable[[], Any]) -> None:
    end = time.perf_counter() + WARM_SECONDS
    while True:
        call()
        if time.perf_counter() >= end:
            return


def _repeats(call: Callable[[], Any], clock: Clock) -> int:
    call()
    begin = clock()
    call()
    return max(1, round(SAMPLE_SECONDS / max(1e-7, clock() - begin)))


def geometric_mean(values: list[float]) -> float:
    return float(np.exp(np.mean(np.log(values)))) if values else float("nan")
