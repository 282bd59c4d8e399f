"""How much memory the process has in use, for tests of leaks; no tests."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest

_STATM = Path("/proc/self/statm")
needs_proc = pytest.mark.skipif(not _STATM.exists(), reason="needs /proc to know the memory in use")


def resident() -> int:
    """Bytes in use now, not the most that there have ever been. malloc first gives back what it keeps for later, in
    which a leak would find room without a trace."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc
    if trim is not None:
        trim(0)
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
