"""What may be set in the modules of a model after it was made, beside their parameters."""

from __future__ import annotations

from typing import Any

from unrolled.module import Module

Settings = dict[str, dict[str, Any]]


def settings_of(model: Module) -> Settings:
    """Dotted name of each module -> its settings, but for those that are off."""
    found = {name: _those_on(module) for name, module in model.modules().items()}
    return {name: settings for name, settings in found.items() if settings}


def set_all(model: Module, settings: Settings) -> None:
    """Sets all modules of a model as `settings_of` found them."""
    for name, module in list(model.modules().items()):
        there = settings.get(name, {})
        for option, off in type(module)._options_set_later.items():
            value, now = there.get(option, off), getattr(module, option)
            if now != value or type(now) is not type(value):
                setattr(module, option, value)


def _those_on(module: Module) -> dict[str, Any]:
    options = type(module)._options_set_later
    return {option: value for option in options if (value := getattr(module, option))}
