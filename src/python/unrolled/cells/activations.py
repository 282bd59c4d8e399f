"""Names of the nonlinearities that cells take as options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from unrolled import ops
from unrolled.checks import one_of
from unrolled.tensor import Tensor, as_tensor

# In the order of enum Activation in src/cpp/cells/activations.h.
ACTIVATIONS = ("sigmoid", "hard_sigmoid", "tanh", "relu", "identity", "softsign")


def activation(who: str, name: str, value: Any) -> str:
    """The name of a nonlinearity: sigmoid, hard_sigmoid (0.2 x + 0.5 cut to 0 .. 1), tanh, relu, identity, softsign
    (x / (1 + |x|))."""
    return one_of(who, name, value, ACTIVATIONS)


def activate(name: str, a: Any) -> Tensor:
    """The nonlinearity of this name, on the tape."""
    if name == "hard_sigmoid":
        return ops.clip(0.2 * a + 0.5, 0, 1)
    if name == "softsign":
        return as_tensor(a / (1 + ops.absolute(a)))
    if name == "identity":
        return as_tensor(a)
    function: Callable[[Any], Tensor] = getattr(ops, name)  # sigmoid, tanh, relu
    return function(a)


def number_of(name: str) -> float:
    """What the native cell calls it."""
    return float(ACTIVATIONS.index(name))
