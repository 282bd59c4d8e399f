"""Runs a recipe over its seeds, and says what came of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from unrolled._config import build_config
from unrolled.io.file import StrPath, replace_file
from unrolled.recipes.monitor import Monitor
from unrolled.recipes.recipe import Arm, Outcome, Recipe, success_rate

_VERDICTS = {True: "PASS", False: "FAIL", None: "NOT JUDGED"}


@dataclass(frozen=True)
class Report:
    """What a run came to: the outcomes of every arm by label, in the order of the seeds, and whether the line is met.

    `passed` is None where the arms that are judged are missing from this version, and where not all seeds are finished:
    `complete` says that.
    """

    recipe: Recipe
    quick: bool
    settings: Any
    outcomes: dict[str, list[Outcome]]
    left_out: dict[str, str]
    passed: bool | None
    complete: bool = True

    @property
    def line(self) -> str:
        """What must hold, in a sentence."""
        return _line(self.recipe, self.quick)

    def save(self, path: StrPath) -> None:
        """Writes everything as JSON, beside the target first. Raises CheckpointError if that fails."""
        recipe = self.recipe
        content = {
            "recipe": recipe.name,
            "source": recipe.source,
            "published": recipe.published,
            "pass_line": self.line,
            "quick": self.quick,
            "settings": asdict(self.settings),
            "measure": recipe.measure,
            "arms": {label: [asdict(o) for o in outcomes] for label, outcomes in self.outcomes.items()},
            "left_out": self.left_out,
            "passed": self.passed,
            "complete": self.complete,
            "build": {key: str(value) for key, value in build_config().items()},
        }
        replace_file(path, (json.dumps(content, indent=1, default=str) + "\n").encode())


def run(
    recipe: Recipe,
    *,
    quick: bool = False,
    seeds: int | None = None,
    data: str | None = None,
    say: Callable[[str], Any] = print,
    path: StrPath | None = None,
) -> Report:
    """Runs every arm of a recipe over its seeds.

    Args:
        quick: the quick form, which takes seconds and shows that everything works.
        seeds: how many; None: as many as the recipe says.
        data: where the data are, for a recipe that reads some; None: in the package that ships them.
        say: gets every line as it is known.
        path: where the report is written after every seed, so that an end before the last loses none that is finished;
            None: nowhere.
    """
    settings: Any = recipe.quick if quick else recipe.full
    if data is not None:
        if recipe.data is None:
            raise ValueError(f"{recipe.name}: makes its own data, got data={data!r}")
        settings = replace(settings, data=data)
    count = seeds if seeds is not None else recipe.quick_seeds if quick else recipe.seeds
    if count < 1:
        raise ValueError(f"{recipe.name}: seeds is {count}, expected at least 1")
    for line in _opening(recipe, settings, count, quick):
        say(line)
    left_out = {a.label: f"this version has no {a.needs}" for a in recipe.arms if not a.available}
    for label, why in left_out.items():
        say(f"  {label}: left out, {why}")
    arms = [arm for arm in recipe.arms if arm.available]
    outcomes: dict[str, list[Outcome]] = {arm.label: [] for arm in arms}
    report = Report(recipe, quick, settings, outcomes, left_out, passed=None, complete=False)
    try:
        for arm in arms:
            for outcome in _seeds(arm, settings, count, say):
                outcomes[arm.label].append(outcome)
                if path is not None:
                    report.save(path)
    except KeyboardInterrupt:
        if path is not None and any(outcomes.values()):
            say(f"  interrupted: the seeds that are finished are in {path}")
        raise
    judged = any(not arm.control for arm in arms)
    report = replace(report, passed=recipe.judge(outcomes, quick) if judged else None, complete=True)
    if path is not None:
        report.save(path)
    for line in _closing(report):
        say(line)
    return report


def _seeds(arm: Arm, settings: Any, count: int, say: Callable[[str], Any]) -> Iterator[Outcome]:
    monitor = Monitor()
    for seed in range(count):
        title = f"{arm.label}, seed {seed}"
        monitor.begin(title, settings.updates)
        try:
            outcome = arm.train(settings, seed, monitor)
        finally:
            monitor.close()
        yield outcome  # saved before it is said: whoever listens may have gone
        state = "solved" if outcome.solved else "not solved"
        note = f" ({outcome.note})" if outcome.note else ""
        say(
            f"  {title}: {state}, score {outcome.score:.4g} after {outcome.updates:,} updates, "
            f"{outcome.sequences:,} sequences, {outcome.seconds:.1f} s{note}"
        )


def _line(recipe: Recipe, quick: bool) -> str:
    return recipe.quick_line if quick else recipe.pass_line


def _opening(recipe: Recipe, settings: Any, count: int, quick: bool) -> list[str]:
    form = "the quick form; the full one takes longer and has the line of the paper" if quick else "full"
    return [
        f"{recipe.name}: {recipe.title}",
        f"  source     {recipe.source}",
        f"  form       {form}",
        f"  budget     {settings.updates:,} updates of {settings.batch_size} sequences and {settings.seconds:,.0f} s "
        f"a seed, {count} seed{'s' if count > 1 else ''}",
        f"  pass line  {_line(recipe, quick)}",
        f"  score      {recipe.measure}",
    ]


def _closing(report: Report) -> list[str]:
    recipe = report.recipe
    controls = {arm.label for arm in recipe.arms if arm.control}
    rows = [
        [
            f"{label} (control)" if label in controls else label,
            f"{sum(o.solved for o in found)}/{len(found)} = {success_rate(found):.0%}",
            spread([o.score for o in found]),
            spread([o.sequences for o in found if o.solved], "{:,.0f}"),
            spread([o.seconds for o in found], "{:.1f}"),
        ]
        for label, found in report.outcomes.items()
    ]
    header = ["", "solved", "score", "sequences until solved", "seconds"]
    return [
        f"  trivial    {recipe.baseline(report.settings)}",
        f"  published  {recipe.published}",
        "  ours, mean and standard deviation over the seeds:",
        *(f"    {row}" for row in _table([header, *rows])),
        f"  {_VERDICTS[report.passed]}: {report.line}",
    ]


def spread(values: Sequence[float], form: str = "{:.4g}") -> str:
    """Mean and standard deviation; one value alone as it is, none as a dash."""
    if not values:
        return "-"
    mean = form.format(np.mean(values))
    return mean if len(values) == 1 else f"{mean} +- {form.format(np.std(values, ddof=1))}"


def _table(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
