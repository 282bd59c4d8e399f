"""Layers around the recurrent cells. Those that few models need are imported by `unrolled` at first use."""

from unrolled.layers.bidirectional import Bidirectional, BidirectionalState
from unrolled.layers.dropout import Dropout
from unrolled.layers.embedding import Embedding
from unrolled.layers.layer_norm import LayerNorm
from unrolled.layers.linear import Linear
from unrolled.layers.sequential import Sequential
from unrolled.layers.stack import Stack, final_hidden

__all__ = [
    "Bidirectional",
    "BidirectionalState",
    "Dropout",
    "Embedding",
    "LayerNorm",
    "Linear",
    "Sequential",
    "Stack",
    "final_hidden",
]
