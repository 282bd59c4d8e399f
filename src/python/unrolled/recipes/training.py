"""The training loop that recipes share."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import unrolled as ur
from unrolled.recipes.monitor import Monitor
from unrolled.recipes.recipe import Outcome, Settings
from unrolled.tensor import Tensor

Check = Callable[[], tuple[float, bool]]


def train(
    model: ur.Module,
    settings: Settings,
    monitor: Monitor,
    loss: Callable[[], tuple[Tensor, int]],
    check: Check,
    *,
    optimizer: Any = None,
    adjust: Callable[[], None] | None = None,
    clip: bool = True,
) -> Outcome:
    """Updates until the check says that the task is solved, or the budget is used up.

    Args:
        loss: runs the model on new data; gives the loss, and how many steps x rows it read.
        check: gives the score, and whether the task is solved; called every `check_every` updates and at the end.
        optimizer: None: Adam with the rate of the settings.
        adjust: called after every backward, to add to the gradients.
        clip: whether the norm of the gradient is limited to that of the settings.

    A loss or gradient that is not finite ends the run unsolved, with a score of NaN, which is above no line and below
    none.
    """
    optimizer = ur.Adam(model, settings.lr) if optimizer is None else optimizer
    score, solved, note, update = math.nan, False, "", 0
    start = time.monotonic()
    try:
        while update < settings.updates and not solved and not note:
            update += 1
            value, positions = loss()
            optimizer.zero_grad()
            value.backward()
            if adjust is not None:
                adjust()
            norm = ur.clip_grad_norm(model, settings.clip if clip else math.inf)
            optimizer.step()
            monitor.update(update, value.item(), norm, positions)
            if time.monotonic() - start > settings.seconds:
                note = "out of time"
            if update % settings.check_every == 0 or update == settings.updates or note:
                with ur.no_grad(), np.errstate(over="ignore", invalid="ignore"):
                    score, solved = check()
    except ur.DivergenceError:
        score, note = math.nan, "diverged"
    seconds = time.monotonic() - start
    sequences = update * settings.batch_size
    return Outcome(bool(solved), float(score), update, sequences, seconds, "" if solved else note)


def wrong_classes(logits: Any, targets: Any) -> int:
    """How many rows have another class in first place."""
    return int((np.asarray(logits).argmax(axis=-1) != targets).sum())
