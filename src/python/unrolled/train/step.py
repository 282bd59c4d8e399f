"""What training, evaluation and prediction do with one batch."""

from __future__ import annotations

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
    if batch_size is not None:
        raise ValueError(f"{who}: batch_size is for a pair of arrays; these data are in batches already")
    if not isinstance(data, Iterable):
        raise TypeError(
            f"{who}: data is {type(data).__name__}, expected batches or a pair of arrays (inputs, targets)"
        )
    return data


def as_batch(who: str, batch: Any) -> Batch:
    if not isinstance(batch, (tuple, list)) or not 2 <= len(batch) <= 4:
        what = f"{len(batch)} items" if isinstance(batch, (tuple, list)) else f"a {type(batch).__name__}"
        raise TypeError(
            f"{who}: a batch is {what}, expected (inputs, targets), or with lengths, or with lengths and mask"
        )
    return batch if isinstance(batch, Batch) else Batch(*batch)


def call(
    model: Any, inputs: Any, lengths: Any = None, state: Any = None, carry: bool = False
) -> tuple[Any, Any]:
    """Output and state of a model; the state is None unless the model gives `(output, state)`."""
    options = {} if lengths is None else {"lengths": lengths}
    if carry:
        options["state"] = state
    result = model(**inputs, **options) if isinstance(inputs, Mapping) else model(inputs, **options)
    if isinstance(result, tuple) and len(result) == 2 and not isinstance(result[1], Tensor):
        return result
    if carry:
        raise TypeError(
            f"{type(model).__name__}: the output is a {type(result).__name__}, expected (output, state), "
            "because the data carry the state from batch to batch; carry_state=False starts every batch "
            "afresh"
        )
    return result, None


def loss_of(loss: Loss, output: Any, batch: Batch) -> Any:
    """The loss of a batch. Overflow is no warning here: who calls looks at the value and says what it means."""
    options = {} if batch.mask is None else {"mask": batch.mask}
    with np.errstate(over="ignore", invalid="ignore"):
        return loss(output, batch.targets, **options)


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
