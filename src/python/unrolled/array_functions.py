"""What NumPy's own functions give for tensors: what they give for the arrays, unless a gradient would get lost.

NumPy does not ask about a list that it makes one array of: `numpy.sum([t, u])` is of the values alone, as
`numpy.asarray(t)` is. Those that join what is in the list, such as `numpy.stack`, do ask.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from unrolled.tape import is_grad_enabled, no_grad

# Functions that come down to methods and operators of `Tensor`: the results are ours, gradients and all.
_OURS = {
    "amax", "amin", "flip", "matmul", "max", "mean", "min", "moveaxis", "rollaxis", "sum", "transpose",
    "trim_zeros", "var",
}  # fmt: skip

# Functions that give real numbers, but none that anybody would expect a gradient from: the elements as an array, which
# is what the name says, arrays of the same shape, and counts. All others may give only what has no gradient.
_VALUES = {
    "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_arrays", "copy", "empty_like", "full_like", "histogram",
    "histogram2d", "histogram_bin_edges", "histogramdd", "ones_like", "unique", "unique_all", "unique_counts",
    "unique_inverse", "unique_values", "zeros_like",
}  # fmt: skip

# Functions that write into their first argument, and its name.
_WRITERS = {
    "copyto": "dst",
    "fill_diagonal": "a",
    "place": "arr",
    "put": "a",
    "put_along_axis": "arr",
    "putmask": "a",
}

# What to use instead, where it is not the op of the same name in `ur.ops`.
_INSTEAD = {
    "append": "ur.concat",
    "array_split": "ur.split",
    "column_stack": "ur.concat",
    "concatenate": "ur.concat",
    "dot": "ur.matmul",
    "dstack": "ur.concat",
    "einsum": "ur.matmul",
    "expand_dims": "ur.ops.unsqueeze",
    "hsplit": "ur.split",
    "hstack": "ur.concat",
    "inner": "ur.matmul",
    "outer": "ur.matmul",
    "ravel": "ur.ops.reshape",
    "split": "ur.split",
    "stack": "ur.stack",
    "std": "ur.ops.var and ur.ops.sqrt",
    "take": "t[indices]",
    "tensordot": "ur.matmul",
    "vsplit": "ur.split",
    "vstack": "ur.concat",
    "where": "ur.where",
}


def plain(value: Any) -> Any:
    """The array of a tensor, anything else as it is."""
    if isinstance(value, np.ndarray):  # masked ones have a _data, too
        return value
    data = getattr(value, "_data", None)
    return value if data is None else data


def on_arrays(function: Any, args: Any, options: Any) -> Any:
    """One of the functions that know `__array_function__`."""
    name = f"{function.__module__}.{function.__name__}"
    if function.__name__ in _OURS:
        return function._implementation(*args, **options)
    if function.__name__ in _WRITERS:
        target = _WRITERS[function.__name__]
        sources = [value for key, value in options.items() if key != target]
        # Before anything is written.
        refuse_lost(name, args[0] if args else options.get(target), (args[1:], sources))
    refuse_lost(name, options.get("out"), (args, options))
    if function.__name__ == "full_like":
        refuse_lost(name, 0.0, (args[1:], options))  # what it is filled with
    with no_grad():  # what it calls on its way need not be asked
        result = function._implementation(*args, **options)
    if function.__name__ not in _VALUES:
        refuse_lost(name, result, (args, options))
    return result


def refuse_lost(name: str, result: Any, arguments: Any) -> None:
    """Raises if the result depends on an argument that requires a gradient, and could have one itself."""
    if is_grad_enabled() and _has_reals(result) and _any_requires_grad(arguments):
        from unrolled import ops  # made of tensors

        own = name.rpartition(".")[2]
        same = f"ur.ops.{own}" if callable(getattr(ops, own, None)) else "functions of unrolled"
        raise TypeError(
            f"{name} of a Tensor would lose the gradient; use {_INSTEAD.get(own, same)}, or numpy.asarray(t) for the "
            "values alone"
        )


def _has_reals(result: Any) -> bool:
    """Whether there are real or complex numbers among results."""
    if isinstance(result, (tuple, list)):
        return any(map(_has_reals, result))
    result = plain(result)
    if isinstance(result, (np.ndarray, np.generic)):
        return result.dtype.kind in "fcO"
    return isinstance(result, (float, complex))


def _any_requires_grad(value: Any) -> bool:
    """Whether there is such a tensor among arguments and lists of them."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return getattr(value, "requires_grad", False) is True
    return any(map(_any_requires_grad, value))
