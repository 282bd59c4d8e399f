"""Gradient clipping, by global norm and by value."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from unrolled import checks
from unrolled._native import core
from unrolled.arrays import for_kernels
from unrolled.module import Module
from unrolled.optim.base import named_tensors
from unrolled.tensor import Tensor


class DivergenceError(ArithmeticError):
    """A loss or a gradient is not finite, so that a further step would ruin the parameters."""


def clip_grad_norm(
    parameters: Module | Mapping[str, Tensor], max_norm: float = math.inf, *, check_finite: bool = True
) -> float:
    """Scales all gradients so that their common Euclidean norm is at most `max_norm`; returns the norm before
    that.

    The norm is summed in float64. A norm that is not finite raises DivergenceError and names the parameter,
    before any gradient is changed; with `check_finite=False` it is returned and nothing is scaled. The
    default `max_norm` only reports.
    """
    if max_norm != math.inf:
        checks.positive("clip_grad_norm", "max_norm", max_norm)
    gradients = _gradients("clip_grad_norm", parameters)
    squares = core.sums_of_squares([for_kernels(gradient) for gradient in gradients.values()])
    norm = math.sqrt(math.fsum(squares)) if all(map(math.isfinite, squares)) else math.nan
    if not math.isfinite(norm):
        if check_finite:
            name = next(n for n, s in zip(gradients, squares, strict=True) if not math.isfinite(s))
            raise DivergenceError(
                f"clip_grad_norm: the gradient of {name!r} is not finite (overflow, or a division by zero)"
            )
        return norm
    if norm > max_norm:
        _refuse_read_only("clip_grad_norm", gradients)
        for gradient in {id(gradient): gradient for gradient in gradients.values()}.values():
            gradient *= max_norm / norm
    return norm


def clip_grad_value(parameters: Module | Mapping[str, Tensor], limit: float) -> float:
    """Cuts every gradient to [-limit, limit], in place (NaN stays NaN); returns the largest magnitude before
    that. Infinity only reports.
    """
    if limit != math.inf:
        checks.positive("clip_grad_value", "limit", limit)
    largest, gradients = 0.0, _gradients("clip_grad_value", parameters)
    if limit != math.inf:
        _refuse_read_only("clip_grad_value", gradients)
    for gradient in gradients.values():
        if gradient.size:
            magnitude = float(np.abs(gradient).max())
            largest = max(magnitude, largest) if largest == largest and magnitude == magnitude else math.nan
        if limit != math.inf:
            np.clip(gradient, -limit, limit, out=gradient)
    return largest


def _gradients(who: str, parameters: Module | Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """The gradient arrays, of a table only its non-zero rows; writing into them changes the gradients."""
    found = {}
    for name, tensor in named_tensors(who, parameters).items():
        rows = tensor.row_grad
        gradient = tensor.grad if rows is None else rows.values
        if gradient is not None:
            found[name] = gradient
    return found


def _refuse_read_only(who: str, gradients: Mapping[str, np.ndarray]) -> None:
    """Before any of them is changed."""
    for name, gradient in gradients.items():
        if not gradient.flags.writeable:
            raise ValueError(f"{who}: the gradient of {name!r} is read-only")
