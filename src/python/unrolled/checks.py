"""Arguments, checked fully: type, dtype, number of dimensions, shape, value, in that order.

Every function takes `who` is asked and the name of the argument for its message, and gives the value in the form that
the callers work with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from unrolled.arrays import array_of, for_kernels, refuse_masked
from unrolled.tensor import Tensor, as_tensor

Array = np.ndarray[Any, Any]


def kind_of(value: Any) -> str:
    """Its type; where one of ours has the same name, with its module: torch.Tensor."""
    import unrolled  # complete by now

    if value is None:
        return "None"
    kind = type(value)
    ours = getattr(unrolled, kind.__name__, None)
    misleading = isinstance(ours, type) and ours is not kind
    return f"{kind.__module__}.{kind.__name__}" if misleading else kind.__name__


def _a(value: Any) -> str:
    return "None" if value is None else f"a {kind_of(value)}"


def integer(who: str, name: str, value: Any) -> int:
    """A whole number."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{who}: {name} is {_a(value)}, expected an int")
    return int(value)


def size(who: str, name: str, value: Any, least: int = 1) -> int:
    """A whole number of at least `least`."""
    if integer(who, name, value) < least:
        raise ValueError(f"{who}: {name} is {value}, expected at least {least}")
    return int(value)


def number(who: str, name: str, value: Any) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{who}: {name} is {_a(value)}, expected a number")
    if not math.isfinite(value):
        raise ValueError(f"{who}: {name} is {value}, expected a finite number")
    return float(value)


def amount(who: str, name: str, value: Any) -> float:
    """A finite number, zero or more."""
    if number(who, name, value) < 0:
        raise ValueError(f"{who}: {name} is {value}, expected a finite number, zero or more")
    return float(value)


def positive(who: str, name: str, value: Any) -> float:
    """A finite number above zero."""
    if number(who, name, value) <= 0:
        raise ValueError(f"{who}: {name} is {value}, expected a number above 0")
    return float(value)


def fraction(who: str, name: str, value: Any) -> float:
    """A number in [0, 1)."""
    if not 0 <= number(who, name, value) < 1:
        raise ValueError(f"{who}: {name} is {value}, expected a number in [0, 1)")
    return float(value)


def flag(who: str, name: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{who}: {name} is {_a(value)}, expected a bool")
    return bool(value)


def float_dtype(who: str, value: Any) -> np.dtype[Any]:
    """float32 or float64."""
    try:
        dtype: np.dtype[Any] = np.dtype(value)
    except TypeError:
        raise TypeError(f"{who}: dtype is {value!r}, expected float32 or float64") from None
    if dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise TypeError(f"{who}: dtype is {_spelled(dtype)}, expected native float32 or float64")
    return dtype


def generator(who: str, rng: Any) -> np.random.Generator:
    """The generator given, or a new one seeded by the system."""
    if rng is None:
        return np.random.default_rng()
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"{who}: rng is {_a(rng)}, expected a numpy.random.Generator or None")
    return rng


def one_of(who: str, name: str, value: Any, known: tuple[str, ...]) -> str:
    """One of the known words."""
    expected = f"expected one of {', '.join(known)}"
    if not isinstance(value, str):
        raise TypeError(f"{who}: {name} is {_a(value)}, {expected}")
    if value not in known:
        raise ValueError(f"{who}: {name} is {value!r}, {expected}")
    return value


def floats(
    who: str, name: str, value: Any, dtype: np.dtype[Any], shape: tuple[int | None, ...], why: str
) -> Array:
    """An array for kernels, of exactly this dtype and shape (None: any size); `why` tells where the shape is from."""
    array = value._data if isinstance(value, Tensor) else value
    if not isinstance(array, np.ndarray):
        hint = "; use .numpy()" if hasattr(value, "numpy") else ""
        raise TypeError(f"{who}: {name} is {_a(value)}, expected a NumPy array or a Tensor{hint}")
    _same_dtype(who, name, array.dtype, dtype)
    if not _fits(array.shape, shape):
        raise ValueError(f"{who}: {name} has shape {array.shape}, expected {why}")
    refuse_masked(who, name, array)
    return for_kernels(array)


def features(who: str, x: Any, dtype: np.dtype[Any], size_name: str, count: int) -> Tensor:
    """x (..., count) of this dtype, where the argument `size_name` of the layer says how many features there are."""
    tensor = as_tensor(x, who, "x")
    _same_dtype(who, "x", tensor.dtype, dtype)
    if tensor.ndim == 0 or tensor.shape[-1] != count:
        raise ValueError(
            f"{who}: x has shape {tensor.shape}, expected (..., {count}) because {size_name}={count}"
        )
    return tensor


def recurrent_layers(who: str, layers: Mapping[str, Any]) -> None:
    """Name -> layer: every one a recurrent layer with an output at every step, and of the dtype of the first."""
    first: tuple[str, Any] | None = None
    for name, layer in layers.items():
        if isinstance(layer, type):
            raise TypeError(
                f"{who}: {name} is the class {layer.__name__}, expected a layer: {layer.__name__}(..)"
            )
        if not hasattr(layer, "initial_state"):
            raise TypeError(f"{who}: {name} is {_a(layer)}, expected a recurrent layer")
        if getattr(layer, "dimensions", 2) != 2:
            raise TypeError(f"{who}: {name} is {_a(layer)} over images, expected a layer over sequences")
        if hasattr(layer, "joined_reset"):
            raise TypeError(
                f"{who}: {name} is {_a(layer)}, which gives fewer steps than it gets; expected a layer that "
                "gives one output per step"
            )
        dtype = np.dtype(layer.dtype)
        first = first or (name, dtype)
        if dtype != first[1]:
            raise TypeError(f"{who}: {name} has dtype {dtype}, expected {first[1]}, the dtype of {first[0]}")


def lengths(who: str, value: Any, steps: int, batch: int) -> Array | None:
    """int64 (batch,), each from 0 to `steps`, or None."""
    if value is None:
        return None
    array = array_of(who, "lengths", value)
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{who}: lengths has dtype {array.dtype}, expected int64")
    if array.shape != (batch,):
        raise ValueError(
            f"{who}: lengths has shape {array.shape}, expected ({batch},): one per row of the batch"
        )
    wrong = array[(array < 0) | (array > steps)] if batch else array
    if wrong.size:
        raise ValueError(
            f"{who}: lengths has {wrong[0]}, expected 0 to {steps}, the number of time steps of x"
        )
    return for_kernels(np.asarray(array, np.int64))


def resets(who: str, value: Any, steps: int, batch: int) -> Array | None:
    """bool (steps, batch), or None."""
    if value is None:
        return None
    array = array_of(who, "reset", value)
    if array.dtype != np.bool_:
        raise TypeError(f"{who}: reset has dtype {array.dtype}, expected bool")
    if array.shape != (steps, batch):
        raise ValueError(
            f"{who}: reset has shape {array.shape}, expected ({steps}, {batch}): time steps and rows of x"
        )
    return np.ascontiguousarray(array)


def _same_dtype(who: str, name: str, got: np.dtype[Any], wanted: np.dtype[Any]) -> None:
    if got != wanted:
        raise TypeError(
            f"{who}: {name} has dtype {_spelled(got)}, expected {wanted}, the dtype of the layer; "
            "convert it with .astype"
        )


def _spelled(dtype: np.dtype[Any]) -> str:
    return str(dtype) if dtype.isnative else dtype.str


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(w is None or s == w for s, w in zip(shape, wanted, strict=True))
