"""`save` and `load`: a model as weights and configuration in one safetensors file. Nothing is pickled.

The document of the file: `config` (how to build the model, see `registry`), `frozen` (names of frozen
parameters), `ties` (further name -> first name of a shared parameter) and `settings` (name -> options of the
modules that may be set after construction). Arrays whose names start with "@" belong to training and are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from unrolled.cells.base import Recurrent
from unrolled.io.file import CheckpointError, StrPath, read, write
from unrolled.io.settings import set_all, settings_of
from unrolled.module import Module, parts_of
from unrolled.registry import decode
from unrolled.tensor import Tensor


def save(model: Module, path: StrPath) -> None:
    """Writes the weights and the configuration of a model to one file; the file at `path` is replaced as a
    whole.

    Raises CheckpointError if the file cannot be written, TypeError if a constructor argument cannot be
    stored.
    """
    if not isinstance(model, Module):
        raise TypeError(f"save: model is {type(model).__name__}, expected a Module")
    arrays = {name: tensor._data for name, tensor in model.parameters().items()}
    write(path, arrays, {"model": describe(model)})


def load(path: StrPath) -> Any:
    """Builds the model of a file that `save` or `fit` wrote, in evaluation mode. Its classes must be defined
    already.

    Raises CheckpointError if the file is missing, damaged, or of a model that does not fit the classes
    defined here.
    """
    arrays, document = read(path)
    if "model" not in document:
        raise CheckpointError(
            f"{path} holds arrays but no model of unrolled; build the model and use load_parameters, or "
            "from_torch"
        )
    return build(path, document["model"], weights(arrays))


def weights(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The parameters among the arrays of a file."""
    return {name: array for name, array in arrays.items() if not name.startswith("@")}


def describe(model: Module) -> dict[str, Any]:
    """What a file says about a model, apart from the values of its parameters."""
    frozen = [name for name, tensor in model.parameters().items() if not tensor.requires_grad]
    return {
        "config": model.config(),
        "frozen": frozen,
        "ties": model.ties(),
        "settings": settings_of(model),
    }


def build(path: StrPath, description: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Module:
    """The model that `describe` described, with these parameters."""
    try:
        model = decode(description["config"])
        if not isinstance(model, Module):
            raise ValueError(f"the configuration is of a {type(model).__name__}, not of a Module")
        for name, first in description["ties"].items():
            tie(model, name, first)
        model.load_parameters(arrays)
        for name in description["frozen"]:
            parameter = model.parameters()[name]
            parameter.is_parameter, parameter.requires_grad = True, False
        if "settings" in description:
            set_all(model, description["settings"])
        for name, value in description.get("recompute", {}).items():  # of files of earlier versions
            model.modules()[name].recompute = value
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise CheckpointError(f"{path} does not fit the classes defined here: {error}") from error
    model.eval()
    for module in model.modules().values():
        if isinstance(module, Recurrent):
            module._warm_up()
    return model


def tie(model: Module, name: str, first: str) -> None:
    """Makes the tensor called `name` the very tensor called `first`."""
    owner, key, present = _place(model, name)
    tensor = _place(model, first)[2]
    if not isinstance(tensor, Tensor):
        raise ValueError(f"{first!r} is not a parameter")
    if present is tensor:
        return
    if isinstance(owner, Module):
        setattr(owner, key, tensor)
    elif isinstance(owner, (dict, list)):
        owner[key] = tensor
    else:
        raise ValueError(f"parameter {name!r} is inside a tuple and cannot be tied to {first!r}")


def _place(model: Module, name: str) -> tuple[Any, Any, Any]:
    """The module or container, the key and the value that a dotted name leads to; keys may have dots themselves."""
    open_ends: list[tuple[Any, str]] = [(model, name)]
    while open_ends:
        owner, rest = open_ends.pop()
        for key, value in parts_of(owner):
            if str(key) == rest:
                return owner, key, value
            if rest.startswith(f"{key}."):
                open_ends.append((value, rest[len(f"{key}.") :]))
    raise ValueError(f"there is no parameter {name!r}")
