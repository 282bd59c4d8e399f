"""The tape: how tensors remember what made them, and how gradients flow back.

Every recorded op is a `Node`. A node knows where each of its inputs came from (another node's output, or a
leaf tensor) and a function `vjp` from the gradients of its outputs to the gradients of its inputs. Nodes are
numbered as they are made, so going through the reachable ones by falling number is reverse topological order;
no recursion is involved. Both ways are native, `core.TapeRecord` and `core.TapeWalk`: in Python they would take longer
than a small kernel.
"""

from __future__ import annotations

import inspect
import itertools
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import ContextDecorator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from unrolled._native import core

if TYPE_CHECKING:
    from unrolled.tensor import Tensor

Array = np.ndarray[Any, np.dtype[Any]]


class PartialGradient(Protocol):
    """A gradient that is zero nearly everywhere: it knows how to add itself to a dense one."""

    def add_to(self, dense: Array) -> None: ...


Gradient = Array | PartialGradient | None
Spec = tuple[tuple[int, ...], np.dtype[Any]]
Edge = Any  # tuple[Node, int] | Tensor | None
Vjp = Callable[[Sequence[Any]], Sequence[Any]]  # Array | None in, Gradient out


is_grad_enabled = core.is_grad_enabled
owner_of = core.owner_of
numbers = itertools.count(1)  # of nodes and of writes, in the order they happen
_last_write = 0
_delivery = threading.RLock()  # of one delivery of gradients to leaves


def _renew_lock() -> None:
    global _delivery
    _delivery = threading.RLock()  # another thread of the parent may have held the old one


os.register_at_fork(after_in_child=_renew_lock)


class _SetMode(core.GradMode, ContextDecorator):
    def __call__(self, function: Any) -> Any:
        flags = getattr(getattr(function, "__code__", None), "co_flags", 0)
        if flags & (inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR):
            raise TypeError(
                f"no_grad, enable_grad: {function.__qualname__} is a generator or a coroutine, which runs when the "
                "decorator has ended; write `with ur.no_grad():` inside it, around what does not yield or await"
            )
        return super().__call__(function)

    def _recreate_cm(self) -> _SetMode:  # a decorated function may run in many threads
        return _SetMode(self.wanted)


def no_grad() -> _SetMode:
    """Context manager and decorator: nothing is recorded in this thread.

    A `yield` or `await` within it would leave the mode to whoever runs next in the thread: put it around computations.
    """
    return _SetMode(False)


def enable_grad() -> _SetMode:
    """Context manager and decorator: recording is on again inside `no_grad`."""
    return _SetMode(True)


def needs_grad(*tensors: Tensor | None) -> bool:
    """Whether recording is on and at least one of the tensors requires a gradient."""
    if is_grad_enabled():
        for tensor in tensors:
            if tensor is not None and tensor.requires_grad:
                return True
    return False


class Node:
    """One recorded op: name, `vjp`, shape and dtype of every output, and where its inputs came from.

    `edges[i]` is `(node, output number)` for the result of another op, the tensor itself for a leaf, None for
    a constant. `reads` are the inputs that `vjp` reads again.
    """

    __slots__ = ("__weakref__", "edges", "name", "number", "outputs", "reads", "vjp")

    name: str
    edges: tuple[Edge, ...]
    outputs: tuple[Spec, ...]
    vjp: Vjp | None  # None: freed
    reads: tuple[Tensor | None, ...]
    number: int


def memory_of(tensor: Tensor) -> Tensor:
    """The tensor itself, or the one that it is a view of: where writes are noted."""
    whole: Tensor = getattr(tensor, "_viewed", tensor)
    return whole


def note_write(tensor: Tensor) -> None:
    """Notes that the contents have been changed in place: backward of what has read them is refused from now on."""
    global _last_write
    _last_write = memory_of(tensor)._written = next(numbers)


def refuse_what_is_written(node: Node) -> None:
    """Raises if something that the node's `vjp` reads again has been changed since."""
    for tensor in node.reads:
        if tensor is not None and memory_of(tensor)._written > node.number:
            raise RuntimeError(
                f"backward: {node.name} has read a tensor of shape {tensor.shape} that has been written to since, "
                "by an optimizer step, load_parameters, init or touch; compute the result again, or call backward "
                "before the change"
            )


def with_partial(
    dense: Array | None, owned: bool, partial: Sequence[PartialGradient], shape: tuple[int, ...], dtype: Any
) -> Array:
    """The sum of a dense gradient, if there is one, and partial ones; in its memory, if that is `owned`."""
    if dense is None:
        dense = np.zeros(shape, dtype)
    elif not owned:
        dense = dense.copy()
    for part in partial:
        part.add_to(dense)
    return dense


def backward(walk: Callable[..., None], root: Node, index: int, gradient: Array) -> None:
    """Sends `gradient` of output `index` of `root` back to every leaf, and frees the graph as it goes, also where it
    fails (for want of memory, say): then no leaf has got anything. `walk`: the native function that goes.
    """
    walk(root, index, gradient, _last_write, _delivery)
