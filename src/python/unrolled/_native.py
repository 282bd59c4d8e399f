"""The native kernels at the best ISA level of this processor."""

from importlib import import_module

core = import_module("unrolled._core_native")
