"""Published results, done again: `unrolled recipes list`, `unrolled recipes run NAME`.

Each recipe is one file with its configuration, budget, seeds and pass line; `_MODULES` names them all. What it prints
has the trivial baseline and the published figure beside ours, over all seeds.
"""

from __future__ import annotations

from importlib import import_module

from unrolled.recipes.recipe import Arm, MissingDataError, Outcome, Recipe, Settings
from unrolled.recipes.running import Report, run

__all__ = ["Arm", "MissingDataError", "Outcome", "Recipe", "Report", "Settings", "get", "names", "run"]

_MODULES = {
    "embedded-reber": "embedded_reber",
    "continual-reber": "continual_reber",
    "noise-free-lag": "noise_free_lag",
    "adding-100": "adding_100",
    "adding-600": "adding_600",
    "temporal-order": "temporal_order",
    "vanishing-gradients": "vanishing_gradients",
    "counting": "counting",
    "copy-memory": "copy_memory",
    "parity": "parity",
    "memorisation": "memorisation",
    "highway-depth": "highway_depth",
    "japanese-vowels": "japanese_vowels",
    "irregular-spirals": "irregular_spirals",
}


def names() -> list[str]:
    """The names of all recipes."""
    return list(_MODULES)


def get(name: str) -> Recipe:
    """The recipe of this name."""
    if name not in _MODULES:
        raise ValueError(f"recipes: there is no recipe {name!r}, expected one of {', '.join(_MODULES)}")
    recipe: Recipe = import_module(f"unrolled.recipes.{_MODULES[name]}").RECIPE
    return recipe
