"""The gradient of a table of which few rows were looked up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unrolled._native import core
from unrolled.arrays import for_kernels

_Array = np.ndarray[Any, np.dtype[Any]]


class RowGradient:
    """Gradient of a table (V, D) that is zero but for some rows.

    Attributes:
        rows: int64 (n,), the rows concerned.
        values: (n, D), what is added to each of them.
        shape: shape of the table.
        distinct: the rows are sorted, each once, as those of `merged` are.
    """

    __slots__ = ("distinct", "rows", "shape", "values")

    def __init__(
        self, rows: _Array, values: _Array, shape: tuple[int, ...], *, distinct: bool = False
    ) -> None:
        self.rows = rows
        self.values = values
        self.shape = shape
        self.distinct = distinct

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.values.dtype

    def add_to(self, dense: _Array) -> None:
        """dense[rows] += values, repeated rows as often as they occur."""
        merged = self if self.distinct else self.merged([self])
        if isinstance(merged, RowGradient):
            dense[merged.rows] += merged.values
        else:
            dense += merged

    def dense(self) -> _Array:
        """The whole table's gradient."""
        full = np.zeros(self.shape, self.values.dtype)
        self.add_to(full)
        return full

    @staticmethod
    def merged(parts: Sequence[RowGradient]) -> RowGradient | _Array:
        """The sum of the parts, every row once; dense where about as many rows were seen as there are."""
        shape = parts[0].shape
        rows = parts[0].rows if len(parts) == 1 else np.concatenate([p.rows for p in parts])
        values = parts[0].values if len(parts) == 1 else np.concatenate([p.values for p in parts])
        if 2 * rows.size >= shape[0]:
            return _scatter(rows, values, shape[0])
        seen, where = np.unique(rows, return_inverse=True)
        return RowGradient(seen, _scatter(where.reshape(-1), values, seen.size), shape, distinct=True)


def _scatter(rows: _Array, values: _Array, count: int) -> _Array:
    """The table of `count` rows where values[n] is added to row rows[n], in the order of n."""
    # For its shape and type: its contents are not read.
    table = np.empty((count, values.shape[1]), values.dtype)
    ids = for_kernels(np.asarray(rows, np.int64))
    values = for_kernels(values)
    result: _Array = core.op("embedding").vjp((table, ids), {}, (values,), (values,), (True, False))[0]
    return result
