"""The half of `Tensor` that has to do with gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from unrolled import tape
from unrolled._native import core
from unrolled.arrays import array_of, for_kernels
from unrolled.operators import Operators
from unrolled.row_gradient import RowGradient
from unrolled.tape import Array, Node, PartialGradient


def checked_array(value: Any, who: str = "Tensor", name: str = "data") -> Array:
    """The value as an array that kernels read, of a type that tensors hold; no copy where it is one already."""
    array = array_of(who, name, value, constant=False)
    kind = array.dtype.kind
    if kind not in "fiub" or (kind == "f" and array.dtype.itemsize not in (4, 8)):
        raise TypeError(
            f"{who}: received dtype {array.dtype}, expected float32, float64, an integer type or bool"
        )
    return for_kernels(array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("=")))


class Differentiable(Operators):
    """`grad`, and `backward` that fills it."""

    __slots__ = ("_grad", "_index", "_node")
    _grad: Array | RowGradient | None
    _node: Node | None
    _index: int

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
        """The gradient as rows, if only embedding lookups made it and `grad` has not been read."""
        return self._grad if isinstance(self._grad, RowGradient) else None

    def backward(self, grad: Any = None) -> None:
        """Adds d(sum(self * grad)) / d(leaf) to `grad` of every leaf this tensor depends on, and frees the
        graph.

        `grad` has the shape and dtype of the tensor; it may be left out when the tensor has one element.
        """
        if not self.requires_grad:
            raise RuntimeError(
                "backward: this tensor does not depend on any tensor with requires_grad=True, or was "
                "computed under no_grad"
            )
        seed = grad if core.is_like(grad, self._data) else self._seed(grad)
        if self._node is None:
            self._grad = self._with(seed, False, [])
        else:
            tape.backward(_walk, self._node, self._index, seed)

    def _seed(self, grad: Any) -> Array:
        if grad is None:
            if self._data.size != 1:
                raise ValueError(
                    f"backward: the tensor has shape {self._data.shape}; a gradient of that shape is "
                    "needed unless it has one element"
                )
            return np.ones(self._data.shape, self._data.dtype)
        if isinstance(grad, (int, float)):
            grad = np.asarray(grad, self._data.dtype)
        seed = checked_array(grad)
        if seed.dtype != self._data.dtype:
            raise TypeError(
                f"backward: grad has dtype {seed.dtype}, expected {self._data.dtype} like the tensor"
            )
        if seed.shape != self._data.shape:
            raise ValueError(
                f"backward: grad has shape {seed.shape}, expected {self._data.shape} like the tensor"
            )
        return seed

    def _with(
        self, dense: Array | None, owned: bool, partial: list[PartialGradient]
    ) -> Array | RowGradient | None:
        """`grad` with a finished gradient, the sum of all these, added. It may keep the memory of `dense` only if that
        is `owned`: nobody else has it.
        """
        before, shape, dtype = self._grad, self._data.shape, self._data.dtype
        rows = [part for part in partial if isinstance(part, RowGradient)]
        for part in rows:
            if part.shape != shape or part.dtype != dtype:
                raise RuntimeError(
                    f"backward: a gradient has shape {part.shape} and dtype {part.dtype}, expected {shape} and "
                    f"{dtype}; the vjp of an op is wrong"
                )
        if dense is None and len(rows) == len(partial) and not isinstance(before, np.ndarray):
            return RowGradient.merged(rows if before is None else [before, *rows])
        if partial:
            dense, owned = tape.with_partial(dense, owned, partial, shape, dtype), True
        assert dense is not None
        if before is None:
            return dense if owned else dense.copy()
        return np.asarray((before.dense() if isinstance(before, RowGradient) else before) + dense)


_walk: Callable[..., None]
_walk = core.TapeWalk(Differentiable, Node, tape.refuse_what_is_written, tape.with_partial).function()
