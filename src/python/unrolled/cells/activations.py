"""Names of the nonlinearities that cells take as options."""

from __future__ import annotations

from typing import Any

from unrolled.checks import one_of

# In the order of enum Activation in src/cpp/cells/activations.h.
ACTIVATIONS = ("sigmoid", "hard_sigmoid", "tanh", "relu", "identity", "softsign")


def activation(who: str, name: str, value: Any) -> str:
    """The name of a nonlinearity: sigmoid, hard_sigmoid (0.2 x + 0.5 cut to 0 .. 1), tanh, relu, identity, softsign
    (x / (1 + |x|))."""
    return one_of(who, name, value, ACTIVATIONS)


def number_of(name: str) -> float:
    """What the native cell calls it."""
    return float(ACTIVATIONS.index(name))
