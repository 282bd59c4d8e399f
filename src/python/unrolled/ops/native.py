"""Ops that the native op table computes, multi-threaded and the same at any number of threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unrolled import checks
from unrolled._native import core
from unrolled.arrays import for_kernels
from unrolled.ops.checks import check_range, float_tensor, integer_array, one_axis, same_dtype
from unrolled.ops.prepared import Prepared
from unrolled.ops.shape import broadcast_to, reshape, swapaxes
from unrolled.row_gradient import RowGradient
from unrolled.tape import Array, Vjp
from unrolled.tensor import Lookup, Tensor, needs_grad, record

_READ_OUTPUTS = frozenset(("sigmoid", "tanh", "relu", "exp", "softmax", "log_softmax", "dropout"))
_PRODUCTS = frozenset(("linear", "matmul"))
_table = {name: core.op(name) for name in core.op_names()}


def apply(
    name: str, *inputs: Tensor | None, prepared: Prepared | None = None, **attributes: int | float
) -> tuple[Tensor, ...]:
    """Runs and records the op of this name of the native table. None: an optional input not given. `prepared`: where
    what the op makes of its weights is kept between calls that are not recorded.
    """
    recorded = needs_grad(*inputs)
    # Before the arrays are at hand: weights that somebody else holds, and might write into, are packed again.
    made = None if prepared is None or recorded else prepared.of(_table[name], inputs, attributes)
    arrays = [None if t is None else t._data for t in inputs]
    if not recorded:
        return record(name, (), forward_and_vjp(name, arrays, (), attributes, made)[0], _no_vjp)
    wanted = [t is not None and t.requires_grad for t in inputs]
    results, vjp = forward_and_vjp(name, arrays, wanted, attributes)
    return record(name, inputs, results, vjp, _reads(name, inputs, wanted))


def forward_and_vjp(
    name: str,
    arrays: Sequence[Array | None],
    wanted: Sequence[bool],
    attributes: dict[str, int | float],
    made: Any = None,
) -> tuple[Sequence[Array], Vjp]:
    """Runs the op of this name: its results, and its vjp for the inputs whose gradients will be `wanted`. `made`: of
    `Prepared`.
    """
    op = _table[name]
    outputs = op.forward(arrays, attributes, any(wanted), made)
    results = outputs[: op.results]
    shapes = [(array.shape, array.dtype) for array in results]

    def vjp(gradients: Any) -> Any:
        dense = [
            np.zeros(*s) if g is None else for_kernels(g) for g, s in zip(gradients, shapes, strict=True)
        ]
        return op.vjp(arrays, attributes, outputs, dense, wanted)

    return results, vjp


def _reads(
    name: str, inputs: Sequence[Tensor | None], wanted: Sequence[bool]
) -> Sequence[Tensor | None] | None:
    """The inputs that the vjp of an op reads; None: perhaps all."""
    if name in _READ_OUTPUTS:
        return ()
    if name in _PRODUCTS:  # each factor is read for the gradient of the other
        return inputs[0] if wanted[1] else None, inputs[1] if wanted[0] else None
    return None


def _no_vjp(_: Any) -> Any:
    return ()


def sigmoid(x: Any) -> Tensor:
    """1 / (1 + e^-x)."""
    return apply("sigmoid", float_tensor("sigmoid", x))[0]


def tanh(x: Any) -> Tensor:
    """Hyperbolic tangent."""
    return apply("tanh", float_tensor("tanh", x))[0]


def relu(x: Any) -> Tensor:
    """max(x, 0); the derivative at 0 is 0."""
    return apply("relu", float_tensor("relu", x))[0]


def exp(x: Any) -> Tensor:
    """e^x; 0 where the result would be below the smallest normal number."""
    return apply("exp", float_tensor("exp", x))[0]


def _along(name: str, x: Any, axis: int) -> Tensor:
    """Applies an op of the last axis along another one."""
    x = float_tensor(name, x)
    axis = one_axis(name, axis, x.ndim)
    if x.shape[axis] == 0:
        raise ValueError(f"{name}: x has shape {x.shape}, expected at least one element along axis {axis}")
    if axis == x.ndim - 1:
        return apply(name, x)[0]
    return swapaxes(apply(name, swapaxes(x, axis, -1))[0], axis, -1)


def softmax(x: Any, axis: int = -1) -> Tensor:
    """e^x / sum(e^x) along an axis."""
    return _along("softmax", x, axis)


def log_softmax(x: Any, axis: int = -1) -> Tensor:
    """log(softmax(x)) along an axis, exact where softmax(x) rounds to 0."""
    return _along("log_softmax", x, axis)


def matmul(a: Any, b: Any) -> Tensor:
    """Matrix product over the last two axes, as `numpy.matmul`: leading axes broadcast, vectors allowed."""
    a, b = float_tensor("matmul", a, "a"), float_tensor("matmul", b, "b")
    same_dtype("matmul", a, b, "b")
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError(f"matmul: the shapes are {a.shape} and {b.shape}, expected at least one axis each")
    if a.shape[-1] != b.shape[max(b.ndim - 2, 0)]:
        raise ValueError(
            f"matmul: the shapes are {a.shape} and {b.shape}, expected as many columns in the first "
            "as rows in the second"
        )
    if a.ndim == 1:
        product = matmul(reshape(a, (1, -1)) if a.size else reshape(a, (1, 0)), b)
        return reshape(
            product, product.shape[: max(b.ndim - 2, 0)] + product.shape[-1:] if b.ndim > 1 else ()
        )
    if b.ndim == 1:
        return reshape(matmul(a, reshape(b, (b.size, 1))), a.shape[:-1])
    if b.ndim == 2:
        flat = a if a.ndim == 2 else reshape(a, (_product(a.shape[:-1]), a.shape[-1]))
        return _reshaped(apply("matmul", flat, b)[0], (*a.shape[:-1], b.shape[-1]))
    return _batched_matmul(a, b)


def _batched_matmul(a: Tensor, b: Tensor) -> Tensor:
    try:
        lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        raise ValueError(f"matmul: the leading axes of {a.shape} and {b.shape} cannot be broadcast") from None
    a, b = (_reshaped(broadcast_to(t, lead + t.shape[-2:]), (_product(lead), *t.shape[-2:])) for t in (a, b))
    product = apply("matmul", a, b)[0]
    return _reshaped(product, lead + product.shape[-2:])


def _product(sizes: tuple[int, ...]) -> int:
    return int(np.prod(sizes, dtype=np.int64))


def _reshaped(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    return x if x.shape == shape else reshape(x, shape)


def linear(x: Any, weight: Any, bias: Any = None) -> Tensor:
    """y = x W' + b over every leading axis of x: x (..., I), W (O, I), b (O) or None, y (..., O)."""
    x, weight = float_tensor("linear", x), float_tensor("linear", weight, "weight")
    same_dtype("linear", x, weight, "weight")
    if weight.ndim != 2:
        raise ValueError(f"linear: weight has shape {weight.shape}, expected (outputs, inputs)")
    if x.ndim == 0 or x.shape[-1] != weight.shape[1]:
        raise ValueError(
            f"linear: x has shape {x.shape}, expected (..., {weight.shape[1]}) because weight "
            f"has shape {weight.shape}"
        )
    if bias is not None:
        bias = float_tensor("linear", bias, "bias")
        same_dtype("linear", x, bias, "bias")
        if bias.shape != weight.shape[:1]:
            raise ValueError(f"linear: bias has shape {bias.shape}, expected {weight.shape[:1]}")
    return apply("linear", x, weight, bias)[0]


