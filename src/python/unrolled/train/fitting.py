"""`fit`: the training loop."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import numpy as np

from unrolled.io.file import StrPath
from unrolled.module import Module
from unrolled.optim import Adam, DivergenceError, Optimizer, Schedule
from unrolled.train.checkpoint import restore_run, save_run
from unrolled.train.checks import check_fit
from unrolled.train.earlier import earlier_kept
from unrolled.train.evaluation import evaluate
from unrolled.train.history import History
from unrolled.train.interrupt import Interrupt, InterruptGuard
from unrolled.train.progress import Progress, Silent
from unrolled.train.run import Callback, Plan, Run
from unrolled.train.step import Loss, as_batches


def fit(
    model: Module,
    data: Any,
    *,
    loss: Loss,
    optimizer: Optimizer | None = None,
    epochs: int = 1,
    batch_size: int | None = None,
    validation: Any = None,
    schedule: Schedule | Sequence[Schedule] | None = None,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    patience: int | None = None,
    min_delta: float = 0.0,
    restore_best: bool = True,
    checkpoint: StrPath | None = None,
    checkpoint_every: int | None = None,
    resume: bool = False,
    carry_state: bool | None = None,
    callbacks: Sequence[Callback | Callable[[Run], Any]] = (),
    progress: bool | Progress = True,
    rng: np.random.Generator | None = None,
) -> History:
    """Trains a model and gives the history of the epochs.

    Args:
        model: called with the inputs of a batch, with `lengths=` if the batch has any, and with `state=` if
            the state is carried; gives the output or `(output, state)`. Two Tensors are output and state if the
            model takes `state`, otherwise two outputs, which the loss gets as a tuple.
        data: batches (`ur.data`, or anything that can be iterated once per epoch and gives (inputs, targets),
            (inputs, targets, lengths) or (inputs, targets, lengths, mask)), or a pair of arrays (inputs
            (T, N, ...), targets), a tuple of NumPy arrays, which is cut into `batch_size` rows (32), shuffled with
            `rng`. Lengths are for the model alone: with targets (T, B, ...) per step, the steps after them count in
            the loss unless there is a mask (T, B), `np.arange(T)[:, None] < lengths`, True where a target counts
            (`ur.data.BucketBatches` gives it).
        loss: `loss(output, targets)`, with `mask=` if the batch has one; a mean over positions.
        optimizer: None: Adam with its usual rate. It must be made anew after a parameter was replaced.
        epochs: number of epochs in all, those before a resume included.
        validation: as data; evaluated after every epoch.
        schedule: one or several; stepped per update or per epoch, as each says.
        clip_norm, clip_value: limits for the gradients, see `clip_grad_norm` and `clip_grad_value`.
        patience: stop after so many epochs without a validation loss lower than the best by more than
            `min_delta`.
        restore_best: at the end the model has the parameters of its best validation, even without patience.
        checkpoint: file that is replaced after every epoch, and every `checkpoint_every` updates. `ur.load`
            reads the model in it: the best so far by validation if there is one (and `restore_best`), else
            the latest. Without `resume`, a file that is there already is kept as `name.1.suffix` (2, 3 and so on)
            when the first checkpoint of this run takes its place.
        resume: go on from `checkpoint` as if never interrupted, bit for bit. Give the rest as before.
        carry_state: whether a batch starts from the state of the batch before; None: as the data say
            (`ContiguousBatches` do).
        callbacks: `Callback`s, or functions called with the `Run` after every epoch.
        progress: whether to report on standard error, or a `Progress`.

    Ctrl-C takes effect after the step at work: a checkpoint is written, then KeyboardInterrupt is raised. A
    second one acts at once. A loss or gradient that is not finite raises DivergenceError before the
    parameters are changed; the last checkpoint is kept. Afterwards every module is in the mode it was in.
    """
    optimizer = Adam(model) if optimizer is None else optimizer
    schedules = [schedule] if isinstance(schedule, Schedule) else list(schedule or ())
    batches = as_batches("fit", data, batch_size, shuffle=True, rng=rng)
    if validation is not None:
        in_arrays = isinstance(validation, tuple) and all(isinstance(part, np.ndarray) for part in validation)
        validation = as_batches("fit, validation", validation, batch_size if in_arrays else None)
    carry = bool(getattr(batches, "carries_state", False)) if carry_state is None else carry_state
    run = Run(
        model, optimizer, loss, batches, carry, schedules,
        math.inf if clip_norm is None else clip_norm, clip_value, callbacks,
    )  # fmt: skip
    reporter = progress if isinstance(progress, Progress) else Progress() if progress else Silent()
    plan = Plan(
        epochs,
        validation,
        carry_state,
        patience,
        min_delta,
        restore_best,
        checkpoint,
        checkpoint_every,
        reporter,
        file_is_own=resume,
    )
    check_fit(run, plan, resume)
    if resume:
        assert checkpoint is not None
        restore_run(run, checkpoint)
    modes = [(module, module.training) for module in model.modules().values()]
    model.train()
    try:
        _train(run, plan)
    finally:
        reporter.close()
        for module, mode in modes:
            module.training = mode
    return run.history


def _train(run: Run, plan: Plan) -> None:
    with InterruptGuard() as guard:
        try:
            _stop_early(run, plan)  # a run that had ended early is not taken up again
            while run.epoch < plan.epochs and not run.stop:
                _epoch(run, plan, guard)
                guard.check()
        except Interrupt:
            _save(run, plan)
            saved = (
                "" if plan.checkpoint is None else f"; {plan.checkpoint} is saved, and resume=True goes on"
            )
            raise Interrupt(f"fit: interrupted after step {run.step}{saved}") from None
        except DivergenceError as error:
            if plan.checkpoint is None or not plan.file_is_own:
                raise
            raise DivergenceError(f"{error}; the last good checkpoint is {plan.checkpoint}") from None
    run.history.stopped = run.stop
    if plan.restore_best and run.best_parameters is not None:
        run.model.load_parameters(run.best_parameters)


def _epoch(run: Run, plan: Plan, guard: InterruptGuard) -> None:
    """The rest of an epoch, its validation, and a checkpoint."""
    count = len(run.data) if hasattr(run.data, "__len__") else None
    plan.progress.start_epoch(run.epoch + 1, plan.epochs, count, run.batch)
    positioned = hasattr(run.data, "state_dict")  # a resumed run has told the data where to go on
    for batch in run.data if positioned else islice(run.data, run.batch, None):
        run.train_batch(batch)
        plan.progress.step(
            run.batch, run.totals.mean_loss, run.totals.grad_norm / run.totals.steps, run.totals.rate
        )
        run.notify("on_step")
        if plan.checkpoint_every and run.step % plan.checkpoint_every == 0:
            _save(run, plan)
        guard.check()
        if run.stop:
            break
    if run.batch == 0:
        raise ValueError("fit: the data gave no batches" + (" in this epoch" if run.epoch else ""))
    score = None
    if plan.validation is not None:
        score = _validate(run, plan, guard)
        run.judge(score, plan.min_delta, plan.restore_best)
    row = run.end_epoch(score)
    plan.progress.end_epoch(row)
    run.notify("on_epoch")
    _stop_early(run, plan)
    _save(run, plan)


def _save(run: Run, plan: Plan) -> None:
    """A checkpoint, if they were asked for; the first one keeps what an earlier run has left there."""
    if plan.checkpoint is None:
        return
    if plan.file_is_own:
        save_run(run, plan.checkpoint)
        return
    with earlier_kept(plan.checkpoint) as kept:
        save_run(run, plan.checkpoint)
    plan.file_is_own = True
    if kept is not None:
        plan.progress.keeps_earlier(os.fspath(plan.checkpoint), os.fspath(kept))


def _stop_early(run: Run, plan: Plan) -> None:
    if plan.patience is not None and run.epochs_without_gain >= plan.patience and not run.stop:
        run.stop = f"no better validation loss for {plan.patience} epochs"


def _validate(run: Run, plan: Plan, guard: InterruptGuard) -> float:
    carry = plan.carry_state
    if carry is None:
        carry = bool(getattr(plan.validation, "carries_state", False))
    score = evaluate(run.model, guard.watch(plan.validation), run.loss, carry_state=carry)
    if not math.isfinite(score):
        raise DivergenceError(f"fit: the validation loss is {score} after step {run.step}")
    return score
