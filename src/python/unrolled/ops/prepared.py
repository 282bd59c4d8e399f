"""What a native op has made of its weights, kept between calls of inference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unrolled._native import core
from unrolled.tensor import Tensor


class Prepared:
    """A layer's packed weights for one op. They are made again after any change of the parameter; a copy of the layer
    makes its own. Many threads may use one at once.
    """

    def __init__(self) -> None:
        self._made: Any = None

    def of(self, op: Any, inputs: Sequence[Tensor | None], attributes: Mapping[str, int | float]) -> Any:
        """For a call of this op with these inputs."""
        made = self._made  # once: another thread may exchange it
        if made is None or not made.serves(inputs):
            made = self._made = core.PreparedOp(op, inputs, attributes)
        return made

    def __reduce__(self) -> tuple[type[Prepared], tuple[()]]:
        return Prepared, ()
