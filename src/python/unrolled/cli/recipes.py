"""`unrolled recipes list` and `unrolled recipes run`."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from unrolled import recipes
from unrolled._config import set_num_threads
from unrolled.cli.errors import CommandError
from unrolled.cli.files import check_writable
from unrolled.io import CheckpointError

__all__ = ["run", "show"]

_FAILED = 1


def show(args: argparse.Namespace) -> int:
    """Lists the recipes."""
    for name in recipes.names():
        recipe = recipes.get(name)
        missing = sorted({arm.needs for arm in recipe.arms if arm.needs and not arm.available})
        print(f"{name:<20}{recipe.title}")
        print(f"{'':<20}published: {recipe.published}")
        if recipe.data is not None:
            print(f"{'':<20}data: {recipe.data}")
        if missing:
            print(f"{'':<20}without the arms that need {', '.join(missing)}, which this version has not")
    return 0


def run(args: argparse.Namespace) -> int:
    """Runs one and gives 0 if its line is met or nothing is judged, 1 if it is not."""
    if args.name not in recipes.names():
        raise CommandError(f"there is no recipe {args.name!r}; `unrolled recipes list` shows them")
    recipe = recipes.get(args.name)
    if args.data is not None and recipe.data is None:
        raise CommandError(f"--data: {args.name} makes its own data")
    if args.json is not None:
        check_writable(Path(args.json), "report")
    if args.threads is not None:
        set_num_threads(args.threads)
    try:
        report = recipes.run(
            recipe,
            quick=args.quick,
            seeds=args.seeds,
            data=args.data,
            say=partial(print, flush=True),
            path=args.json,
        )
    except (recipes.MissingDataError, CheckpointError) as error:
        raise CommandError(str(error)) from None
    return _FAILED if report.passed is False else 0
