"""Synthetic sequences of the recipes: every function draws from the generator it is given, so a seed fixes the data."""

from unrolled.recipes.tasks.adding import adding, adding_with_ends
from unrolled.recipes.tasks.copying import copy_memory
from unrolled.recipes.tasks.counting import counting
from unrolled.recipes.tasks.lag import noise_free_lag
from unrolled.recipes.tasks.memorising import memorisation
from unrolled.recipes.tasks.order import temporal_order, temporal_order_with_ends
from unrolled.recipes.tasks.parity import parity
from unrolled.recipes.tasks.reber import SYMBOLS as REBER_SYMBOLS
from unrolled.recipes.tasks.reber import embedded_reber, reber_batch, reber_streams
from unrolled.recipes.tasks.spirals import irregular_spirals

__all__ = [
    "REBER_SYMBOLS",
    "adding",
    "adding_with_ends",
    "copy_memory",
    "counting",
    "embedded_reber",
    "irregular_spirals",
    "memorisation",
    "noise_free_lag",
    "parity",
    "reber_batch",
    "reber_streams",
    "temporal_order",
    "temporal_order_with_ends",
]
