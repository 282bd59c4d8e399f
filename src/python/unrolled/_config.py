"""How the library was built and how many threads it uses."""

from __future__ import annotations

from operator import index
from typing import Any

from unrolled._native import available_levels, core

__all__ = ["build_config", "get_num_threads", "set_num_threads"]


def get_num_threads() -> int:
    """Most threads that a call may use.

    At first the least of: processors this process may run on, the CPU quota of its cgroup, `OMP_NUM_THREADS`.
    """
    return core.get_num_threads()


def set_num_threads(count: int) -> None:
    """Sets the most threads that a call may use. Results do not depend on it, bit for bit."""
    try:
        number = index(count)
    except TypeError:
        kind = type(count).__name__
        raise TypeError(f"set_num_threads: count has type {kind}, expected an integer") from None
    if number < 1:
        raise ValueError(f"set_num_threads: count is {number}, expected at least 1")
    core.set_num_threads(min(number, 2**31 - 1))


def build_config() -> dict[str, Any]:
    """What a bug report needs: version, compiler, flags, ISA levels, Eigen, OpenMP, threads."""
    config = core.build_config()
    config["isa_available"] = available_levels()
    config["threads"] = core.get_num_threads()
    return config
