"""Options that a cell does not have: what to use instead, or what was meant."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from functools import cache

# What other libraries give their layers by keyword.
_ELSEWHERE = {
    "batch_first": "x is (time, batch, features)",
    "bidirectional": "use ur.Bidirectional(forward_cell, backward_cell)",
    "dropout": "use ur.Stack([...], dropout=..), between its cells",
    "num_layers": "use ur.Stack([...]), one cell for each layer",
    "proj_size": "use ur.ProjectedLSTM",
    "return_sequences": "a call gives y of every step and the last state",
    "return_state": "a call gives y of every step and the last state",
}


def refuse_unknown(cell: type, options: Iterable[str]) -> None:
    """Raises for an option that the cell does not have. Not for a user's class, which may take any out by itself."""
    if not cell.__init__.__module__.startswith("unrolled."):  # type: ignore[misc]
        return
    names = _names(cell)
    for name in options:
        if name not in names:
            raise TypeError(
                f"{cell.__name__}: there is no option {name}; {_ELSEWHERE.get(name) or _meant(name, names)}"
            )


def _meant(name: str, names: tuple[str, ...]) -> str:
    from difflib import get_close_matches  # slow to import

    nearest = get_close_matches(name, names, 1)
    return f"did you mean {nearest[0]}?" if nearest else f"there are {', '.join(names)}"


@cache
def _names(cell: type) -> tuple[str, ...]:
    """All arguments: those of `__init__`, and where it passes others on, those of the one that gets them."""
    names: dict[str, None] = {}
    for base in cell.__mro__:
        if "__init__" in vars(base):
            parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
            names.update((p.name, None) for p in parameters if p.kind is not p.VAR_KEYWORD)
            if all(p.kind is not p.VAR_KEYWORD for p in parameters):
                break
    return tuple(names)
