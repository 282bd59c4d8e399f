"""The tables of the README, made from the JSON file of a run."""

from __future__ import annotations

from typing import Any

from .report import MEANS, figure, groups, mean, missed_means
from .rows import FASTEST, OURS, PEERS, Goal, Row, missed_rows, row_of
from .workloads import CELLS

TITLES = {"torch": "PyTorch", "onnxruntime": "ONNX Runtime", "jax": "JAX", FASTEST: "the fastest peer"}


def tables(run: dict[str, Any]) -> str:
    """Markdown: where it was measured, the grid, streaming steps, all groups, and what is below its target."""
    rows = [row_of(saved, saved["group"]) for saved in run["rows"]]
    parts = [[heading(run)], grid(rows), steps(rows), overview(rows), losers(rows)]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def heading(run: dict[str, Any]) -> str:
    machine, versions, threads = run["machine"], run["versions"], run["options"]["threads"]
    peers = ", ".join(f"{TITLES[name]} {versions[name]}" for name in PEERS if name in versions)
    return (
        f"{machine['processor']}, {machine['cpus']} processors, {threads} thread{'s' * (threads > 1)} on every side, "
        f"float32, {peers or 'no peer'}, ISA level {run['build_config']['isa']}, medians of calls in turn, agreement "
        f"checked first, {run['date'][:10]}."
    )


def ratio_text(ratio: float | None, target: float = 1.0) -> str:
    """Bold: below target."""
    if ratio is None:
        return ""
    text = f"{ratio:.2f}" if ratio < max(1.1, target) else f"{ratio:.1f}"
    return f"**{text}**" if ratio < target else text


def table(head: list[str], body: list[list[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *body]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def cell_and_shape(row: Row) -> tuple[str, str]:
    """From a name like "LSTM T=100 B=1 I=32 H=64": the cell, and the numbers."""
    cell, *sizes = row.name.split(" ")
    return cell, " ".join(size.partition("=")[2] for size in sizes)


def grid(rows: list[Row]) -> list[str]:
    """Shapes by cells: how many times faster than the fastest peer."""
    kinds = [kind for kind in ("inference", "training") if any(row.group == kind for row in rows)]
    entries: dict[str, dict[tuple[str, str], str]] = {}
    for row in rows:
        if row.group in kinds and not row.failure:
            cell, shape = cell_and_shape(row)
            target = row.goals[0].target if row.goals else 0.0
            entries.setdefault(shape, {})[row.group, cell] = ratio_text(row.ratio(), target)
    if not any(text for line in entries.values() for text in line.values()):
        return []
    columns = [(kind, cell) for kind in kinds for cell in CELLS]
    head = ["T B I H", *(f"{cell} {kind}" for kind, cell in columns)]
    return table(
        head, [[shape, *(line.get(column, "") for column in columns)] for shape, line in entries.items()]
    )


def steps(rows: list[Row]) -> list[str]:
    """Microseconds of a streaming step."""
    chosen = [row for row in rows if row.group == "step" and not row.failure]
    peers = [name for name in PEERS if any(name in row.times for row in chosen)]
    if not chosen:
        return []
    body = []
    for row in chosen:
        times = [figure(row.times[n], row.unit) if n in row.times else "" for n in (OURS, *peers)]
        cell, shape = cell_and_shape(row)
        body.append([f"{cell} {shape.rpartition(' ')[2]}", *times])
    return table(["one step of H units, us", "`step`", *(TITLES[name] for name in peers)], body)


def overview(rows: list[Row]) -> list[str]:
    """Every group beside every side that it has a target against."""
    body = []
    for group, of_group in groups(rows).items():
        whole = MEANS.get(group)
        against = dict.fromkeys(goal.against for row in of_group for goal in row.goals)
        if whole:
            against[whole.against] = None
        for name in against:
            ratios = [ratio for row in of_group if (ratio := row.ratio(name)) is not None]
            average = mean(of_group, name)
            if average is None:
                continue
            targets = sorted({goal.target for row in of_group for goal in row.goals if goal.against == name})
            missed = sum(any(goal.against == name for goal, _ in row.missed()) for row in of_group)
            required = whole.target if whole and whole.against == name else 0.0
            body.append(
                [
                    group,
                    TITLES.get(name, name),
                    str(len(ratios)),
                    ratio_text(average, required) + (f" of {required:.1f}" if required else ""),
                    f"{min(ratios):.2f} to {max(ratios):.2f}",
                    " to ".join(f"{target:.2f}" for target in dict.fromkeys([*targets[:1], *targets[-1:]])),
                    f"**{missed}**" if missed else "0",
                ]
            )
    head = ["group", "beside", "rows", "geometric mean", "range", "target of a row", "rows below it"]
    return table(head, body) if body else []


def beside(goal: Goal) -> str:
    return TITLES.get(goal.against, goal.against)


def losers(rows: list[Row]) -> list[str]:
    lines = [
        f"- {row.group}, {row.name}: {ratio_text(ratio, goal.target)} of {goal.target:.2f} beside {beside(goal)}"
        for row, goal, ratio in missed_rows(rows)
    ]
    lines += [
        f"- {group}, geometric mean: {achieved:.2f} of {goal.target:.2f} beside {beside(goal)}"
        for group, goal, achieved in missed_means(rows)
    ]
    return ["Below target:", "", *lines] if lines else []
