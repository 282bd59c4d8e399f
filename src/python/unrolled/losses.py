"""Losses from logits, with masks: what a padded or partly labelled batch of sequences costs.

Every loss is a sum or mean over positions. A position counts with its weight: that of its class, times its
mask, and 0 where it is ignored. A position of weight 0 is not read at all: whatever stands there, NaN
included, neither the loss nor the gradients see it. The mean divides by the sum of the weights, and is 0
where no position counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unrolled import checks
from unrolled.arrays import array_of
from unrolled.ops.checks import float_tensor, integer_array
from unrolled.ops.native import forward_and_vjp
from unrolled.tape import Array
from unrolled.tensor import Tensor, needs_grad, record

_REDUCTIONS = ("mean", "sum", "none")


def cross_entropy(
    logits: Any,
    targets: Any,
    *,
    mask: Any = None,
    ignore_index: int | None = None,
    class_weights: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """-log softmax(logits)[target] of every position, summed or averaged; softmax and logarithm are fused.

    Args:
        logits: (..., C), float32 or float64.
        targets: integers (...), from 0 to C - 1 where the position counts.
        mask: (...), bool or non-negative numbers: True or 1 where the position counts.
        ignore_index: positions with this target do not count.
        class_weights: (C,), non-negative.
        reduction: "mean", "sum", or "none" for the loss of every position, shape (...).
    """
    name = "cross_entropy"
    logits = float_tensor(name, logits, "logits")
    labels = integer_array(name, targets, "targets")
    if logits.ndim == 0 or logits.shape[-1] == 0:
        raise ValueError(f"{name}: logits have shape {logits.shape}, expected (..., classes)")
    shape, classes = logits.shape[:-1], logits.shape[-1]
    if labels.shape != shape:
        raise ValueError(
            f"{name}: targets have shape {labels.shape}, expected {shape} because logits "
            f"have shape {logits.shape}"
        )
    checks.one_of(name, "reduction", reduction, _REDUCTIONS)
    weights = _mask_weights(name, mask, shape, logits.dtype)
    if ignore_index is not None:
        ignore_index = checks.integer(name, "ignore_index", ignore_index)
        counted = labels != ignore_index
        weights = counted.astype(logits.dtype) if weights is None else weights * counted
    if weights is not None:
        labels = np.where(weights != 0, labels, 0)
    if class_weights is not None:
        _check_labels(name, labels, classes, ignore_index)
        per_class = _class_weights(name, class_weights, classes, logits.dtype)[labels]
        weights = per_class if weights is None else weights * per_class
    arrays = (logits._data, labels, None if weights is None else np.asarray(weights, order="C"))
    try:
        (losses,), vjp = forward_and_vjp(name, arrays, (needs_grad(logits), False, False), {})
    except ValueError:
        _check_labels(name, labels, classes, ignore_index)  # says which one is no class
        raise
    return _reduced(
        name, (logits,), losses, lambda g: vjp((np.broadcast_to(g, shape),))[:1], weights, reduction
    )


def binary_cross_entropy(
    logits: Any, targets: Any, *, mask: Any = None, class_weights: Any = None, reduction: str = "mean"
) -> Tensor:
    """-(t log s + (1 - t) log(1 - s)) of every element, s = sigmoid(logit), computed as |x| u +
    log(1 + e^-|x|) of the logit x, where u is 1 - t for positive x and t for others.

    Args:
        logits: any shape, float32 or float64.
        targets: numbers or booleans of the same shape, from 0 to 1.
        mask: of the same shape, or without the last axis; see `cross_entropy`.
        class_weights: (2,), how much targets 0 and 1 count; in between for targets in between.
        reduction: "mean", "sum" or "none".
    """
    name = "binary_cross_entropy"
    logits = float_tensor(name, logits, "logits")
    if isinstance(targets, Tensor) and needs_grad(targets):
        raise TypeError(
            f"{name}: targets require a gradient, which this loss does not give; pass targets.detach()"
        )
    labels = _like_values(name, targets, logits, "targets")
    checks.one_of(name, "reduction", reduction, _REDUCTIONS)
    weights = _element_weights(name, mask, logits)
    if weights is not None:
        labels = np.where(weights != 0, labels, 0)
    if labels.size and not (labels.min() >= 0 and labels.max() <= 1):
        raise ValueError(
            f"{name}: targets hold {_first(labels, ~((labels >= 0) & (labels <= 1)))}, expected 0 to 1"
        )
    if class_weights is not None:
        of_0, of_1 = _class_weights(name, class_weights, 2, logits.dtype)
        per_element = of_0 * (1 - labels) + of_1 * labels
        weights = per_element if weights is None else weights * per_element
    x = logits._data if weights is None else np.where(weights != 0, logits._data, 0)
    one = x.dtype.type(1)
    # t against the sign of x, and for it: sums of what is positive lose no digits, and 0 times infinity is 0 here.
    against, agreeing = np.where(x > 0, one - labels, labels), np.where(x > 0, labels, one - labels)
    with np.errstate(under="ignore"):
        e = np.exp(-np.abs(x))
        losses = np.multiply(against, np.abs(x), where=against != 0, out=np.zeros_like(x)) + np.log1p(e)

    def vjp(gradient: Any) -> Any:
        with np.errstate(under="ignore"):
            slope = np.where(x > 0, one, -one) * (against - agreeing * e) / (one + e)
            return (gradient * (slope if weights is None else slope * weights),)

    return _reduced(name, (logits,), losses if weights is None else losses * weights, vjp, weights, reduction)


def mean_squared_error(
    predictions: Any, targets: Any, *, mask: Any = None, reduction: str = "mean"
) -> Tensor:
    """(prediction - target)^2 of every element, averaged or summed.

    `targets` has the shape of `predictions`; `mask` too, or without the last axis (see `cross_entropy`).
    Gradients go to the targets also, where they are a tensor that requires them.
    """
    name = "mean_squared_error"
    predictions = float_tensor(name, predictions, "predictions")
    checks.one_of(name, "reduction", reduction, _REDUCTIONS)
    wanted = targets if isinstance(targets, Tensor) and needs_grad(targets) else None
    goal = _like_values(name, targets, predictions, "targets")
    weights = _element_weights(name, mask, predictions)
    if weights is None:
        difference = predictions._data - goal
        squares = difference * difference
    else:
        nothing = np.zeros_like(predictions._data)
        difference = np.subtract(predictions._data, goal, where=weights != 0, out=nothing)
        squares = difference * difference * weights

    def vjp(gradient: Any) -> Any:
        slope = (gradient + gradient) * difference
        slope = slope if weights is None else slope * weights
        return slope, None if wanted is None else -slope

    return _reduced(name, (predictions, wanted), squares, vjp, weights, reduction, reads=())


def _reduced(
    name: str,
    inputs: Sequence[Tensor | None],
    losses: Array,
    vjp: Callable[[Any], Any],
    weights: Array | None,
    reduction: str,
    reads: Sequence[Tensor | None] | None = None,
) -> Tensor:
    """The loss, one op on the tape. `vjp`: from the gradient of `losses`, an array or number that can be broadcast to
    them, to those of the inputs.
    """
    if reduction == "none":
        return record(name, inputs, (losses,), lambda gradients: vjp(gradients[0]), reads)[0]
    count = losses.size if weights is None else float(weights.sum(dtype=np.float64))
    factor = losses.dtype.type(1.0 if reduction == "sum" else 1 / count if count else 0.0)
    total = np.asarray(losses.sum() * factor)
    loss = record(name, inputs, (total,), lambda gradients: vjp(gradients[0] * factor), reads)[0]
    if reduction == "mean":
        loss._weight = count  # for means over several batches
    return loss


def _check_labels(name: str, labels: Array, classes: int, ignore_index: int | None) -> None:
    if labels.size and not (labels.min() >= 0 and labels.max() < classes):
        wrong = _first(labels, (labels < 0) | (labels >= classes))
        hint = "" if ignore_index is not None else "; name a value to pass over with ignore_index"
        raise ValueError(f"{name}: targets hold {wrong}, expected values from 0 to {classes - 1}{hint}")


def _first(array: Array, where: Array) -> Any:
    return array[where][0]


def _non_negative(name: str, values: Any, dtype: np.dtype[Any], what: str) -> Array:
    array = array_of(name, what, values)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name}: {what} has dtype {array.dtype}, expected bool or numbers")
    array = array.astype(dtype)
    bad = ~(np.isfinite(array) & (array >= 0))
    if bad.any():
        raise ValueError(f"{name}: {what} holds {_first(array, bad)}, expected finite numbers, 0 or more")
    return array


def _mask_weights(name: str, mask: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array | None:
    if mask is None:
        return None
    weights = _non_negative(name, mask, dtype, "mask")
    if weights.shape != shape:
        raise ValueError(f"{name}: mask has shape {weights.shape}, expected {shape}, one value per position")
    return weights


def _element_weights(name: str, mask: Any, x: Tensor) -> Array | None:
    """The mask, one value per element of x; it may have been given per position of the leading axes."""
    if mask is None:
        return None
    weights = _non_negative(name, mask, x.dtype, "mask")
    if x.ndim and weights.shape == x.shape[:-1] and weights.shape != x.shape:
        weights = weights[..., None]
    elif weights.shape != x.shape:
        raise ValueError(
            f"{name}: mask has shape {weights.shape}, expected {x.shape} or that without the last axis"
        )
    return np.broadcast_to(weights, x.shape)


def _class_weights(name: str, values: Any, classes: int, dtype: np.dtype[Any]) -> Array:
    weights = _non_negative(name, values, dtype, "class_weights")
    if weights.shape != (classes,):
        raise ValueError(f"{name}: class_weights has shape {weights.shape}, expected ({classes},)")
    return weights


def _like_values(name: str, values: Any, x: Tensor, what: str) -> Array:
    """Targets as an array of the dtype and shape of x; another float dtype is an error."""
    array = array_of(name, what, values, constant=False)
    if isinstance(values, (np.ndarray, Tensor)) and array.dtype.kind == "f" and array.dtype != x.dtype:
        raise TypeError(
            f"{name}: {what} have dtype {array.dtype}, expected {x.dtype} like the first argument"
        )
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name}: {what} have dtype {array.dtype}, expected numbers")
    if array.shape != x.shape:
        raise ValueError(f"{name}: {what} have shape {array.shape}, expected {x.shape}")
    return array.astype(x.dtype, copy=False)
