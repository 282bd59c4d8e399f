"""Rows of the table: how one is measured, and what it is held against."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from .sides import Side, Unrolled
from .timing import Clock, Times, interleave
from .workloads import Call, DisagreementError, assert_agreement

OURS = "unrolled"
PEERS = ("torch", "onnxruntime", "jax")
FASTEST = "fastest"  # of the peers that ran on the row


@dataclass(frozen=True)
class Goal:
    """How many times faster than a side we have to be. `slack`: the part of it that noise may take, where both sides
    may do the very same work."""

    against: str
    target: float
    slack: float = 0.0

    def text(self, achieved: float) -> str:
        missed = "  BELOW TARGET" if self.missed_by(achieved) else ""
        slack = f" (noise {self.slack:.0%})" if self.slack else ""
        return f"{self.against} {achieved:.2f} of {self.target:.2f}{slack}{missed}"

    def missed_by(self, achieved: float) -> bool:
        return achieved < self.target * (1 - self.slack)

    def is_near(self, achieved: float) -> bool:
        """Too near to be called missed or reached after a short look."""
        return 0.95 < achieved / self.target < 1.05


@dataclass
class Row:
    """One line: what every side took, and the goals."""

    group: str
    name: str
    goals: list[Goal] = field(default_factory=list)
    times: dict[str, Times] = field(default_factory=dict)
    note: str = ""
    unit: str = "us"  # or "MB"
    failure: str = ""  # why there are no times

    def ratio(self, against: str = FASTEST) -> float | None:
        """What `against` took over what we took: above 1 is faster. `against` is a side, "fastest", or the first word
        of several sides, of which the fastest counts."""

        def counts(name: str) -> bool:
            return name in PEERS if against == FASTEST else name.split(" ")[0] == against or name == against

        others = [t.median for name, t in self.times.items() if name != OURS and counts(name)]
        return min(others) / self.times[OURS].median if others else None

    def achieved(self) -> list[tuple[Goal, float]]:
        """The goals whose other side ran."""
        return [(goal, ratio) for goal in self.goals if (ratio := self.ratio(goal.against)) is not None]

    def missed(self) -> list[tuple[Goal, float]]:
        return [(goal, ratio) for goal, ratio in self.achieved() if goal.missed_by(ratio)]


def missed_rows(rows: list[Row]) -> list[tuple[Row, Goal, float]]:
    """What is below its target, worst first."""
    missed = [(row, goal, ratio) for row in rows for goal, ratio in row.missed()]
    return sorted(missed, key=lambda each: each[2] / each[1].target)


def row_of(saved: dict[str, Any], group: str) -> Row:
    """A row from the JSON file of another run."""
    return Row(
        group,
        saved["name"],
        [Goal(**goal) for goal in saved["goals"]],
        {name: Times(**times) for name, times in saved["times"].items()},
        saved["note"],
        saved["unit"],
        saved["failure"],
    )


@dataclass(frozen=True)
class Plan:
    """A row that has not run yet. `calls` makes the sides' calls, ours among them."""

    group: str
    name: str
    goals: Sequence[Goal]
    calls: Callable[[], dict[str, Call]]
    note: str = ""


@dataclass
class Bench:
    """What all groups of rows share."""

    sides: list[Side]
    threads: int = 2
    quick: bool = False
    seconds: float = 1.0  # for each side of a row
    against: str = FASTEST  # peer of the grid's targets
    filter: str = ""
    clock: Clock = time.perf_counter

    @property
    def ours(self) -> Unrolled:
        return next(side for side in self.sides if isinstance(side, Unrolled))

    def peer(self, name: str) -> Any:
        """The side of this name, or None."""
        return next((side for side in self.sides if side.name == name), None)

    @property
    def peers(self) -> list[str]:
        return [side.name for side in self.sides if side.name != OURS]

    def wants(self, group: str, name: str) -> bool:
        return self.filter in f"{group} {name}"

    def row(self, plan: Plan) -> Iterator[Row]:
        """Measures a row, unless the filter leaves it out. A side that disagrees is a row without times."""
        if not self.wants(plan.group, plan.name):
            return
        row = Row(plan.group, plan.name, list(plan.goals), note=plan.note)
        try:
            self._measure(row, plan.calls())
        except DisagreementError as error:
            row.times, row.failure = {}, str(error)
        yield row

    def _measure(self, row: Row, calls: dict[str, Call]) -> None:
        """Agreement first, then times. A row near a target is timed again, three times as long."""
        ours = calls[OURS].results(calls[OURS].run())
        for name, call in calls.items():
            if name != OURS and (theirs := call.results(call.run())):
                assert_agreement(f"{row.group} {row.name} of {name}", ours, theirs)
        self._time(row, calls, self.seconds, 60)
        if any(goal.is_near(ratio) for goal, ratio in row.achieved()):
            self._time(row, calls, 3 * self.seconds, 180)
            row.note = "; ".join(filter(None, [row.note, "timed again"]))

    def _time(self, row: Row, calls: dict[str, Call], seconds: float, most: int) -> None:
        times = interleave({name: call.run for name, call in calls.items()}, seconds, most, self.clock)
        row.times = {name: of_call.for_each(calls[name].work) for name, of_call in times.items()}
