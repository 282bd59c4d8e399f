"""The state of a training run and its single step. `fitting` drives it, `checkpoint` saves it."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unrolled.io.changes import Picture
from unrolled.io.file import StrPath
from unrolled.module import Module
from unrolled.optim import (
    DivergenceError,
    Optimizer,
    ReduceLROnPlateau,
    Schedule,
    clip_grad_norm,
    clip_grad_value,
)
from unrolled.tensor import Tensor
from unrolled.train.history import History
from unrolled.train.progress import Progress
from unrolled.train.step import Loss, as_batch, call, input_positions, loss_of, weight_of
from unrolled.train.trees import detach


@dataclass
class Totals:
    """Sums over the part of the epoch that is done."""

    loss: float = 0.0
    weight: float = 0.0
    steps: int = 0
    grad_norm: float = 0.0
    grad_norm_max: float = 0.0
    positions: int = 0
    seconds: float = 0.0

    @property
    def mean_loss(self) -> float:
        """Per position, as the loss counts them."""
        return self.loss / self.weight if self.weight else 0.0

    @property
    def rate(self) -> float:
        """Positions per second."""
        return self.positions / max(self.seconds, 1e-9)


@dataclass
class Plan:
    """What `fit` was asked for, apart from the run itself."""

    epochs: int
    validation: Any
    carry_state: bool | None
    patience: int | None
    min_delta: float
    restore_best: bool
    checkpoint: StrPath | None
    checkpoint_every: int | None
    progress: Progress
    file_is_own: bool  # whether the file at `checkpoint` is of this run, not of an earlier one


@dataclass
class Run:
    """Everything about a run, for callbacks to read. `run.stop = "why"` ends training at once."""

    model: Module
    optimizer: Optimizer
    loss: Loss
    data: Any
    carries_state: bool
    schedules: Sequence[Schedule] = ()
    clip_norm: float = math.inf
    clip_value: float | None = None
    callbacks: Sequence[Any] = ()

    epoch: int = 0  # complete epochs
    step: int = 0  # updates
    batch: int = 0  # batches of the current epoch
    carried: Any = None
    made: Picture | str = ""  # of the model as its constructor makes it, for checkpoints
    data_state: Any = None  # where the data were after the last batch or epoch
    totals: Totals = field(default_factory=Totals)
    history: History = field(default_factory=History)
    best_loss: float = math.inf
    best_parameters: dict[str, np.ndarray] | None = None
    epochs_without_gain: int = 0
    stop: str = ""
    last_loss: float = math.nan
    last_grad_norm: float = math.nan

    def train_batch(self, item: Any) -> None:
        """One update; DivergenceError and no update if the loss or a gradient is not finite."""
        began = time.perf_counter()
        batch = as_batch("fit", item)
        self.optimizer.zero_grad()
        state = self.carried if self.carries_state else None
        output, state = call(self.model, batch.inputs, batch.lengths, state, self.carries_state)
        loss = loss_of(self.loss, output, batch)
        if not isinstance(loss, Tensor):
            raise TypeError(f"fit: loss gave a {type(loss).__name__}, expected a Tensor made from the output")
        if loss.size != 1:
            raise ValueError(f"fit: loss gave a Tensor of shape {loss.shape}, expected a single element")
        value = float(loss.item())
        if not math.isfinite(value):
            raise DivergenceError(f"fit: the loss is {value} {self._where()}{_ADVICE}")
        loss.backward()
        try:
            norm = clip_grad_norm(self.optimizer.parameters, self.clip_norm)
        except DivergenceError as error:
            name = str(error).removeprefix("clip_grad_norm: ")
            raise DivergenceError(f"fit: {name} {self._where()}{_ADVICE}") from None
        if self.clip_value is not None:
            clip_grad_value(self.optimizer.parameters, self.clip_value)
        self.optimizer.step()
        self.carried = detach(state) if self.carries_state else None
        self._advance_schedules("step")
        self._count(value, norm, weight_of(loss, batch), input_positions(batch), began)

    def _where(self) -> str:
        return f"at step {self.step + 1} (epoch {self.epoch + 1}, batch {self.batch + 1})"

    def _count(self, loss: float, norm: float, weight: float, read: int, began: float) -> None:
        self.step += 1
        self.batch += 1
        self._note_data()
        self.last_loss, self.last_grad_norm = loss, norm
        totals = self.totals
        totals.loss += loss * weight
        totals.weight += weight
        totals.steps += 1
        totals.grad_norm += norm
        totals.grad_norm_max = max(totals.grad_norm_max, norm)
        totals.positions += read
        totals.seconds += time.perf_counter() - began

    def _note_data(self) -> None:
        if hasattr(self.data, "state_dict"):
            self.data_state = self.data.state_dict()

    def _advance_schedules(self, unit: str, metric: float | None = None) -> None:
        for schedule in self.schedules:
            if schedule.unit == unit:
                schedule.step(metric if isinstance(schedule, ReduceLROnPlateau) else None)

    def end_epoch(self, validation_loss: float | None) -> dict[str, Any]:
        """Adds the row of this epoch to the history and makes ready for the next."""
        totals = self.totals
        row: dict[str, Any] = {"epoch": self.epoch + 1, "step": self.step, "loss": totals.mean_loss}
        if validation_loss is not None:
            row["validation_loss"] = validation_loss
        row["grad_norm"] = totals.grad_norm / max(totals.steps, 1)
        row["grad_norm_max"] = totals.grad_norm_max
        row["lr"] = self.optimizer.lr
        row["positions"] = totals.positions
        row["seconds"] = totals.seconds
        self._advance_schedules("epoch", totals.mean_loss if validation_loss is None else validation_loss)
        self.history.rows.append(row)
        self.epoch += 1
        self.batch, self.carried, self.totals = 0, None, Totals()
        self._note_data()
        return row

    def judge(self, validation_loss: float, min_delta: float, keep: bool) -> None:
        """Keeps the parameters of the best validation so far, and counts the epochs since."""
        if validation_loss < self.best_loss - min_delta:
            self.best_loss, self.epochs_without_gain = validation_loss, 0
            if keep:
                self.best_parameters = {n: t._data.copy() for n, t in self.model.parameters().items()}
        else:
            self.epochs_without_gain += 1

    def parameters_are_finite(self) -> bool:
        """Whether there is no NaN and no infinity in any parameter."""
        return all(bool(np.isfinite(t._data).all()) for t in self.model.parameters().values())

    def notify(self, event: str) -> None:
        """Calls `on_step` or `on_epoch`, as `event` says, of every callback."""
        for callback in self.callbacks:
            if isinstance(callback, Callback):
                getattr(callback, event)(self)
            elif event == "on_epoch":
                callback(self)


_ADVICE = "; the parameters are those before this step (try a lower learning rate, or clip_norm)"


class Callback:
    """Override what you need. A plain function given to `fit` as a callback is an `on_epoch`.

    A callback with a state of its own gives it as `state_dict` (numbers, strings, arrays, lists,
    dictionaries); it is saved in checkpoints and restored with `load_state_dict`.
    """

    def on_step(self, run: Run) -> None:
        """After every update."""

    def on_epoch(self, run: Run) -> None:
        """After every epoch, its validation included."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds of the callback; nothing unless overridden."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes up what `state_dict` gave, when a run is resumed."""
