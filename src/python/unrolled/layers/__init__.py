"""Layers around the recurrent cells."""

from unrolled.layers.dropout import Dropout
from unrolled.layers.embedding import Embedding
from unrolled.layers.layer_norm import LayerNorm
from unrolled.layers.linear import Linear

__all__ = ["Dropout", "Embedding", "LayerNorm", "Linear"]
