"""Rows of the table: which workloads are timed, on which sides, against which target."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from .sides import Side, Unrolled
from .timing import Clock, Times, interleave
from .workloads import CELLS, STEP_SIZES, VARIABLE, Call, Workload, assert_agreement

OURS = "unrolled"


@dataclass
class Row:
    """One line: times by side, and how many times faster than the peer that counts it has to be."""

    group: str
    name: str
    target: float
    against: str  # the peer of the target, or "fastest"
    times: dict[str, Times] = field(default_factory=dict)
    note: str = ""

    def ratio(self, peer: str | None = None) -> float | None:
        """Time of a peer (the fastest if None) over ours: above 1 is faster."""
        others = {n: t.median for n, t in self.times.items() if n != OURS}
        if peer == "fastest":
            peer = None
        if not others or (peer is not None and peer not in others):
            return None
        return (min(others.values()) if peer is None else others[peer]) / self.times[OURS].median

    @property
    def achieved(self) -> float | None:
        return self.ratio(self.against)

    @property
    def lost(self) -> bool:
        return self.achieved is not None and self.achieved < self.target


@dataclass(frozen=True)
class Plan:
    """A row that has not run yet."""

    group: str
    name: str
    target: float
    against: str
    calls: Callable[[], dict[str, Call]]
    note: str = ""


@dataclass(frozen=True)
class Targets:
    """How many times faster than which peer every group has to be."""

    grid: float = 1.0
    grid_against: str = "torch"
    step: float = 10.0
    step_against: str = "torch"
    variable: float = 5.0


def run(plan: Plan, seconds: float, clock: Clock) -> Row:
    """Agreement first, then times. A row within 5 % of its target is timed again, three times as long."""
    calls = plan.calls()
    results = {name: call.results(call.run()) for name, call in calls.items()}
    for name in calls:
        if name != OURS:
            assert_agreement(f"{plan.group} {plan.name} of {name}", results[OURS], results[name])
    row = Row(plan.group, plan.name, plan.target, plan.against, note=plan.note)
    sides = {name: call.run for name, call in calls.items()}
    row.times = interleave(sides, seconds, clock=clock)
    if row.achieved is not None and 0.95 < row.achieved / row.target < 1.05:
        row.times = interleave(sides, 3 * seconds, most=180, clock=clock)
        row.note = (row.note + " timed again").strip()
    return row


def grid(
    sides: Sequence[Side], kind: str, shapes: list[tuple[int, int, int, int]], targets: Targets
) -> Iterator[Plan]:
    """`kind` is "inference" or "training"."""
    for cell in CELLS:
        for shape in shapes:
            w = Workload(cell, *shape)
            yield Plan(kind, w.name, targets.grid, targets.grid_against, _calls(sides, kind, w))


def _calls(sides: Sequence[Side], kind: str, w: Workload) -> Callable[[], dict[str, Call]]:
    def make() -> dict[str, Call]:
        made = {side.name: getattr(side, kind)(w) for side in sides}
        return {name: call for name, call in made.items() if call is not None}

    return make


def steps(sides: Sequence[Side], targets: Targets) -> Iterator[Plan]:
    """One streaming step at batch 1 through Python; peers call their layer with T = 1."""
    for cell in CELLS:
        for H in STEP_SIZES:
            w = Workload(cell, 1, 1, H, H)

            def make(w: Workload = w) -> dict[str, Call]:
                calls: dict[str, Call] = {}
                for side in sides:
                    call = side.step(w) if isinstance(side, Unrolled) else side.inference(w)
                    if call is not None:
                        calls[side.name] = call
                return calls

            yield Plan("step", w.name, targets.step, targets.step_against, make)


def variable(sides: Sequence[Side], targets: Targets) -> Iterator[Plan]:
    """Sequences of unequal length, forward and backward: lengths= against PackedSequence, and against
    ourselves on the full padded batch, where the ideal is the inverse of the valid part of the steps."""
    for cell in ("LSTM", "GRU"):
        for shape in VARIABLE:
            w = Workload(cell, *shape, variable=True)
            full = Workload(cell, *shape)
            filled = float(w.lengths.mean() / w.T)
            yield Plan(
                "lengths", f"{w.name} packed", targets.variable, "torch", _calls(sides, "training", w),
                note=f"{filled:.0%} filled",
            )  # fmt: skip

            def make(w: Workload = w, full: Workload = full) -> dict[str, Call]:
                ours = next(side for side in sides if isinstance(side, Unrolled))
                masked, padded = ours.training(w), ours.training(full)
                nothing: Callable[[Any], dict[str, Any]] = lambda _: {"same": w.dy[:1]}  # noqa: E731
                return {OURS: Call(masked.run, nothing), "padded": Call(padded.run, nothing)}

            ideal = 1 / filled
            yield Plan("lengths", f"{w.name} padded", 0.9 * ideal, "padded", make, note=f"ideal {ideal:.2f}")

            def make_torch(w: Workload = w, full: Workload = full) -> dict[str, Call]:
                calls = {OURS: make(w, full)[OURS]}
                for side in sides:
                    if side.name == "torch" and (call := side.training(full)) is not None:
                        calls["torch"] = Call(call.run, lambda _: {"same": w.dy[:1]})
                return calls

            yield Plan("lengths", f"{w.name} vs padded peer", 1.0, "torch", make_torch)
