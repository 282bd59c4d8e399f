"""The table on the screen and the JSON file."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

import unrolled as ur

from .rows import FASTEST, OURS, PEERS, Goal, Row, missed_rows
from .sides import Side
from .timing import Times, geometric_mean

# Of a whole group: the geometric mean of its rows over a peer.
MEANS = {
    "inference": Goal(FASTEST, 2.0),
    "training": Goal(FASTEST, 2.5),
    "stacks inference": Goal(FASTEST, 2.0),
    "stacks training": Goal(FASTEST, 2.5),
    "float64": Goal("torch", 3.0),
}


def machine() -> dict[str, Any]:
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line
        ]
        model = names[0] if names else model
    return {"processor": model, "cpus": os.cpu_count(), "system": platform.platform()}


def figure(times: Times, unit: str) -> str:
    if unit == "MB":
        return f"{times.median / 1e6:,.1f}"
    value = times.median * 1e6
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def header(peers: Sequence[str], unit: str) -> str:
    columns = [f"{f'{unit} per call':<40}", *(f"{name:>12}" for name in [OURS, *peers])]
    return "".join([*columns, *(f"{'x ' + name:>15}" for name in peers), "  beside, of the target"])


def line(row: Row, peers: Sequence[str]) -> str:
    if row.failure:
        return f"{row.name:<40}  NO RESULT: {row.failure}"
    cells = [f"{row.name:<40}"]
    for name in [OURS, *peers]:
        cells.append(f"{figure(row.times[name], row.unit) if name in row.times else '':>12}")
    for peer in peers:
        ratio = row.ratio(peer)
        cells.append(f"{'' if ratio is None else f'{ratio:.2f}':>15}")
    goals = "; ".join(goal.text(ratio) for goal, ratio in row.achieved())
    others = [f"{n} {figure(t, row.unit)}" for n, t in row.times.items() if n not in (OURS, *peers)]
    notes = "; ".join([*others, *([row.note] if row.note else [])])
    return "".join(cells) + (f"  {goals}" if goals else "") + (f"  ({notes})" if notes else "")


def groups(rows: list[Row]) -> dict[str, list[Row]]:
    """Rows with results, by group."""
    return {
        name: [row for row in rows if row.group == name and not row.failure]
        for name in dict.fromkeys(row.group for row in rows)
    }


def mean(rows: list[Row], against: str) -> float | None:
    ratios = [ratio for row in rows if (ratio := row.ratio(against)) is not None]
    return geometric_mean(ratios) if ratios else None


def missed_means(rows: list[Row]) -> list[tuple[str, Goal, float]]:
    result = []
    for group, of_group in groups(rows).items():
        goal = MEANS.get(group)
        achieved = mean(of_group, goal.against) if goal else None
        if goal is not None and achieved is not None and goal.missed_by(achieved):
            result.append((group, goal, achieved))
    return result


def summary(rows: list[Row]) -> list[str]:
    """Geometric means by group and side, then what is below its target, worst first."""
    lines = []
    for group, of_group in groups(rows).items():
        others = dict.fromkeys(name.split(" ")[0] for row in of_group for name in row.times if name != OURS)
        against = [*others, *([FASTEST] if sum(name in PEERS for name in others) > 1 else [])]
        means = []
        for name in against:
            worst = min(ratio for row in of_group if (ratio := row.ratio(name)) is not None)
            means.append(f"{mean(of_group, name):.2f} over {name} (worst {worst:.2f})")
        count = "1 row" if len(of_group) == 1 else f"{len(of_group)} rows"
        lines.append(f"{group}: {count}, geometric mean {', '.join(means) or 'of no other side'}")
        goal = MEANS.get(group)
        if goal and (achieved := mean(of_group, goal.against)) is not None:
            lines.append(f"  mean over {goal.text(achieved)}")
    failed = [row for row in rows if row.failure]
    lines += [f"NO RESULT: {row.group} {row.name}: {row.failure}" for row in failed]
    lines.append(f"means below target: {len(missed_means(rows))}")
    lines.append(f"rows below target: {sum(1 for row in rows if row.missed())} of {len(rows)}")
    lines += [
        f"  {row.group:<17} {row.name:<44} {goal.against} {ratio:.2f} of {goal.target:.2f}"
        for row, goal, ratio in missed_rows(rows)
    ]
    return lines


def as_json(rows: list[Row], sides: list[Side], options: dict[str, Any]) -> dict[str, Any]:
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine(),
        "build_config": ur.build_config(),
        "versions": {"python": platform.python_version(), "numpy": np.__version__}
        | {side.name: side.version for side in sides},
        "options": options,
        "rows": [
            asdict(row)
            | {"ratio_fastest": row.ratio() if row.times else None}
            | {"below_target": [goal.against for goal, _ in row.missed()] if row.times else []}
            for row in rows
        ],
    }


def write(path: Path, content: dict[str, Any]) -> None:
    """Beside the target first, so that an interrupted run never leaves half a file."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(content, indent=1, default=str) + "\n")
    partial.replace(path)
