"""Eigenvalues and singular values of recurrent weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unrolled.cells.base import Recurrent
from unrolled.tape import Array


@dataclass(frozen=True)
class Spectrum:
    """Of one square matrix: eigenvalues, singular values (largest first), largest magnitude of an eigenvalue."""

    eigenvalues: Array
    singular_values: Array
    radius: float


def spectrum(cell: Any) -> dict[str, Spectrum]:
    """The spectrum of every (H, H) block of `W_hh`, by the name of its gate; of the layers inside a step of a
    `RecurrentHighway`, "n_1", "t_1", "n_2" and so on, as `inspect` names them.
    """
    if not isinstance(cell, Recurrent):
        raise TypeError(f"spectrum: cell is a {type(cell).__name__}, expected a recurrent cell")
    who = type(cell).__name__
    if "W_hh" not in cell.matrices and not hasattr(cell, "W_hh"):
        raise ValueError(
            f"spectrum: {who} has no W_hh, expected a cell whose past passes through that matrix"
        )
    W = np.asarray(cell.W_hh).astype(np.float64)
    rows, H = W.shape
    if rows % H or cell.hidden_size != H:
        raise ValueError(f"spectrum: W_hh of {who} has shape {W.shape}, expected square blocks")
    names = _names(cell.gates, rows // H)
    found = {}
    for name, block in zip(names, np.split(W, rows // H), strict=True):
        values = np.linalg.eigvals(block)
        found[name] = Spectrum(values, np.linalg.svd(block, compute_uv=False), float(np.abs(values).max()))
    return found


def _names(gates: tuple[str, ...], blocks: int) -> tuple[str, ...]:
    """Of the blocks of W_hh: some of the gates, or all of them in every layer of a step."""
    if blocks <= len(gates):
        return gates[:blocks]
    return tuple(f"{gate}_{layer + 1}" for layer in range(blocks // len(gates)) for gate in gates)
