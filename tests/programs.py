"""Programs that tests run in a Python of their own; no tests."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import Any

# `everything()` trains and steps one cell on two threads; `wanted` is what it gives, as bytes.
_CELL = """
    import numpy as np
    import unrolled as ur

    ur.set_num_threads(2)
    cell = ur.{cell}({I}, {H}, rng=np.random.default_rng(0))
    x = np.random.default_rng(1).normal(size=({T}, {B}, {I})).astype(np.float32)

    def everything():
        tensor = ur.Tensor(x, requires_grad=True)
        y, _ = cell(tensor)
        y.backward(np.ones(y.shape, np.float32))
        y_t, _ = cell.step(x[0], cell.initial_state({B}))
        return np.asarray(y).tobytes() + tensor.grad.tobytes() + y_t.tobytes()

    wanted = everything()
"""


def run_with_cell(program: str, cell: str, sizes: tuple[int, int, int, int], **values: Any) -> None:
    """Runs a program that begins with a cell of these sizes (T, B, I, H); fails with its output if it fails.

    `values` replace the names in braces in `program`.
    """
    T, B, I, H = sizes
    named = {"cell": cell, "T": T, "B": B, "I": I, "H": H, **values}
    text = "".join(textwrap.dedent(part.format(**named)) for part in (_CELL, program))
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}  # newer Pythons warn of fork beside threads
    run = subprocess.run(
        [sys.executable, "-c", text],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
