"""From text, lists and arrays to batches of shape (time, batch, ...)."""

from unrolled.data.arrays import one_hot, pad, split, windows
from unrolled.data.batches import ArrayBatches, Batch, Batches, BucketBatches, ContiguousBatches
from unrolled.data.vocabulary import CharVocabulary, WordVocabulary

__all__ = [
    "ArrayBatches",
    "Batch",
    "Batches",
    "BucketBatches",
    "CharVocabulary",
    "ContiguousBatches",
    "WordVocabulary",
    "one_hot",
    "pad",
    "split",
    "windows",
]
