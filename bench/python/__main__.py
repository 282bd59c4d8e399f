"""`python -m bench.python`: the whole table, or the part of it that the options choose."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import unrolled as ur

from . import report
from .avx2 import avx2
from .custom import custom
from .first_call import first_calls
from .grid import float64, inference, lengths, scaling, steps, training
from .language_models import character, words
from .linear import linear
from .markdown import tables
from .memory import memory
from .rows import FASTEST, Bench, Row
from .share import share
from .sides import available
from .stacks import stacks

GROUPS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "inference": inference,
    "training": training,
    "step": steps,
    "linear": linear,
    "share": share,
    "lengths": lengths,
    "stacks": stacks,
    "float64": float64,
    "scaling": scaling,
    "custom": custom,
    "character": character,
    "words": words,
    "first": first_calls,
    "memory": memory,
    "avx2": avx2,
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.python", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="a few small shapes, short samples: does everything run?")
    add("--groups", nargs="+", choices=GROUPS, default=list(GROUPS), help="parts of the table")
    add("--filter", default="", metavar="TEXT", help="only rows whose group and name contain TEXT")
    add("--threads", type=int, default=2, help="of every side (default 2)")
    add("--peers", nargs="*", help="torch onnxruntime jax (default: those installed)")
    add("--seconds", type=float, help="timing of each side of a row (default 1, quick 0.02)")
    add("--against", choices=["torch", FASTEST], default=FASTEST, help="peer of the grid's target")
    add("--json", type=Path, default=Path("bench-python.json"), help="where the results go")
    add(
        "--markdown",
        type=Path,
        metavar="JSON",
        help="print the README's tables of a run, and measure nothing",
    )
    add("--cpu-time", action="store_true", help="processor time, not the wall's: one thread, busy machine")
    options = parser.parse_args()
    if options.cpu_time and options.threads != 1:
        parser.error("--cpu-time: threads that wait for each other burn processor time, give --threads 1")
    return options


def measure(bench: Bench, names: list[str]) -> Iterator[Row]:
    """All rows, printed as they come."""
    for name in names:
        group = ""
        for row in GROUPS[name](bench):
            if row.group != group:
                print(f"\n{row.group}\n{report.header(bench.peers, row.unit)}")
                group = row.group
            print(report.line(row, bench.peers), flush=True)
            yield row


def main() -> None:
    options = arguments()
    if options.markdown:
        print(tables(json.loads(options.markdown.read_text())))
        return
    sides = available(options.peers, options.threads)
    bench = Bench(
        sides,
        threads=options.threads,
        quick=options.quick,
        seconds=options.seconds or (0.02 if options.quick else 1.0),
        against=options.against,
        filter=options.filter,
        clock=time.process_time if options.cpu_time else time.perf_counter,
    )
    print(report.machine()["processor"], "|", *(f"{side.name} {side.version}" for side in sides))
    print(f"{options.threads} threads, float32 but for float64, medians;", ur.build_config())
    rows: list[Row] = []
    try:
        for row in measure(bench, options.groups):
            rows.append(row)
    finally:
        # An interrupted run has results, too.
        report.write(options.json, report.as_json(rows, sides, vars(options)))
    print("", *report.summary(rows), f"written to {options.json}", sep="\n")
    if any(row.failure for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
