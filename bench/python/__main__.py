"""`python -m bench.python`: the whole table, or the part of it that the options choose."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import unrolled as ur

from . import character_model, first_call, report, rows
from .rows import Plan, Row, Targets
from .sides import Side, available
from .workloads import GRID

GROUPS = ["inference", "training", "step", "lengths", "first", "character"]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.python", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="shapes of less than 10^9 multiply-adds, shorter samples"
    )
    parser.add_argument(
        "--filter", default="", metavar="TEXT", help="only rows whose group and name contain TEXT"
    )
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=GROUPS, help="parts of the table")
    parser.add_argument("--threads", type=int, default=2, help="of every side (default 2)")
    parser.add_argument("--peers", nargs="*", help="torch onnxruntime jax (default: those installed)")
    parser.add_argument("--seconds", type=float, help="timing of each side of a row (default 1, quick 0.2)")
    parser.add_argument(
        "--against", choices=["torch", "fastest"], default="torch", help="peer of the grid's target"
    )
    parser.add_argument("--json", type=Path, default=Path("bench-python.json"), help="where the results go")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="processor time, not the wall's: for one thread on a busy machine",
    )
    options = parser.parse_args()
    if options.cpu_time and options.threads != 1:
        parser.error("--cpu-time: threads that wait for each other burn processor time, give --threads 1")
    return options


def small(shape: tuple[int, int, int, int]) -> bool:
    T, B, I, H = shape
    return T * B * H * (I + H) < 10**8


def plans(options: argparse.Namespace, sides: list[Side]) -> Iterator[Plan]:
    targets = Targets(grid_against=options.against)
    shapes = [shape for shape in GRID if small(shape)] if options.quick else GRID
    for group in options.groups:
        if group in ("inference", "training"):
            yield from rows.grid(sides, group, shapes, targets)
        elif group == "step":
            yield from rows.steps(sides, targets)
        elif group == "lengths" and not options.quick:
            yield from rows.variable(sides, targets)


def measure(options: argparse.Namespace, sides: list[Side], peers: list[str]) -> list[Row]:
    seconds = options.seconds or (0.2 if options.quick else 1.0)
    clock = time.process_time if options.cpu_time else time.perf_counter
    result: list[Row] = []
    for plan in plans(options, sides):
        if options.filter not in f"{plan.group} {plan.name}":
            continue
        if not result or result[-1].group != plan.group:
            print(f"\n{plan.group}\n{report.header(peers)}")
        result.append(rows.run(plan, seconds, clock))
        print(report.line(result[-1], peers), flush=True)
    return result


def measure_characters(options: argparse.Namespace, peers: list[str]) -> dict[str, Any]:
    outcome = character_model.compare(peers, 40 if options.quick else 150)
    print("\ncharacter model, tokens per second")
    ours = outcome.times["unrolled"].median
    for name, times in outcome.times.items():
        rate, last = outcome.tokens / times.median, outcome.losses[name][-1]
        mark = "  BELOW TARGET 1.30" if name != "unrolled" and times.median / ours < 1.3 else ""
        print(
            f"{name:<12}{rate:>12,.0f}  x {times.median / ours:.2f}  last loss {last:.4f} nats{mark}",
            flush=True,
        )
    rates = {name: outcome.tokens / times.median for name, times in outcome.times.items()}
    return {"tokens_per_second": rates, "losses": outcome.losses}


def measure_first_calls(options: argparse.Namespace) -> dict[str, Any]:
    print("\nfirst call and tenth, us, each in a new process")
    result = {}
    for cell in ("LSTM", "GRU"):
        for shape in [(1, 1, 64, 64), (100, 1, 128, 128), (100, 32, 128, 256)]:
            first, tenth = first_call.first_and_tenth(cell, shape, options.threads)
            name = f"{cell} {shape}"
            result[name] = {"first": first, "tenth": tenth}
            mark = "  BELOW TARGET 2.00" if first > 2 * tenth else ""
            numbers = f"{report.microseconds(first):>12}{report.microseconds(tenth):>12}"
            print(f"{name:<38}{numbers}  {first / tenth:.2f}{mark}", flush=True)
    return result


def main() -> None:
    options = arguments()
    sides = available(options.peers, options.threads)
    peers = [side.name for side in sides[1:]]
    print(report.machine()["processor"], "|", *(f"{side.name} {side.version}" for side in sides))
    print(f"{options.threads} threads, float32, medians;", ur.build_config())
    result = measure(options, sides, peers)
    extra: dict[str, Any] = {}
    if "first" in options.groups and not options.filter:
        extra["first_call"] = measure_first_calls(options)
    if "character" in options.groups and not options.filter:
        extra["character_model"] = measure_characters(options, peers)
    print("", *report.summary(result, peers), sep="\n")
    report.write(options.json, report.as_json(result, sides, vars(options), extra))
    print(f"written to {options.json}")


if __name__ == "__main__":
    main()
