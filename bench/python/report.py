"""The table and the JSON file."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

import unrolled as ur

from .rows import OURS, Row
from .sides import Side
from .timing import geometric_mean


def machine() -> dict[str, Any]:
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line
        ]
        model = names[0] if names else model
    return {"processor": model, "cpus": os.cpu_count(), "system": platform.platform()}


def microseconds(seconds: float) -> str:
    value = seconds * 1e6
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def header(peers: list[str]) -> str:
    names = [OURS, *peers]
    columns = [f"{'us per call':<38}", *(f"{n:>12}" for n in names), *(f"{'x ' + n:>14}" for n in peers)]
    return "  ".join([*columns, f"{'target':>8}"])


def line(row: Row, peers: list[str]) -> str:
    cells = [f"{row.name:<38}"]
    cells += [f"{microseconds(row.times[n].median) if n in row.times else '':>12}" for n in [OURS, *peers]]
    for peer in peers:
        ratio = row.ratio(peer)
        cells.append(f"{'' if ratio is None else f'{ratio:.2f}':>14}")
    others = [n for n in row.times if n not in peers and n != OURS]
    extra = [f"{n} {microseconds(row.times[n].median)} ({row.ratio(n):.2f})" for n in others]
    mark = "  BELOW TARGET" if row.lost else ""
    note = f"  ({'; '.join([*extra, *([row.note] if row.note else [])])})" if extra or row.note else ""
    return "  ".join(cells) + f"  {row.target:>8.2f}{mark}{note}"


def summary(rows: list[Row], peers: list[str]) -> list[str]:
    """Geometric means by group and peer, then the rows below their target, worst first."""
    lines = []
    for group in dict.fromkeys(row.group for row in rows):
        of_group = [row for row in rows if row.group == group]
        means = {}
        for peer in [*peers, "fastest"]:
            ratios = [r for row in of_group if (r := row.ratio(peer)) is not None]
            if ratios and any(n in peers for row in of_group for n in row.times):
                means[peer] = f"{geometric_mean(ratios):.2f} over {peer} (worst {min(ratios):.2f})"
        lines.append(
            f"{group}: geometric mean {', '.join(means.values()) or 'no peer'}; {len(of_group)} rows"
        )
    losers = sorted((row for row in rows if row.lost), key=lambda row: (row.achieved or 0) / row.target)
    lines.append(f"rows below target: {len(losers)} of {len(rows)}")
    lines += [f"  {row.group:<10} {row.name:<38} {row.achieved:.2f} of {row.target:.2f}" for row in losers]
    return lines


def as_json(
    rows: list[Row], sides: list[Side], options: dict[str, Any], extra: dict[str, Any]
) -> dict[str, Any]:
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine(),
        "build_config": ur.build_config(),
        "versions": {"python": platform.python_version(), "numpy": np.__version__}
        | {side.name: side.version for side in sides},
        "options": options,
        "rows": [
            asdict(row) | {"ratio_fastest": row.ratio(), "achieved": row.achieved, "below_target": row.lost}
            for row in rows
        ],
        **extra,
    }


def write(path: Path, content: dict[str, Any]) -> None:
    """Beside the target first, so that an interrupted run never leaves half a file."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(content, indent=1, default=str) + "\n")
    partial.replace(path)
