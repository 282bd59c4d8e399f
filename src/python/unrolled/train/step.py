"""What training, evaluation and prediction do with one batch."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from unrolled.data.batches import ArrayBatches, Batch
from unrolled.module import Module
from unrolled.tensor import Tensor, no_grad

Loss = Callable[..., Any]


def as_batches(
    who: str,
    data: Any,
    batch_size: int | None,
    *,
    shuffle: bool = False,
    rng: np.random.Generator | None = None,
) -> Iterable[Any]:
    """The data themselves, or batches of a pair of arrays (inputs (T, N, ...), targets)."""
    if isinstance(data, tuple) and len(data) == 2 and all(isinstance(part, np.ndarray) for part in data):
        return ArrayBatches(*data, 32 if batch_size is None else batch_size, shuffle=shuffle, rng=rng)
    if isinstance(data, (tuple, list)) and len(data) == 2 and not all(map(_may_be_batch, data)):
        raise TypeError(
            f"{who}: data is a {type(data).__name__} of {' and '.join(type(part).__name__ for part in data)}, expected "
            "batches or a pair of arrays: a tuple of two NumPy arrays (inputs, targets)"
        )
    if batch_size is not None:
        raise ValueError(f"{who}: batch_size is for a pair of arrays; these data are in batches already")
    if not isinstance(data, Iterable):
        raise TypeError(
            f"{who}: data is {type(data).__name__}, expected batches or a pair of arrays (inputs, targets)"
        )
    return data


def _may_be_batch(item: Any) -> bool:
    """A list of numbers may have the length of a batch, but is the half of a pair of lists."""
    return (
        isinstance(item, (tuple, list))
        and 2 <= len(item) <= 4
        and not isinstance(item[0], (int, float, np.generic))
    )


def as_batch(who: str, batch: Any) -> Batch:
    """What the data gave, with all four items."""
    if not isinstance(batch, (tuple, list)) or not 2 <= len(batch) <= 4:
        what = f"{len(batch)} items" if isinstance(batch, (tuple, list)) else f"a {type(batch).__name__}"
        raise TypeError(
            f"{who}: a batch is {what}, expected (inputs, targets), or with lengths, or with lengths and mask; "
            "whole data go in as a tuple of two NumPy arrays"
        )
    return batch if isinstance(batch, Batch) else Batch(*batch)


def call(
    model: Any, inputs: Any, lengths: Any = None, state: Any = None, carry: bool = False
) -> tuple[Any, Any]:
    """Output and state of a model; the state is None unless the model gives `(output, state)`.

    Two Tensors are that if the model takes `state`; from any other they may be two outputs, for the loss to take.
    """
    options = {} if lengths is None else {"lengths": lengths}
    if carry:
        options["state"] = state
    result = model(**inputs, **options) if isinstance(inputs, Mapping) else model(inputs, **options)
    if isinstance(result, tuple) and len(result) == 2:
        if carry or not isinstance(result[1], Tensor) or _takes_state(model):
            return result
    elif carry:
        raise TypeError(
            f"{type(model).__name__}: the output is a {type(result).__name__}, expected (output, state), "
            "because the data carry the state from batch to batch; carry_state=False starts every batch "
            "afresh"
        )
    return result, None


def _takes_state(model: Any) -> bool:
    try:
        parameters = inspect.signature(model.forward if isinstance(model, Module) else model).parameters
    except (TypeError, ValueError):  # of some callables nothing is known
        return False
    return "state" in parameters


def loss_of(loss: Loss, output: Any, batch: Batch) -> Any:
    """The loss of a batch. Overflow is no warning here: who calls looks at the value and says what it means."""
    options = {} if batch.mask is None else {"mask": batch.mask}
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            return loss(output, batch.targets, **options)
    except (TypeError, ValueError) as error:
        if not isinstance(output, tuple) or type(error) not in (TypeError, ValueError):
            raise
        raise type(error)(f"{error}; the model gave {told(output)}") from error


def told(output: tuple[Any, ...]) -> str:
    """What a tuple is that was taken as the output, and when a part of it would be the state."""
    what = f"a tuple of {' and '.join(type(part).__name__ for part in output)}"
    if len(output) != 2:
        return what
    return f"{what} (the second would be its state if forward took the argument `state`)"


def weight_of(value: Any, batch: Batch) -> float:
    """How much the mean over a batch counts in the mean over many.

    A loss of this library knows what it has divided by: positions that it passed over for `ignore_index` do not count,
    and others count as their classes do. Any other value counts by the true elements of the mask, or by the targets.
    """
    counted: float | None = getattr(value, "_weight", None)
    if counted is not None:
        return counted
    return int(np.count_nonzero(batch.mask)) if batch.mask is not None else int(np.size(batch.targets))


def input_positions(batch: Batch) -> int:
    """How many time steps x rows the model reads."""
    if batch.lengths is not None:
        return int(np.sum(batch.lengths))
    inputs = next(iter(batch.inputs.values())) if isinstance(batch.inputs, Mapping) else batch.inputs
    return int(np.prod(np.shape(inputs)[:2]))


@contextmanager
def evaluation_mode(model: Any) -> Iterator[None]:
    """Evaluation mode without a tape; afterwards every module is in the mode it was in. Of a model in training mode,
    for one thread at a time.
    """
    # Modules in evaluation mode are not touched: threads may share them.
    modules = model.modules().values() if isinstance(model, Module) else ()
    training = [module for module in modules if module.training]
    try:
        for module in training:
            module.training = False
        with no_grad():
            yield
    finally:
        for module in training:
            module.training = True
