"""`Tensor`: a NumPy array that remembers how it was made, so that gradients can flow back to what it was made from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unrolled import tape
from unrolled.operators import Operators
from unrolled.row_gradient import RowGradient
from unrolled.tape import Array, GradientSum, Node, Vjp, enable_grad, is_grad_enabled, needs_grad, no_grad

__all__ = [
    "RowGradient", "Tensor", "as_tensor", "enable_grad", "is_grad_enabled", "needs_grad", "no_grad", "record",
]  # fmt: skip

Scalar = int | float
Operand = Any  # a Tensor, an array, a number, or nested lists of numbers: whatever `as_tensor` takes


def _checked_array(value: Any) -> Array:
    """The value as a C-contiguous array of a type that tensors hold; no copy where it is one already."""
    if isinstance(value, Tensor):
        return value._data
    try:
        array = np.asarray(value, order="C")
    except ValueError as error:
        raise ValueError(f"Tensor: cannot make an array of this {type(value).__name__}: {error}") from None
    kind = array.dtype.kind
    if kind not in "fiub" or (kind == "f" and array.dtype.itemsize not in (4, 8)):
        raise TypeError(
            f"Tensor: received dtype {array.dtype}, expected float32, float64, an integer type or bool"
        )
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


class Tensor(Operators):
    """An n-dimensional array that takes part in differentiation.

    `Tensor(array)` wraps a C-contiguous NumPy array without a copy; anything else is converted once. Ops on tensors give
    tensors. Where recording is on (see `no_grad`) and an operand has `requires_grad`, the result remembers how it was
    made, and `result.backward()` adds the gradient of every leaf it depends on to that leaf's `grad`.

    Attributes:
        data: the array itself; whoever takes it may write into it.
        grad: gradient of the same shape and dtype, or None. `t.grad = None` clears it.
        requires_grad: whether `backward` computes a gradient for it. Float tensors only.
        is_parameter: made with `requires_grad=True`; stays set while the parameter is frozen.
    """

    __slots__ = (
        "__weakref__", "_data", "_grad", "_index", "_node", "_version", "is_parameter", "requires_grad",
    )  # fmt: skip
    __array_ufunc__ = None  # array + tensor asks the tensor

    _data: Array
    _grad: Array | RowGradient | None
    _node: Node | None
    _index: int
    _version: int
    is_parameter: bool
    requires_grad: bool

    def __init__(self, data: Operand, *, requires_grad: bool = False, dtype: Any = None) -> None:
        if dtype is not None:
            data = np.asarray(data._data if isinstance(data, Tensor) else data, dtype=dtype)
        array = _checked_array(data)
        if requires_grad and array.dtype.kind != "f":
            raise TypeError(
                f"Tensor: received dtype {array.dtype} with requires_grad=True, expected float32 or float64: "
                "only real numbers have gradients"
            )
        self._data = array
        self._grad = None
        self._node = None
        self._index = 0
        self._version = 0
        self.requires_grad = self.is_parameter = bool(requires_grad)

    # --- contents ------------------------------------------------------------------------------------------------
    @property
    def data(self) -> Array:
        self._version += 1  # the receiver may write into it
        return self._data

    @data.setter
    def data(self, value: Any) -> None:
        array = _checked_array(value)
        if array.dtype != self._data.dtype:
            raise TypeError(f"Tensor.data: received dtype {array.dtype}, expected {self._data.dtype}")
        if array.shape != self._data.shape:
            raise ValueError(f"Tensor.data: received shape {array.shape}, expected {self._data.shape}")
        self._data = array
        self._version += 1

    def touch(self) -> None:
        """Says that `_data` has been written into: what was derived from the old contents is stale."""
        self._version += 1

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

    # --- gradients -----------------------------------------------------------------------------------------------
    @property
    def grad(self) -> Array | None:
        if isinstance(self._grad, RowGradient):
            self._grad = self._grad.dense()
        return self._grad

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is None:
            self._grad = None
            return
        if not isinstance(value, np.ndarray) or value.dtype != self._data.dtype:
            got = f"dtype {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
            raise TypeError(
                f"Tensor.grad: received {got}, expected an array of dtype {self._data.dtype} or None"
            )
        if value.shape != self._data.shape:
            raise ValueError(f"Tensor.grad: received shape {value.shape}, expected {self._data.shape}")
        self._grad = value

    @property
    def row_grad(self) -> RowGradient | None:
        """The gradient as its non-zero rows, where only embedding lookups made it and `grad` has not been read."""
        return self._grad if isinstance(self._grad, RowGradient) else None

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by the user rather than by a recorded op."""
        return self._node is None

    def detach(self) -> Tensor:
        """The same data (not a copy), cut from the graph."""
        return _wrap(self._data)

    def backward(self, grad: Any = None) -> None:
        """Adds d(sum(self * grad)) / d(leaf) to `grad` of every leaf this tensor depends on, and frees the graph.

        `grad` has the shape and dtype of the tensor; it may be left out when the tensor has one element.
        """
        if not self.requires_grad:
            raise RuntimeError(
                "backward: this tensor does not depend on any tensor with requires_grad=True, or was computed under "
                "no_grad"
            )
        seed = self._seed(grad)
        if self._node is None:
            total = GradientSum()
            total.add(seed, False)
            self._receive(total)
        else:
            tape.backward(self._node, self._index, seed)

    def _seed(self, grad: Any) -> Array:
        if grad is None:
            if self._data.size != 1:
                raise ValueError(
                    f"backward: the tensor has shape {self.shape}; a gradient of that shape is needed unless it has "
                    "one element"
                )
            return np.ones(self.shape, self.dtype)
        if isinstance(grad, (int, float)):
            grad = np.asarray(grad, self.dtype)
        seed = _checked_array(grad)
        if seed.dtype != self._data.dtype:
            raise TypeError(f"backward: grad has dtype {seed.dtype}, expected {self.dtype} like the tensor")
        if seed.shape != self._data.shape:
            raise ValueError(f"backward: grad has shape {seed.shape}, expected {self.shape} like the tensor")
        return seed

    def _receive(self, total: GradientSum) -> None:
        """Adds a finished gradient to `grad`. The sum may hand over its memory only if nobody else has it."""
        before = self._grad
        rows = [part for part in total.partial if isinstance(part, RowGradient)]
        if total.dense is None and len(rows) == len(total.partial) and not isinstance(before, np.ndarray):
            self._grad = RowGradient.merged(rows if before is None else [before, *rows])
            return
        dense = total.value(self.shape, self.dtype)
        if before is None:
            self._grad = dense if total.owned else dense.copy()
        else:
            old = before.dense() if isinstance(before, RowGradient) else before
            self._grad = np.asarray(old + dense)

    # --- copies --------------------------------------------------------------------------------------------------
    def __reduce__(self) -> tuple[Callable[..., Tensor], tuple[Any, ...]]:
        # A result of an op becomes a constant: its graph does not travel.
        return _rebuild, (self._data, self.requires_grad and self._node is None, self.is_parameter)

    def copy(self) -> Tensor:
        """A leaf with a copy of the data; not part of the graph."""
        return _wrap(self._data.copy())

    def __repr__(self) -> str:
        text = np.array2string(self._data, separator=", ", prefix="Tensor(", threshold=50)
        made = f", made by {self._node.name}" if self._node is not None else ", requires_grad=True"
        return f"Tensor({text}, {self.dtype}{made if self.requires_grad else ''})"


