"""`unrolled info`: what a bug report needs."""

from __future__ import annotations

import argparse
import os
import platform

import numpy as np

from unrolled._config import build_config

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """Prints the facts, one a line."""
    for name, value in facts().items():
        print(f"{name + ':':<14}{value}")
    return 0


def facts() -> dict[str, str]:
    """Name and value of every line."""
    config = build_config()
    openmp = config.get("openmp")
    lanes = f"{config['float32_lanes']} float32 or {config['float64_lanes']} float64 numbers in a packet"
    return {
        "unrolled": str(config["version"]),
        "ISA level": f"{config['isa']} in use ({lanes}), {', '.join(config['isa_available'])} available",
        "threads": f"{config['threads']} of {os.cpu_count()} processors (OMP_NUM_THREADS changes it)",
        "compiler": f"{config['compiler']}, {config['build_type']}",
        "flags": str(config["flags"]),
        "Eigen": str(config["eigen"]),
        "OpenMP": str(openmp) if openmp else "no",
        "Python": f"{platform.python_version()}, NumPy {np.__version__}",
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
    }
