"""`Tensor`: a NumPy array that remembers how it was made, so that gradients can flow back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from unrolled._native import core
from unrolled.arrays import array_of
from unrolled.differentiable import Differentiable, checked_array
from unrolled.tape import (
    Array,
    Node,
    Vjp,
    enable_grad,
    is_grad_enabled,
    memory_of,
    needs_grad,
    no_grad,
    note_write,
    numbers,
    owner_of,
)

__all__ = [
    "Tensor", "as_tensor", "enable_grad", "is_grad_enabled", "needs_grad", "no_grad", "record", "wrap",
]  # fmt: skip

Operand = Any  # a Tensor, an array, a number, or nested lists of numbers: whatever `as_tensor` takes


class Lookup(NamedTuple):
    """How rows (T, B) of a table that has at most half as many were looked up, for ops that rather read the table."""

    table: Tensor
    ids: Array
    version: int  # of the table at that time


class Tensor(Differentiable):
    """An n-dimensional array that takes part in differentiation.

    `Tensor(array)` wraps a C-contiguous, aligned NumPy array without a copy; anything else is converted once. Ops on
    tensors give tensors. Where recording is on (see `no_grad`) and an operand has `requires_grad`, the result remembers
    how it was made, and `result.backward()` adds the gradient of every leaf it depends on to that leaf's `grad`.

    What an op has read must not be written to before `backward` has run, which reads it again. Writes by the library
    (optimizer steps, `load_parameters`, `ur.init`) and those reported by `touch` are noticed, and `backward` raises.
    A write into an array, through `data` or one that was wrapped, leaves no trace: the gradient would be wrong.

    Attributes:
        data: the array itself; whoever takes it may write into it.
        grad: gradient of the same shape and dtype, or None. `t.grad = None` clears it.
        requires_grad: whether `backward` computes a gradient for it. Float tensors only.
        is_parameter: made with `requires_grad=True`; stays set while the parameter is frozen.
    """

    __slots__ = (
        "__weakref__", "_least", "_lookup", "_version", "_viewed", "_weight", "_written", "is_parameter",
    )  # fmt: skip

    _least: float  # of a parameter that optimizers and `ur.init` must not take below it, else not set
    _lookup: Lookup  # of rows of a table, else not set
    _version: int  # counts whatever may have changed the contents
    _viewed: Tensor  # of a view, else not set: the tensor that it is a part of
    _weight: float  # of a mean loss, else not set: the sum of the weights that it was divided by
    _written: int  # when something has changed them in place for certain, see `tape.note_write`
    is_parameter: bool

    def __init__(self, data: Operand, *, requires_grad: bool = False, dtype: Any = None) -> None:
        if isinstance(data, Tensor):
            self._viewed, data = memory_of(data), data.data
        if dtype is not None:
            data = np.asarray(array_of("Tensor", "data", data, constant=False), dtype=dtype)
        array = checked_array(data)
        if requires_grad and array.dtype.kind != "f":
            raise TypeError(
                f"Tensor: received dtype {array.dtype} with requires_grad=True, expected float32 or float64: "
                "only real numbers have gradients"
            )
        self._data = array
        self._grad = None
        self._node = None
        self._index = 0
        self._version = self._written = 0
        self.requires_grad = self.is_parameter = bool(requires_grad)

    # --- contents

    @property
    def data(self) -> Array:
        self._version += 1  # the receiver may write into it
        return self._data

    @data.setter
    def data(self, value: Any) -> None:
        array = checked_array(value.data if isinstance(value, Tensor) else value)
        if array.dtype != self._data.dtype:
            raise TypeError(f"Tensor.data: received dtype {array.dtype}, expected {self._data.dtype}")
        if array.shape != self._data.shape:
            raise ValueError(f"Tensor.data: received shape {array.shape}, expected {self._data.shape}")
        self._data = array
        self._version += 1

    def touch(self) -> None:
        """Says that `data` has been written into: what was derived from the old contents is stale, and `backward`
        refuses to go through an op that has read them.
        """
        self._version += 1
        note_write(self)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        data = self.data
        if dtype is not None and np.dtype(dtype) != data.dtype:
            if copy is False:
                raise ValueError(
                    f"a {data.dtype} Tensor cannot become a {np.dtype(dtype)} array without a copy"
                )
            return data.astype(dtype)
        return data.copy() if copy else data

    @property
    def shape(self) -> tuple[int, ...]:
        shape: tuple[int, ...] = self._data.shape
        return shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._data.dtype

    @property
    def ndim(self) -> int:
        return self._data.ndim

    @property
    def size(self) -> int:
        return self._data.size

    def item(self) -> Any:
        """The only element, as a Python number."""
        if self._data.size != 1:
            raise ValueError(f"Tensor.item: the shape is {self.shape}, expected a single element")
        return self._data.item()

    def detach(self) -> Tensor:
        """The same data (not a copy), cut from the graph."""
        detached = wrap(self.data)
        detached._viewed = memory_of(self)
        return detached

    # --- copies

    def __reduce__(self) -> tuple[Callable[..., Tensor], tuple[Any, ...]]:
        # A result of an op becomes a constant: its graph does not travel.
        least = getattr(self, "_least", None)
        return _rebuild, (self.data, self.requires_grad and self._node is None, self.is_parameter, least)

    def copy(self) -> Tensor:
        """A leaf with a copy of the data; not part of the graph."""
        return wrap(self._data.copy())

    def __repr__(self) -> str:
        text = np.array2string(self._data, separator=", ", prefix="Tensor(", threshold=50)
        made = f", made by {self._node.name}" if self._node is not None else ", requires_grad=True"
        return f"Tensor({text}, {self.dtype}{made if self.requires_grad else ''})"


# A constant around the result of an op, without the checks of `Tensor`.
wrap: Callable[[Any], Tensor]
_EMPTY = dict.fromkeys(("_grad", "_node")) | dict.fromkeys(("_index", "_version", "_written"), 0)
_wrapper = core.Wrapper(Tensor, {**_EMPTY, "requires_grad": False, "is_parameter": False})
wrap = _wrapper.function()


def _rebuild(data: Array, requires_grad: bool, is_parameter: bool, least: float | None = None) -> Tensor:
    # The memory of what pickle gives belongs to somebody else, and may be read-only.
    tensor = wrap(data if data.flags.owndata else data.copy())
    tensor.requires_grad, tensor.is_parameter = requires_grad, is_parameter
    if least is not None:
        tensor._least = least
    return tensor


def as_tensor(x: Operand, who: str = "Tensor", name: str = "data") -> Tensor:
    """`x` itself if it is a Tensor, else a constant Tensor around it. `who` asks for it as its argument `name`."""
    return x if isinstance(x, Tensor) else wrap(checked_array(x, who, name))


def record(
    name: str,
    inputs: Sequence[Tensor | None],
    outputs: Sequence[Array],
    vjp: Vjp,
    reads: Sequence[Tensor | None] | None = None,
) -> tuple[Tensor, ...]:
    """Puts one op with any number of outputs on the tape; without a need for gradients, the outputs become
    constants.

    Args:
        name: for messages.
        inputs: what the op read; None for an optional input that was not given.
        outputs: arrays that the op made.
        vjp: gets the gradient of every output (None where nothing depends on it), and gives the gradient of
            every input (None where not wanted). It is called at most once and must not write to what it gets. An
            array it returns becomes the tape's own, unless it is a view, one of the arrays it got, or
            returned twice (itself or a view of it): so it must not return an array that is kept elsewhere.
        reads: the inputs whose contents `vjp` reads, so that backward can tell that they have been written to
            since; None: all.
    """
    tensors: tuple[Tensor, ...] = _record(name, inputs, outputs, vjp, reads)
    return tensors


def record_one(
    name: str,
    inputs: Sequence[Tensor | None],
    output: Any,
    vjp: Vjp,
    reads: tuple[Tensor | None, ...] = (),
) -> Tensor:
    """`record` for an op with one output, the quick way; most of these read no input again."""
    tensor: Tensor = _record_one(name, inputs, output, vjp, reads)
    return tensor


def _note_view(view: Tensor, inputs: Sequence[Tensor | None]) -> None:
    """For a result that is a view: whoever takes its `data` may write into an input."""
    owner = owner_of(view._data)
    for tensor in inputs:
        if tensor is not None:
            tensor._version += 1
            if owner_of(tensor._data) is owner:
                view._viewed = memory_of(tensor)


tape_record = core.TapeRecord(Tensor, Node, _wrapper, numbers, _note_view)
_record, _record_one = tape_record.functions()

from unrolled import ops as _ops  # noqa: E402, F401  the operators above are made of ops, which are made of tensors
