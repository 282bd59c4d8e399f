"""Operators and methods of `Tensor`, each a function of `unrolled.ops` under its usual name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from unrolled import array_functions
from unrolled.array_functions import plain

if TYPE_CHECKING:
    from unrolled import ops
    from unrolled.tape import Array
    from unrolled.tensor import Tensor
else:
    ops = None  # `unrolled.ops` puts itself here once it is complete: its functions are made of tensors

Axes = int | tuple[int, ...] | None


# NumPy's functions that are ours under another or the same name.
_UFUNCS = [
    "add", "subtract", "multiply", "divide", "power", "matmul", "negative", "absolute", "exp",
    "log", "sqrt", "square", "tanh", "maximum", "minimum",
]  # fmt: skip


def _refuse(name: str, options: dict[str, Any]) -> None:
    """`numpy.sum(t)` and its kin pass options of arrays on; they must be at their defaults."""
    for option, value in options.items():
        if option not in ("dtype", "out", "ddof", "initial", "where"):
            raise TypeError(f"Tensor.{name}: there is no option {option}")
        if value is not None and not (option == "ddof" and value == 0):
            raise TypeError(
                f"Tensor.{name}: received {option}={value!r}; use numpy.asarray(t).{name} for that"
            )


class Operators:
    """What tensors can do in an expression. Comparisons give boolean arrays, the rest tensors."""

    __slots__ = ("_data", "requires_grad")
    _data: Array
    requires_grad: bool

    def __add__(self, other: Any) -> Tensor:
        return ops.add(self, other)

    def __radd__(self, other: Any) -> Tensor:
        return ops.add(other, self)

    def __sub__(self, other: Any) -> Tensor:
        return ops.subtract(self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return ops.subtract(other, self)

    def __mul__(self, other: Any) -> Tensor:
        return ops.multiply(self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return ops.multiply(other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return ops.divide(self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return ops.divide(other, self)

    def __pow__(self, exponent: Any) -> Tensor:
        return ops.power(self, exponent)

    def __rpow__(self, base: Any) -> Tensor:
        return ops.power(base, self)

    def __matmul__(self, other: Any) -> Tensor:
        return ops.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return ops.matmul(other, self)

    def __neg__(self) -> Tensor:
        return ops.negative(self)

    def __pos__(self) -> Tensor:
        return ops.as_tensor(self)

    def __abs__(self) -> Tensor:
        return ops.absolute(self)

    def __getitem__(self, key: Any) -> Tensor:
        return ops.getitem(self, key)

    def __setitem__(self, key: Any, value: Any) -> NoReturn:
        raise TypeError(
            "Tensor: elements cannot be assigned, because the graph may need the old ones; write into "
            "t.data[...] outside of the graph, or use where, concat, stack"
        )

    def __iter__(self) -> Iterator[Tensor]:
        if self._data.ndim == 0:  # NumPy's question, whether it can be iterated over, expects this type
            raise TypeError("iteration over a Tensor without axes")
        return iter(ops.unstack(self))

    def __len__(self) -> int:
        if self._data.ndim == 0:
            raise TypeError("len() of a Tensor without axes")
        return len(self._data)

    def __bool__(self) -> bool:
        return bool(self._data)

    def __float__(self) -> float:
        return float(self._one("float"))

    def __format__(self, spec: str) -> str:
        return format(self._one("format"), spec) if spec else str(self)

    def __int__(self) -> int:
        return int(self._one("int"))

    def __index__(self) -> int:
        if self._data.dtype.kind not in "iu":
            raise TypeError(f"a {self._data.dtype} Tensor is no index")
        return int(self._one("index"))

    def _one(self, what: str) -> Any:
        if self._data.size != 1:
            raise TypeError(f"{what}: the Tensor has shape {self._data.shape}, expected a single element")
        return self._data.item()

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        """`numpy.exp(t)`, `array + t`: our op where there is one; what has no gradient, on the arrays."""
        if method == "__call__" and ufunc.__name__ in _UFUNCS and not options:
            return getattr(ops, ufunc.__name__)(*inputs)
        targets = inputs[:1] if method == "at" else options.get("out", ())
        if any(isinstance(out, Operators) for out in targets):
            raise TypeError(f"numpy.{ufunc.__name__}: a Tensor cannot be written into; write into t.data")
        name = f"numpy.{ufunc.__name__}{'' if method == '__call__' else f'.{method}'}"
        array_functions.refuse_lost(name, targets, inputs)  # before anything is written
        result = getattr(ufunc, method)(*[plain(x) for x in inputs], **options)
        array_functions.refuse_lost(name, result, inputs)
        return result

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        """`numpy.argsort(t)` and its kin work on the arrays; those that would lose a gradient refuse."""
        return array_functions.on_arrays(function, args, options)

    def __eq__(self, other: object) -> Array:  # type: ignore[override]
        return np.asarray(self._data == plain(other))

    def __ne__(self, other: object) -> Array:  # type: ignore[override]
        return np.asarray(self._data != plain(other))

    def __lt__(self, other: Any) -> Array:
        return np.asarray(self._data < plain(other))

    def __le__(self, other: Any) -> Array:
        return np.asarray(self._data <= plain(other))

    def __gt__(self, other: Any) -> Array:
        return np.asarray(self._data > plain(other))

    def __ge__(self, other: Any) -> Array:
        return np.asarray(self._data >= plain(other))

    __hash__ = object.__hash__

    @property
    def T(self) -> Tensor:
        return ops.transpose(self)

    def reshape(self, *shape: Any) -> Tensor:
        return ops.reshape(self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> Tensor:
        return ops.transpose(self, axes[0] if len(axes) == 1 else axes or None)

    def astype(self, dtype: Any) -> Tensor:
        return ops.astype(self, dtype)

    def sum(self, axis: Axes = None, *, keepdims: bool = False, **numpy_options: Any) -> Tensor:
        _refuse("sum", numpy_options)
        return ops.sum(self, axis, keepdims=keepdims)

    def mean(self, axis: Axes = None, *, keepdims: bool = False, **numpy_options: Any) -> Tensor:
        _refuse("mean", numpy_options)
        return ops.mean(self, axis, keepdims=keepdims)

    def var(self, axis: Axes = None, *, keepdims: bool = False, **numpy_options: Any) -> Tensor:
        _refuse("var", numpy_options)
        return ops.var(self, axis, keepdims=keepdims)

    def max(self, axis: Axes = None, *, keepdims: bool = False, **numpy_options: Any) -> Tensor:
        _refuse("max", numpy_options)
        return ops.max(self, axis, keepdims=keepdims)

    def min(self, axis: Axes = None, *, keepdims: bool = False, **numpy_options: Any) -> Tensor:
        _refuse("min", numpy_options)
        return ops.min(self, axis, keepdims=keepdims)

    def argmax(self, axis: int | None = None) -> Array:
        return np.asarray(self._data.argmax(axis))

    def argmin(self, axis: int | None = None) -> Array:
        return np.asarray(self._data.argmin(axis))
