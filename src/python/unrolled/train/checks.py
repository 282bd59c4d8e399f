"""What `fit` checks before it begins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from unrolled import checks
from unrolled.io.file import StrPath
from unrolled.module import Module
from unrolled.optim import Optimizer, Schedule
from unrolled.train.checkpoint import check_place


def check_fit(
    model: Any,
    data: Any,
    validation: Any,
    optimizer: Any,
    schedules: Sequence[Any],
    epochs: int,
    patience: int | None,
    checkpoint: StrPath | None,
    every: int | None,
    resume: bool,
) -> None:
    """Raises for what could go wrong later, before the first batch."""
    if not isinstance(model, Module):
        raise TypeError(f"fit: model is {type(model).__name__}, expected a Module")
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"fit: optimizer is {type(optimizer).__name__}, expected an Optimizer or None")
    _check_trainable(model, optimizer)
    for schedule in schedules:
        if not isinstance(schedule, Schedule):
            raise TypeError(f"fit: schedule is {type(schedule).__name__}, expected a Schedule")
        if schedule.optimizer is not optimizer:
            raise ValueError("fit: the schedule is of another optimizer")
    for name, number in (("epochs", epochs), ("patience", patience), ("checkpoint_every", every)):
        if number is not None:
            checks.size("fit", name, number)
    for name, given in (("data", data), ("validation", validation)):
        if isinstance(given, Iterator) and epochs > 1:
            raise ValueError(
                f"fit: {name} is an iterator, which gives one epoch only; expected a list or an object of "
                "ur.data"
            )
    if patience is not None and validation is None:
        raise ValueError("fit: patience needs validation data")
    if checkpoint is None and (every is not None or resume):
        raise ValueError("fit: checkpoint_every and resume need checkpoint, the path of a file")
    if checkpoint is not None:
        check_place(checkpoint)
        model.config()  # raises now, not after the first epoch, if the model cannot be stored


def _check_trainable(model: Module, optimizer: Optimizer) -> None:
    here = {id(tensor) for tensor in model.parameters().values()}
    shared = [tensor for tensor in optimizer.parameters.values() if id(tensor) in here]
    if not shared:
        raise ValueError("fit: the optimizer has no parameter of the model; was it made for another model?")
    if not any(tensor.requires_grad for tensor in shared):
        raise ValueError("fit: all parameters that the optimizer has are frozen; unfreeze() some")
