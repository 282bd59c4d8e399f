"""Linear: a matrix product and a bias."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from unrolled import checks, ops
from unrolled._native import core
from unrolled.module import Module
from unrolled.tensor import Tensor, is_grad_enabled, tape_record


class _Packed(NamedTuple):
    """W and b packed for calls without a tape, and the function for one."""

    linear: core.PackedLinear
    product: Callable[[Any], Tensor | None]


_NOT_PACKED: dict[str, Any] = {"_packed": None, "_missed": 0}


class Linear(Module):
    """y = x W' + b over every leading axis of x.

    Args:
        input_size: I.
        output_size: O.
        bias: whether there is a b.
        dtype: float32 or float64.
        rng: source of the initial W, uniform in +-sqrt(6 / (I + O)) (Glorot and Bengio, 2010); b starts at 0.

    Attributes:
        W: (O, I).
        b: (O,) or None.

    Shapes: x (..., I), y (..., O).

    Without a tape, W is kept packed from a call of few rows to the next, until a parameter changes.
    """

    _packed: _Packed | None = None
    _missed = 0  # calls in a row that found changed weights

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        bias: bool = True,
        dtype: Any = np.float32,
        rng: np.random.Generator | None = None,
    ) -> None:
        self.input_size = checks.size("Linear", "input_size", input_size)
        self.output_size = checks.size("Linear", "output_size", output_size)
        self.bias = checks.flag("Linear", "bias", bias)
        self.dtype = checks.float_dtype("Linear", dtype)
        bound = np.sqrt(6 / (self.input_size + self.output_size))
        values = checks.generator("Linear", rng).uniform(-bound, bound, (self.output_size, self.input_size))
        self.W = Tensor(values.astype(self.dtype), requires_grad=True)
        self.b = Tensor(np.zeros(self.output_size, self.dtype), requires_grad=True) if bias else None

    def forward(self, x: Any) -> Tensor:
        """x (..., I) -> y (..., O)."""
        if not is_grad_enabled():
            if (y := self._product(x)) is not None:
                return y
        elif (packed := self._packed) is not None and not packed.linear.unchanged():
            vars(self)["_packed"] = None  # gives its memory back
        return ops.linear(
            checks.features("Linear", x, self.dtype, "input_size", self.input_size), self.W, self.b
        )

    def _product(self, x: Any) -> Tensor | None:
        """y without a tape, the quick way; None where x or the parameters need the long way."""
        packed = self._packed  # once: another thread may exchange it
        if packed is not None and (y := packed.product(x)) is not None:
            return y
        if packed is not None and packed.linear.unchanged():
            return None
        # Weights of which somebody holds the array may change at any time: they are tried again after as many more.
        vars(self)["_missed"] = missed = self._missed + 1
        if missed & (missed - 1) or not self._is_as_made():
            return None
        linear = core.PackedLinear(self.W, self.b, self, tape_record)
        packed = _Packed(linear, linear.product)
        y = packed.product(x)
        vars(self).update(_packed=packed, _missed=0 if linear.unchanged() else missed)
        return y

    def _is_as_made(self) -> bool:
        """Whether W and b are attributes, and W is what x is checked for."""
        W, own = self.W, vars(self)
        fits = W.shape == (self.output_size, self.input_size) and W.dtype == self.dtype
        return fits and own.get("W") is W and "b" in own and own["b"] is self.b

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        vars(self).update(_NOT_PACKED)  # perhaps another Tensor in the place of a parameter

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), **_NOT_PACKED}
