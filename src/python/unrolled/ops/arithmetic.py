"""Elementwise arithmetic with broadcasting, in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from unrolled.arrays import array_of
from unrolled.ops.checks import float_tensor
from unrolled.tape import Array
from unrolled.tensor import Tensor, as_tensor, record_one

Rule = Callable[[Array, Array, Array, Array], Any]


def unbroadcast(gradient: Array, shape: tuple[int, ...]) -> Array:
    """The gradient of an operand of this shape: that of what it was broadcast to, summed where repeated."""
    if gradient.shape == shape:
        return gradient
    lead = gradient.ndim - len(shape)
    axes = tuple(range(lead)) + tuple(
        lead + i for i, size in enumerate(shape) if size == 1 and gradient.shape[lead + i] != 1
    )
    return np.asarray(gradient.sum(axis=axes, keepdims=True)).reshape(shape)


def _operands(name: str, a: Any, b: Any) -> tuple[Tensor, Tensor]:
    """Both as tensors of one float dtype: numbers, integers and booleans follow the other operand."""
    if not isinstance(a, Tensor):
        a = _like(name, "a", a, b) if isinstance(b, Tensor) else as_tensor(a, name, "a")
        b = b if isinstance(b, Tensor) else as_tensor(b, name, "b")
    if not isinstance(b, Tensor):
        b = _like(name, "b", b, a)
    p, q = a._data.dtype, b._data.dtype
    if p != q:
        if p.kind == "f" and q.kind == "f":
            raise TypeError(f"{name}: the operands have dtypes {p} and {q}; convert one of them with astype")
        if p.kind == "f":
            b = Tensor(b._data.astype(p))
        elif q.kind == "f":
            a = Tensor(a._data.astype(q))
    return a, b


def _like(name: str, what: str, value: Any, other: Tensor) -> Tensor:
    """A number takes the dtype of the float tensor it meets; an array keeps its own."""
    if isinstance(value, (int, float, np.generic)) and other._data.dtype.kind == "f":
        return Tensor(np.asarray(value, other._data.dtype))
    return as_tensor(value, name, what)


def _record(
    name: str, a: Tensor, b: Tensor, out: Any, to_a: Rule, to_b: Rule, reads: tuple[Tensor | None, ...]
) -> Tensor:
    """`to_a(dy, x, y, out)` gives the gradient of operand x, `to_b` that of y, in the shape of out; `reads` are the
    operands that they read.
    """
    rules = (to_a if a.requires_grad else None, to_b if b.requires_grad else None)
    return record_one(name, (a, b), out, partial(_vjp, rules, a._data, b._data, out), reads)


def _vjp(rules: tuple[Rule | None, Rule | None], x: Array, y: Array, out: Array, gradients: Any) -> Any:
    to_a, to_b = rules
    dy = gradients[0]
    return (
        None if to_a is None else unbroadcast(to_a(dy, x, y, out), x.shape),
        None if to_b is None else unbroadcast(to_b(dy, x, y, out), y.shape),
    )


def _combine(name: str, a: Tensor, b: Tensor, f: Callable[[Array, Array], Any]) -> Any:
    try:
        return f(a._data, b._data)
    except ValueError:
        raise ValueError(
            f"{name}: the shapes {a.shape} and {b.shape} cannot be broadcast to one shape: counted from the "
            "last axis, sizes must be equal or 1"
        ) from None


def add(a: Any, b: Any) -> Tensor:
    """a + b."""
    a, b = _operands("add", a, b)
    vjp = partial(_sum_vjp, a._data.shape, b._data.shape, a.requires_grad, b.requires_grad, False)
    return record_one("add", (a, b), _combine("add", a, b, np.add), vjp)


def subtract(a: Any, b: Any) -> Tensor:
    """a - b."""
    a, b = _operands("subtract", a, b)
    vjp = partial(_sum_vjp, a._data.shape, b._data.shape, a.requires_grad, b.requires_grad, True)
    return record_one("subtract", (a, b), _combine("subtract", a, b, np.subtract), vjp)


def _sum_vjp(
    shape_a: tuple[int, ...], shape_b: tuple[int, ...], to_a: bool, to_b: bool, minus: bool, gradients: Any
) -> Any:
    dy = gradients[0]
    return (
        unbroadcast(dy, shape_a) if to_a else None,
        unbroadcast(-dy if minus else dy, shape_b) if to_b else None,
    )


def multiply(a: Any, b: Any) -> Tensor:
    """a * b."""
    a, b = _operands("multiply", a, b)
    out = _combine("multiply", a, b, np.multiply)
    reads = (a if b.requires_grad else None, b if a.requires_grad else None)
    return _record("multiply", a, b, out, lambda dy, x, y, out: dy * y, lambda dy, x, y, out: dy * x, reads)


def divide(a: Any, b: Any) -> Tensor:
    """a / b."""
    a, b = _operands("divide", a, b)
    out = _combine("divide", a, b, np.divide)
    return _record(
        "divide", a, b, out, lambda dy, x, y, out: dy / y, lambda dy, x, y, out: -dy * out / y, (b,)
    )


def _power_by_base(dy: Array, x: Array, y: Array, out: Array) -> Any:
    return dy * np.where(y == 0, 0, y * x ** np.where(y == 0, 1, y - 1))


def _power_by_exponent(dy: Array, x: Array, y: Array, out: Array) -> Any:
    return dy * out * np.log(np.where(x == 0, 1, x))


def power(a: Any, b: Any) -> Tensor:
    """a ** b. The derivative by the exponent is a^b log a, taken as 0 where a is 0."""
    if isinstance(b, (int, float)) and b == 2:
        return square(a)
    a, b = _operands("power", a, b)
    out = _combine("power", a, b, np.power)
    return _record("power", a, b, out, _power_by_base, _power_by_exponent, (a, b))


def _to_larger(dy: Array, x: Array, y: Array, out: Array) -> Any:
    return dy * ((x > y) + 0.5 * (x == y)).astype(dy.dtype)


def _to_smaller(dy: Array, x: Array, y: Array, out: Array) -> Any:
    return dy * ((x < y) + 0.5 * (x == y)).astype(dy.dtype)


def maximum(a: Any, b: Any) -> Tensor:
    """The larger of a and b; where they are equal, each gets half of the gradient."""
    a, b = _operands("maximum", a, b)
    return _record("maximum", a, b, _combine("maximum", a, b, np.maximum), _to_larger, _to_smaller, (a, b))


def minimum(a: Any, b: Any) -> Tensor:
    """The smaller of a and b; where they are equal, each gets half of the gradient."""
    a, b = _operands("minimum", a, b)
    return _record("minimum", a, b, _combine("minimum", a, b, np.minimum), _to_smaller, _to_larger, (a, b))


def where(condition: Any, a: Any, b: Any) -> Tensor:
    """a where the condition holds, else b. The condition is boolean and takes part in broadcasting."""
    mask = array_of("where", "the condition", condition)
    if mask.dtype.kind != "b":
        raise TypeError(f"where: the condition has dtype {mask.dtype}, expected bool")
    a, b = _operands("where", a, b)
    out = _combine("where", a, b, lambda x, y: np.where(mask, x, y))
    mask = mask.copy()  # the caller may change it afterwards
    return _record(
        "where",
        a,
        b,
        out,
        lambda dy, x, y, out: np.where(mask, dy, dy.dtype.type(0)),
        lambda dy, x, y, out: np.where(mask, dy.dtype.type(0), dy),
        (),
    )


def _unary(name: str, x: Tensor, out: Any, rule: Callable[[Array], Any], reads: bool = False) -> Tensor:
    """`reads`: whether the rule reads x."""
    return record_one(name, (x,), out, lambda gradients: (rule(gradients[0]),), (x,) if reads else ())


def negative(x: Any) -> Tensor:
    """-x."""
    x = float_tensor("negative", x)
    return _unary("negative", x, -x._data, lambda dy: -dy)


def absolute(x: Any) -> Tensor:
    """|x|; the derivative at 0 is 0."""
    x = float_tensor("absolute", x)
    data = x._data
    return _unary("absolute", x, np.abs(data), lambda dy: dy * np.sign(data), reads=True)


def square(x: Any) -> Tensor:
    """x^2."""
    x = float_tensor("square", x)
    data = x._data
    return _unary("square", x, data * data, lambda dy: (dy + dy) * data, reads=True)


def sqrt(x: Any) -> Tensor:
    """Square root; NaN with NumPy's warning where x < 0."""
    x = float_tensor("sqrt", x)
    out = np.asarray(np.sqrt(x._data))
    return _unary("sqrt", x, out, lambda dy: 0.5 * dy / out)


def log(x: Any) -> Tensor:
    """Natural logarithm; -inf or NaN with NumPy's warning where x <= 0."""
    x = float_tensor("log", x)
    data = x._data
    return _unary("log", x, np.log(data), lambda dy: dy / data, reads=True)


def clip(x: Any, low: float | None = None, high: float | None = None) -> Tensor:
    """x kept within [low, high]; no gradient where it was outside."""
    x = float_tensor("clip", x)
    if low is not None and high is not None and not low <= high:
        raise ValueError(f"clip: received low={low} and high={high}, expected low <= high")
    data = x._data
    inside = np.ones(data.shape, bool)
    if low is not None:
        inside &= data >= low
    if high is not None:
        inside &= data <= high
    return _unary("clip", x, np.clip(data, low, high), lambda dy: dy * inside)


def astype(x: Any, dtype: Any) -> Tensor:
    """x in another dtype; between float dtypes the gradient goes through."""
    x = as_tensor(x, "astype", "x")
    before, wanted = x._data.dtype, np.dtype(dtype)
    out = Tensor(x._data.astype(wanted))._data
    if wanted.kind != "f" or before.kind != "f":
        return Tensor(out)
    return _unary("astype", x, out, lambda dy: dy.astype(before))