def _wrap(array: Array) -> Tensor:
    """A constant around the result of an op, without the checks of `Tensor`."""
    tensor = Tensor.__new__(Tensor)
    if type(array) is not np.ndarray or not array.flags.c_contiguous:
        array = np.asarray(array, order="C")
    tensor._data = array
    tensor._grad = None
    tensor._node = None
    tensor._index = 0
    tensor._version = 0
    tensor.requires_grad = tensor.is_parameter = False
    return tensor


def _rebuild(data: Array, requires_grad: bool, is_parameter: bool) -> Tensor:
    tensor = _wrap(data)
    tensor.requires_grad, tensor.is_parameter = requires_grad, is_parameter
    return tensor


def as_tensor(x: Operand) -> Tensor:
    """`x` itself if it is a Tensor, else a constant Tensor around it."""
    return x if isinstance(x, Tensor) else Tensor(x)


def record(
    name: str, inputs: Sequence[Tensor | None], outputs: Sequence[Array], vjp: Vjp
) -> tuple[Tensor, ...]:
    """Puts one op with any number of outputs on the tape; without a need for gradients, the outputs become constants.

    Args:
        name: for messages.
        inputs: what the op read; None for an optional input that was not given.
        outputs: arrays that the op made.
        vjp: gets the gradient of every output (None where nothing depends on it), and gives the gradient of every input
            (None where not wanted). It is called at most once. What it gets is read-only. An array it returns becomes the
            tape's own, unless it is a view, one of the arrays it got, or returned for two inputs: so it must not return
            an array that is kept elsewhere.
    """
    tensors = tuple([_wrap(array) for array in outputs])
    if not needs_grad(*inputs):
        return tensors
    edges = tuple([_edge(t) for t in inputs])
    node = Node(name, edges, tuple([(t._data.shape, t._data.dtype) for t in tensors]), vjp)
    for index, tensor in enumerate(tensors):
        if tensor._data.dtype.kind == "f":
            tensor._node, tensor._index, tensor.requires_grad = node, index, True
    return tensors


def _edge(tensor: Tensor | None) -> Any:
    if tensor is None or not tensor.requires_grad:
        return None
    return tensor if tensor._node is None else (tensor._node, tensor._index)


from unrolled import ops as _ops  # noqa: E402, F401  the operators above are made of ops, which are made of tensors
