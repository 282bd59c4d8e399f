"""Recurrent networks on CPUs: train, port and serve, with NumPy arrays in and out."""

from unrolled._config import build_config as build_config
from unrolled._config import get_num_threads as get_num_threads
from unrolled._config import set_num_threads as set_num_threads
from unrolled._native import core as _core

__version__: str = _core.build_config()["version"]
