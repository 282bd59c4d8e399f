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
    """The spectrum of the (H, H) block of `W_hh` of every gate, by the name of the gate."""
    if not isinstance(cell, Recurrent):
        raise TypeError(f"spectrum: cell is a {type(cell).__name__}, expected a recurrent cell")
    W = np.asarray(cell.W_hh).astype(np.float64)
    blocks = np.split(W, len(cell.gates))
    if blocks[0].shape[0] != blocks[0].shape[1]:
        raise ValueError(
            f"spectrum: W_hh of {type(cell).__name__} has shape {W.shape}, expected {len(cell.gates)} square blocks"
        )
    found = {}
    for name, block in zip(cell.gates, blocks, strict=True):
        values = np.linalg.eigvals(block)
        found[name] = Spectrum(values, np.linalg.svd(block, compute_uv=False), float(np.abs(values).max()))
    return found
