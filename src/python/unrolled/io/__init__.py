"""Files: models and training checkpoints in safetensors; `unrolled.io.torch` takes weights from PyTorch."""

from unrolled.io.file import CheckpointError
from unrolled.io.model import load, save

__all__ = ["CheckpointError", "load", "save"]
