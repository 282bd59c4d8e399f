"""What `fit` checks before it begins."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from unrolled import checks
from unrolled.io.changes import picture_as_built
from unrolled.io.model import describe, warn_of
from unrolled.module import Module
from unrolled.optim import Optimizer, Schedule
from unrolled.train.checkpoint import check_place
from unrolled.train.run import Callback, Plan, Run


def check_fit(run: Run, plan: Plan, resume: bool) -> None:
    """Raises for what could go wrong later, before the first batch."""
    model, optimizer = run.model, run.optimizer
    if not isinstance(model, Module):
        raise TypeError(f"fit: model is {checks.kind_of(model)}, expected a Module")
    if not callable(run.loss):
        raise TypeError(f"fit: loss is {checks.kind_of(run.loss)}, expected a function of output and targets")
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"fit: optimizer is {checks.kind_of(optimizer)}, expected an Optimizer or None")
    _check_trainable(model, optimizer)
    _check_not_replaced(model, optimizer)
    for schedule in run.schedules:
        if not isinstance(schedule, Schedule):
            raise TypeError(f"fit: schedule is {checks.kind_of(schedule)}, expected a Schedule")
        if schedule.optimizer is not optimizer:
            raise ValueError("fit: the schedule is of another optimizer")
    _check_callbacks(run.callbacks)
    _check_numbers(run, plan, resume)
    for name, given in (("data", run.data), ("validation", plan.validation)):
        if isinstance(given, Iterator) and plan.epochs > 1:
            raise ValueError(
                f"fit: {name} is an iterator, which gives one epoch only; expected a list or an object of "
                "ur.data"
            )
    if plan.patience is not None and plan.validation is None:
        raise ValueError("fit: patience needs validation data")
    if plan.checkpoint is None and (plan.checkpoint_every is not None or resume):
        raise ValueError("fit: checkpoint_every and resume need checkpoint, the path of a file")
    if plan.checkpoint is not None:
        check_place(plan.checkpoint)
        _check_restorable(run)
        run.made = picture_as_built(model)
        warn_of(describe(model, run.made, {})[1])  # now, not after the first epoch


def _check_callbacks(callbacks: Any) -> None:
    if not isinstance(callbacks, (list, tuple)):
        raise TypeError(f"fit: callbacks is {checks.kind_of(callbacks)}, expected a list")
    for callback in callbacks:
        if isinstance(callback, type) or not (callable(callback) or isinstance(callback, Callback)):
            got = f"the class {callback.__name__}" if isinstance(callback, type) else checks.kind_of(callback)
            raise TypeError(f"fit: a callback is {got}, expected a Callback or a function of the Run")


def _check_numbers(run: Run, plan: Plan, resume: bool) -> None:
    for name in ("epochs", "patience", "checkpoint_every"):
        if getattr(plan, name) is not None:
            checks.size("fit", name, getattr(plan, name))
    if run.clip_norm != math.inf:  # it stands for None
        checks.positive("fit", "clip_norm", run.clip_norm)
    if run.clip_value not in (None, math.inf):
        checks.positive("fit", "clip_value", run.clip_value)
    checks.amount("fit", "min_delta", plan.min_delta)
    checks.flag("fit", "restore_best", plan.restore_best)
    checks.flag("fit", "resume", resume)


def _check_trainable(model: Module, optimizer: Optimizer) -> None:
    here = {id(tensor) for tensor in model.parameters().values()}
    shared = [tensor for tensor in optimizer.parameters.values() if id(tensor) in here]
    if not shared:
        raise ValueError("fit: the optimizer has no parameter of the model; was it made for another model?")
    if not any(tensor.requires_grad for tensor in shared):
        raise ValueError("fit: all parameters that the optimizer has are frozen; unfreeze() some")


def _check_not_replaced(model: Module, optimizer: Optimizer) -> None:
    """A tensor that was put in the place of a parameter after the optimizer was made would never be updated."""
    held = {id(tensor) for tensor in optimizer.parameters.values()}
    for name, tensor in model.parameters().items():
        if name in optimizer.parameters and id(tensor) not in held and tensor.requires_grad:
            raise ValueError(
                f"fit: the model has another tensor as {name!r} than the optimizer, which would not train it; make "
                f"the optimizer after parameters are replaced, or write {name}.data[...] = values"
            )


def _check_restorable(run: Run) -> None:
    """What gives checkpoints a state must be able to take it up again."""
    modules = {f"the module {name!r}" if name else "the model": m for name, m in run.model.modules().items()}
    for what, owner in {**modules, "data": run.data}.items():
        if hasattr(owner, "state_dict") and not hasattr(owner, "load_state_dict"):
            raise TypeError(
                f"fit: {what} ({type(owner).__name__}) has state_dict but no load_state_dict, so that a checkpoint "
                "could not be resumed; define both or neither (parameters are saved anyway)"
            )
