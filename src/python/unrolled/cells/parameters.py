"""Initial values of the parameters of cells."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from unrolled import init
from unrolled.module import Module
from unrolled.tensor import Tensor


class CellParameters(Module):
    """What makes the parameters of a cell."""

    gates: ClassVar[tuple[str, ...]]
    matrices: ClassVar[tuple[str, ...]]
    # The gate that decides how much of the past stays: 1 if it keeps the past, -1 if it takes the new.
    _past_gate: ClassVar[tuple[str, int] | None] = None
    input_size: int
    hidden_size: int
    dtype: np.dtype[Any]
    b: Tensor | None

    @property
    def _input_row(self) -> int:
        """Columns of W_ih."""
        return self.input_size

    def _input_matrix(self, rng: np.random.Generator, blocks: int) -> Tensor:
        return self._glorot_matrix(rng, blocks, self._input_row)

    def _glorot_matrix(self, rng: np.random.Generator, blocks: int, columns: int) -> Tensor:
        shape = (blocks * self.hidden_size, columns)
        values = init.glorot_uniform_values(shape, blocks=blocks, rng=rng, dtype=self.dtype)
        return Tensor(values, requires_grad=True)

    def _recurrent_matrix(
        self, rng: np.random.Generator, blocks: int, rows: int = 0, columns: int = 0
    ) -> Tensor:
        """Orthogonal blocks of `rows` by `columns`, hidden_size where not given."""
        shape = (blocks * (rows or self.hidden_size), columns or self.hidden_size)
        values = init.orthogonal_values(shape, blocks=blocks, rng=rng, dtype=self.dtype)
        return Tensor(values, requires_grad=True)

    def _vector(self, size: int, value: float = 0.0) -> Tensor:
        return Tensor(np.full(size, value, self.dtype), requires_grad=True)

    def _set_bias(self, gate: str, value: float) -> None:
        if self.b is not None:
            at, H = self.gates.index(gate), self.hidden_size
            self.b._data[at * H : (at + 1) * H] = value
            self.b.touch()

    def _set_forget_bias(self, value: float) -> bool:
        if self._past_gate is None or self.b is None:
            return False
        gate, sign = self._past_gate
        self._set_bias(gate, sign * value)
        return True

    def _gate_blocks(self, name: str) -> int:
        rows = len(getattr(self, name)._data)
        return rows // self.hidden_size if name in ("W_ih", *self.matrices) else 1