def embedding(weight: Any, ids: Any) -> Tensor:
    """Rows of a table: weight (V, D), integer ids of any shape, result (..., D).

    Equal to the product of one-hot rows with the table. The gradient costs what the looked-up rows cost, not
    the table.
    """
    weight = float_tensor("embedding", weight, "weight")
    indices = integer_array("embedding", ids, "ids")
    if weight.ndim != 2:
        raise ValueError(f"embedding: weight has shape {weight.shape}, expected (rows, columns)")
    try:
        out = _table["embedding"].forward((weight._data, indices), {})
    except ValueError:
        check_range("embedding", indices, weight.shape[0], "ids")  # says which one is no row
        raise
    shape = weight.shape

    def vjp(gradients: Any) -> Any:
        return (RowGradient(indices.reshape(-1), gradients[0].reshape(indices.size, shape[1]), shape),)

    rows = record("embedding", (weight,), out, vjp, ())[0]
    if indices.ndim == 2 and 2 * shape[0] <= indices.size:
        rows._lookup = Lookup(weight, indices, weight._version)
    return rows


def layer_norm(x: Any, gain: Any = None, bias: Any = None, *, eps: float = 1e-5) -> Tensor:
    """(x - mean) / sqrt(var + eps) * gain + bias over the last axis (Ba, Kiros and Hinton, 2016)."""
    x = float_tensor("layer_norm", x)
    if x.ndim == 0 or x.shape[-1] == 0:
        raise ValueError(
            f"layer_norm: x has shape {x.shape}, expected at least one element along the last axis"
        )
    eps = checks.positive("layer_norm", "eps", eps)
    parts = []
    for what, part in (("gain", gain), ("bias", bias)):
        tensor = None if part is None else float_tensor("layer_norm", part, what)
        if tensor is not None:
            same_dtype("layer_norm", x, tensor, what)
            if tensor.shape != x.shape[-1:]:
                raise ValueError(f"layer_norm: {what} has shape {tensor.shape}, expected {x.shape[-1:]}")
        parts.append(tensor)
    return apply("layer_norm", x, *parts, eps=eps)[0]


def dropout(x: Any, p: float, *, seed: int, counter: int = 0) -> Tensor:
    """x / (1 - p) where element i of the random stream (seed, counter) keeps it, else 0; each kept with
    probability 1 - p.

    The mask depends on seed, counter and the position in x alone (Philox 4x32-10; Salmon et al., 2011).
    """
    x = float_tensor("dropout", x)
    check_probability("dropout", p)
    for what, value in (("seed", seed), ("counter", counter)):
        if not 0 <= int(value) < 2**63:
            raise ValueError(f"dropout: {what}={value}, expected 0 <= {what} < 2**63")
    return apply("dropout", x, p=float(p), seed=int(seed), counter=int(counter))[0]


def check_probability(name: str, p: Any) -> None:
    """p must be a number in [0, 1]."""
    if isinstance(p, bool) or not isinstance(p, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name}: p is {p!r}, expected a number")
    if not 0 <= p <= 1:
        raise ValueError(f"{name}: p={p}, expected 0 <= p <= 1")
