"""Files: models and training checkpoints in safetensors, weights from PyTorch."""

from unrolled.io.file import CheckpointError
from unrolled.io.model import load, save
from unrolled.io.torch import from_torch

__all__ = ["CheckpointError", "from_torch", "load", "save"]
