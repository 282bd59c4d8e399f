"""What happened in training, epoch by epoch."""

from __future__ import annotations

from typing import Any


class History:
    """One row of numbers per epoch.

    `history["validation_loss"]` is the list of a column over the epochs; `history.rows` are dictionaries.
    Columns: `epoch` (from 1), `step` (updates so far), `loss` (mean over the epoch, while the parameters
    changed), `validation_loss`, `grad_norm` and `grad_norm_max` (before clipping), `lr` (at the end of the
    epoch), `positions` read, `seconds` of training.
    """

    def __init__(self, rows: list[dict[str, Any]] | None = None) -> None:
        self.rows = [] if rows is None else rows
        self.stopped = ""  # why training ended before the last epoch, if it did

    def __getitem__(self, column: str) -> list[Any]:
        if column not in self.columns:
            raise KeyError(f"History has no column {column!r}; there are {', '.join(self.columns)}")
        return [row.get(column) for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def columns(self) -> list[str]:
        """The names of the columns, in the order in which they came."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    @property
    def best(self) -> dict[str, Any]:
        """The row with the lowest validation loss, or without validation the lowest loss."""
        if not self.rows:
            raise ValueError("History: there are no epochs yet")
        return min(self.rows, key=lambda row: row.get("validation_loss", row["loss"]))

    def __repr__(self) -> str:
        if not self.rows:
            return "History(no epochs)"
        last = ", ".join(f"{name}={value:.6g}" for name, value in self.rows[-1].items())
        return f"History({len(self)} epochs; last: {last})"
