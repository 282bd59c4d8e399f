"""The grid in another process, where we and PyTorch are limited to AVX2."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from unrolled._native import available_levels

from .rows import Bench, Row, row_of

LIMITS = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
LEVEL = "v3"


def avx2(bench: Bench) -> Iterator[Row]:
    levels = available_levels()
    if LEVEL not in levels:
        have = ", ".join(levels)
        print(f"avx2: this installation has only {have}; a wheel (`python -m pip install .`) has {LEVEL}")
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        peers = ["torch"] if bench.peer("torch") else []
        command = [sys.executable, "-m", __package__, "--groups", "inference", "training", "--peers", *peers]
        command += ["--threads", str(bench.threads), "--seconds", str(bench.seconds), "--json", str(file)]
        command += ["--filter", bench.filter, *(["--quick"] if bench.quick else [])]
        environment = {**os.environ, **LIMITS, "UNROLLED_ISA": LEVEL}
        run = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)
        if not file.exists():
            raise RuntimeError(f"avx2: the other process ended with code {run.returncode} and no results")
        for saved in json.loads(file.read_text())["rows"]:
            yield row_of(saved, f"avx2 {saved['group']}")
