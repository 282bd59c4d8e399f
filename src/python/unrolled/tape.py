"""The tape: how tensors remember what made them, and how gradients flow back.

Every recorded op is a `Node`. A node knows where each of its inputs came from (another node's output, or a
leaf tensor) and a function `vjp` from the gradients of its outputs to the gradients of its inputs. Nodes are
numbered as they are made, so going through the reachable ones by falling number is reverse topological order;
no recursion is involved.
"""

from __future__ import annotations

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


class _Mode(threading.local):
    enabled = True


_mode = _Mode()
owner_of = core.owner_of
_own_memory = core.own_memory
_numbers = itertools.count(1)  # of nodes and of writes, in the order they happen
_last_write = 0
_delivery = threading.Lock()


def _renew_lock() -> None:
    global _delivery
    _delivery = threading.Lock()  # another thread of the parent may have held the old one


os.register_at_fork(after_in_child=_renew_lock)


class _SetMode(ContextDecorator):
    def __init__(self, enabled: bool) -> None:
        self._enabled = enabled
        self._before: Any = None  # modes to go back to, the last first: (mode, those before)

    def __enter__(self) -> None:
        self._before = _mode.enabled, self._before
        _mode.enabled = self._enabled

    def __exit__(self, *error: object) -> None:
        _mode.enabled, self._before = self._before

    def _recreate_cm(self) -> _SetMode:  # a decorated function may run in many threads
        return _SetMode(self._enabled)


def no_grad() -> _SetMode:
    """Context manager and decorator: nothing is recorded in this thread."""
    return _SetMode(False)


def enable_grad() -> _SetMode:
    """Context manager and decorator: recording is on again inside `no_grad`."""
    return _SetMode(True)


def is_grad_enabled() -> bool:
    """Whether ops are recorded in this thread."""
    return _mode.enabled


def needs_grad(*tensors: Tensor | None) -> bool:
    """Whether recording is on and at least one of the tensors requires a gradient."""
    if _mode.enabled:
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

    def __init__(
        self,
        name: str,
        edges: tuple[Edge, ...],
        outputs: tuple[Spec, ...],
        vjp: Vjp,
        reads: tuple[Tensor | None, ...],
    ) -> None:
        self.name = name
        self.edges = edges
        self.outputs = outputs
        self.reads = reads
        self.vjp: Vjp | None = vjp
        self.number = next(_numbers)


def memory_of(tensor: Tensor) -> Tensor:
    """The tensor itself, or the one that it is a view of: where writes are noted."""
    whole: Tensor = getattr(tensor, "_viewed", tensor)
    return whole


def note_write(tensor: Tensor) -> None:
    """Notes that the contents have been changed in place: backward of what has read them is refused from now on."""
    global _last_write
    _last_write = memory_of(tensor)._written = next(_numbers)


def _refuse_what_is_written(node: Node) -> None:
    for tensor in node.reads:
        if tensor is not None and memory_of(tensor)._written > node.number:
            raise RuntimeError(
                f"backward: {node.name} has read a tensor of shape {tensor.shape} that has been written to since, "
                "by an optimizer step, load_parameters, init or touch; compute the result again, or call backward "
                "before the change"
            )


def edge_to(tensor: Tensor | None) -> Edge:
    """Where an input came from, as in `Node.edges`."""
    if tensor is None or not tensor.requires_grad:
        return None
    return tensor if tensor._node is None else (tensor._node, tensor._index)


class GradientSum:
    """A gradient being added up: dense parts at once, partial ones when the sum is asked for."""

    __slots__ = ("dense", "owned", "partial")

    def __init__(self, first: Array | PartialGradient, owned: bool) -> None:
        self.dense: Array | None = None
        self.owned = False
        self.partial: list[PartialGradient] = []
        self.add(first, owned)

    def add(self, gradient: Array | PartialGradient, owned: bool) -> None:
        if isinstance(gradient, np.generic):  # NumPy's arithmetic on arrays without axes
            gradient = np.asarray(gradient)
        if not isinstance(gradient, np.ndarray):
            self.partial.append(gradient)
        elif self.dense is None:
            self.dense, self.owned = gradient, owned
        elif self.owned:
            self.dense += gradient
        else:
            self.dense, self.owned = np.asarray(self.dense + gradient), True

    def value(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        if self.partial:
            if self.dense is None:
                self.dense = np.zeros(shape, dtype)
            elif not self.owned:
                self.dense = self.dense.copy()
            self.owned = True
            for part in self.partial:
                part.add_to(self.dense)
            self.partial = []
        dense = self.dense
        assert dense is not None
        if dense.shape != shape or (dense.dtype is not dtype and dense.dtype != dtype):
            raise RuntimeError(
                f"backward: a gradient has shape {dense.shape} and dtype {dense.dtype}, expected "
                f"{shape} and {dtype}; the vjp of an op is wrong"
            )
        return dense


def _reachable(root: Node) -> list[Node]:
    """Every node that the root depends on, itself included, last made first; raises if one cannot go backward."""
    seen = {root}
    stack = [root]
    while stack:
        node = stack.pop()
        if node.vjp is None:
            raise RuntimeError(
                "backward: this graph has been freed by an earlier backward, or by one that failed on its way; "
                "compute the result again, or sum the losses and call backward once"
            )
        if node.number < _last_write:
            _refuse_what_is_written(node)
        for edge in node.edges:
            if type(edge) is tuple and edge[0] not in seen:
                seen.add(edge[0])
                stack.append(edge[0])
    return sorted(seen, key=lambda node: node.number, reverse=True)


def backward(root: Node, index: int, gradient: Array) -> None:
    """Sends `gradient` of output `index` of `root` back to every leaf, and frees the graph as it goes, also where it
    fails (for want of memory, say): then no leaf has got anything.
    """
    sums: dict[Node, dict[int, GradientSum]] = {root: {index: GradientSum(gradient, False)}}
    leaves: dict[int, tuple[Tensor, GradientSum]] = {}
    for node in _reachable(root):
        slots, vjp, edges = sums.pop(node, None), node.vjp, node.edges
        node.vjp, node.edges, node.reads = None, (), ()
        if slots is None or vjp is None:
            continue
        incoming = [slots[i].value(*spec) if i in slots else None for i, spec in enumerate(node.outputs)]
        given = vjp(incoming)
        if len(given) != len(edges):
            raise RuntimeError(f"{node.name}: vjp gave {len(given)} gradients for {len(edges)} inputs")
        for edge, part, owned in zip(edges, given, _own_memory(given, incoming), strict=True):
            if edge is None or part is None:
                continue
            if type(edge) is tuple:
                slots_of = sums.setdefault(edge[0], {})
                if (total := slots_of.get(edge[1])) is None:
                    slots_of[edge[1]] = GradientSum(part, owned)
                    continue
            elif (reached := leaves.get(id(edge))) is None:
                leaves[id(edge)] = edge, GradientSum(part, owned)
                continue
            else:
                total = reached[1]
            total.add(part, owned)
    with _delivery:
        for leaf, total in leaves.values():
            leaf._receive(total)
