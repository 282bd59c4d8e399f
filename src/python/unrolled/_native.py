"""The native kernels at the best ISA level of this processor.

A wheel holds the kernels once per ISA level, as `_core_v2`, `_core_v3` and `_core_v4` (x86-64-v2: SSE4.2,
-v3: AVX2 and FMA, -v4: AVX-512) or as `_core_generic` on other processors; a developer build holds
`_core_native`, made for the processor it was compiled on. The environment variable `UNROLLED_ISA` (v2, v3,
v4 ...) chooses one by name.
"""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unrolled import _core as core

__all__ = ["available_levels", "core", "processor_level"]

# Best first. The number is the x86-64 level that the processor needs; 0: none.
_LEVELS = {"native": 0, "v4": 4, "v3": 3, "v2": 2, "generic": 0}


def processor_level() -> int:
    """Highest x86-64 level (1 to 4) that processor and operating system support; 0 on other processors."""
    level: int = import_module("unrolled._isa").x86_level()
    return level


def _installed() -> list[str]:
    return [name for name in _LEVELS if find_spec(f"unrolled._core_{name}") is not None]


def available_levels() -> list[str]:
    """ISA levels that are installed and that this processor can run, best first."""
    level = processor_level()
    return [name for name in _installed() if _LEVELS[name] <= level]


def _choose(wanted: str) -> str:
    """The level to import: `wanted` where it is not empty, else the best one."""
    installed, available = _installed(), available_levels()
    asked, have = f"UNROLLED_ISA={wanted}", f"this processor is x86-64-v{processor_level()}"
    if wanted and wanted not in _LEVELS:
        raise ImportError(f"{asked}: unknown ISA level, expected one of {', '.join(_LEVELS)}")
    if not installed:
        raise ImportError("unrolled: the compiled kernels are missing, run `python -m pip install .`")
    if wanted and wanted not in installed:
        raise ImportError(f"{asked}: this installation has only {', '.join(installed)}")
    if wanted and wanted not in available:
        raise ImportError(f"{asked}: {have} and cannot run {wanted}")
    if not available:
        raise ImportError(
            f"unrolled: {have}, the installed kernels need at least {installed[-1]}; build from source with "
            "`python -m pip install . -C cmake.define.UNROLLED_ARCH=native`"
        )
    return wanted or available[0]


if not TYPE_CHECKING:
    core = import_module(f"unrolled._core_{_choose(os.environ.get('UNROLLED_ISA', '').strip().lower())}")
