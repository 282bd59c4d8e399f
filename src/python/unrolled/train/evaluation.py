"""`evaluate` and `predict`: batched, without a tape, in evaluation mode; the mode of every module is
restored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from unrolled import checks
from unrolled.arrays import array_of
from unrolled.data.arrays import pad
from unrolled.tensor import Tensor
from unrolled.train.step import (
    Loss,
    as_batch,
    as_batches,
    call,
    evaluation_mode,
    loss_of,
    told,
    weight_of,
)  # fmt: skip


def evaluate(
    model: Callable[..., Any],
    data: Any,
    loss: Loss,
    *,
    batch_size: int | None = None,
    carry_state: bool | None = None,
) -> float:
    """The mean of `loss` over data.

    Every batch counts as much as its positions: those that a loss of this library has counted (without those that
    `ignore_index` passes over, with the weights of classes), else the true elements of its mask, or its targets. So
    the result is that of one batch with all the data. Threads may share a model in evaluation mode; one in training
    mode is in evaluation mode meanwhile.

    Args:
        model: gives the output, or `(output, state)`, as in `fit`.
        data: batches, or a pair of arrays (inputs (T, N, ...), targets), a tuple of NumPy arrays, cut into
            `batch_size` rows (32). Batches are as in `fit`: with lengths and targets (T, B, ...) per step, the steps
            after the lengths count in the loss, unless a mask (T, B) leaves them out.
        loss: `loss(output, targets)`, for batches with a mask `loss(output, targets, mask=mask)`; a loss, or
            any measure that is a mean over positions, such as an accuracy.
        carry_state: whether a batch starts from the state of the batch before; None: as the data say.
    """
    batches = as_batches("evaluate", data, batch_size)
    carry = bool(getattr(batches, "carries_state", False)) if carry_state is None else carry_state
    total, weight, state = 0.0, 0.0, None
    with evaluation_mode(model):
        for item in batches:
            batch = as_batch("evaluate", item)
            output, state = call(model, batch.inputs, batch.lengths, state, carry)
            value = loss_of(loss, output, batch)
            counted = weight_of(value, batch)
            total += float(value.item() if isinstance(value, Tensor) else value) * counted
            weight += counted
    if weight == 0:
        raise ValueError("evaluate: the data have no positions to evaluate")
    return total / weight


def predict(
    model: Callable[..., Any],
    inputs: Any,
    *,
    batch_size: int = 256,
    batch_axis: int = 1,
    output_axis: int | None = None,
) -> Any:
    """The outputs of a model for many inputs, as arrays.

    Inputs (T, N, ...) give one array: the outputs of all rows side by side, (T, N, ...) for a model with an
    output per step, (N, ...) for one with an output per sequence. A list of N sequences (T_i, ...) is padded
    in batches and the model called with `lengths`: the result is a list of arrays (T_i, ...), or one array
    (N, ...) for an output per sequence. If the model gives `(output, state)`, the state is dropped.
    `output_axis` says where the rows are in the output, if that cannot be told from the shapes. Threads may share a
    model in evaluation mode; one in training mode is in evaluation mode meanwhile.
    """
    checks.size("predict", "batch_size", batch_size)
    with evaluation_mode(model):
        if isinstance(inputs, (list, tuple)):
            return _predict_sequences(model, inputs, batch_size)
        inputs = array_of("predict", "inputs", inputs)
        if not 0 <= batch_axis < inputs.ndim:
            raise ValueError(
                f"predict: inputs have shape {inputs.shape}, expected the rows on axis {batch_axis}"
            )
        rows = inputs.shape[batch_axis]
        outputs = []
        for start in range(0, max(rows, 1), batch_size):
            part = np.ascontiguousarray(
                inputs[(slice(None),) * batch_axis + (slice(start, start + batch_size),)]
            )
            outputs.append((_output(model, part), part.shape))
    axis = _row_axis(outputs[0][0], outputs[0][1], batch_axis) if output_axis is None else output_axis
    return np.concatenate([output for output, _ in outputs], axis=axis)


def _output(model: Callable[..., Any], inputs: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
    output, _ = call(model, inputs, lengths)
    if not isinstance(output, (Tensor, np.ndarray)):
        what = told(output) if isinstance(output, tuple) else f"a {type(output).__name__}"
        raise TypeError(f"predict: the model gave {what}, expected a Tensor or an array")
    return output._data if isinstance(output, Tensor) else output


def _row_axis(output: np.ndarray, inputs: tuple[int, ...], batch_axis: int) -> int:
    """Where the rows of an output are: at its front, or beside the time axis as in the inputs."""
    rows = inputs[batch_axis]
    per_step = output.ndim > 1 and batch_axis == 1 and output.shape[:2] == inputs[:2]
    per_row = output.ndim > 0 and output.shape[0] == rows
    if per_step and (not per_row or output.ndim > 2):
        return 1
    if per_row:
        return 0
    raise ValueError(
        f"predict: inputs of shape {inputs} gave an output of shape {output.shape}; say with output_axis "
        f"where the {rows} rows are"
    )


def _predict_sequences(model: Callable[..., Any], sequences: Any, batch_size: int) -> Any:
    if not sequences:
        raise ValueError("predict: the list of sequences is empty")
    per_step: list[np.ndarray] = []
    per_row: list[np.ndarray] = []
    for start in range(0, len(sequences), batch_size):
        padded, lengths = pad(sequences[start : start + batch_size])
        output = _output(model, padded, lengths)
        if _row_axis(output, padded.shape, 1) == 1:
            per_step += [output[:length, row].copy() for row, length in enumerate(lengths)]
        else:
            per_row.append(output)
    if per_step and per_row:  # T equal to the number of rows in one batch of two-dimensional outputs
        raise ValueError("predict: the outputs are ambiguous; choose another batch_size")
    return per_step or np.concatenate(per_row)
