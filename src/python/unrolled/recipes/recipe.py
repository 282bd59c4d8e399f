"""What a recipe is: a published result, how it is done again here, and where the line is, all written down before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import unrolled as ur
from unrolled.recipes.monitor import Monitor


class MissingDataError(LookupError):
    """The data of a recipe are not where they should be; the message says where to get them."""


@dataclass(frozen=True)
class Settings:
    """The budget of one seed of one arm, and what most recipes set; recipes add fields of their own."""

    updates: int
    seconds: float
    batch_size: int
    hidden_size: int
    lr: float
    check_every: int
    clip: float = 1.0


@dataclass(frozen=True)
class Outcome:
    """What one seed of one arm came to.

    Attributes:
        solved: whether it met the criterion of the recipe.
        score: the measure of the recipe at the end.
        updates, sequences, seconds: what it took.
        note: anything else worth a word.
    """

    solved: bool
    score: float
    updates: int
    sequences: int
    seconds: float
    note: str = ""


@dataclass(frozen=True)
class Arm:
    """One model or method of a recipe. Controls are run and printed, the others are judged.

    Attributes:
        label: its name in the table.
        train: (settings, seed, monitor) -> Outcome.
        needs: name of the class in `unrolled` without which the arm is left out.
        control: whether it is there for comparison only.
    """

    label: str
    train: Callable[[Any, int, Monitor], Outcome]
    needs: str | None = None
    control: bool = False

    @property
    def available(self) -> bool:
        return self.needs is None or hasattr(ur, self.needs)


Outcomes = Mapping[str, list[Outcome]]


@dataclass(frozen=True)
class Recipe:
    """One published result to be done again.

    Attributes:
        name: for the command line.
        title, source: what it is about, and the paper.
        published: the paper's figures, in a sentence.
        baseline: what answering without learning comes to, in a sentence, given the settings.
        measure: what the score of an outcome is.
        pass_line: what must hold, in a sentence; `judge` says whether it does.
        full, quick: settings. The quick ones show in seconds that everything works.
        quick_line: what must hold of the quick form.
        seeds, quick_seeds: how many are run unless said otherwise.
        arms: what is compared.
        judge: (outcomes by label, quick) -> whether the line is met; of None nothing is judged.
        data: what file or package the recipe reads, if it makes no data of its own; Settings then have `data`.
    """

    name: str
    title: str
    source: str
    published: str
    baseline: Callable[[Any], str]
    measure: str
    pass_line: str
    full: Settings
    quick: Settings
    quick_line: str
    arms: tuple[Arm, ...]
    judge: Callable[[Outcomes, bool], bool | None]
    seeds: int = 5
    quick_seeds: int = 1
    data: str | None = None


def success_rate(outcomes: list[Outcome]) -> float:
    """Share of the seeds that solved the task."""
    return sum(outcome.solved for outcome in outcomes) / len(outcomes)
