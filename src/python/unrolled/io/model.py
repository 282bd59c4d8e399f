"""`save` and `load`: a model as weights and configuration in one safetensors file. Nothing is pickled.

The document of the file: `config` (how to build the model, see `registry`), `frozen` (names of frozen parameters),
`ties` and `shared` (further name -> first name of a tied parameter, of a shared module), `changes` (attributes that
were set after construction, see `changes`) and `misfits` (why the model cannot be built again). Arrays whose names
start with "@" are not parameters.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from unrolled import init
from unrolled.cells.base import Recurrent
from unrolled.cells.regular import RATES, Gated
from unrolled.io.changes import Changes, Picture, apply, bring_to, changes_of, picture_as_built
from unrolled.io.file import CheckpointError, StrPath, read, write
from unrolled.io.ties import separate_modules, share_modules, shared_modules, tie_parameters
from unrolled.module import Module
from unrolled.registry import decode


def save(model: Module, path: StrPath) -> None:
    """Writes a model to one file: its weights, its constructor arguments, and the public attributes that were set
    after construction, such as options, exchanged layers and running means. The file at `path` is replaced as a whole.

    The model is built once more from its arguments, to see what has changed. A UserWarning names attributes that a
    file cannot hold (functions, objects of other libraries), and says why `ur.load` will not be able to build the
    model, if so; the weights are in the file then, too.

    Raises CheckpointError if the file cannot be written, TypeError if a constructor argument cannot be stored.
    """
    if not isinstance(model, Module):
        raise TypeError(f"save: model is {type(model).__name__}, expected a Module")
    arrays = {name: tensor._data for name, tensor in model.parameters().items()}
    description, changes = describe(model, picture_as_built(model), arrays)
    write(path, arrays, {"model": description})
    warn_of(changes)


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
    return build(path, document["model"], arrays)


def weights(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The parameters among the arrays of a file."""
    return {name: array for name, array in arrays.items() if not name.startswith("@")}


def describe(
    model: Module, made: Picture | str, arrays: dict[str, np.ndarray]
) -> tuple[dict[str, Any], Changes]:
    """What a file says about a model, apart from the values of its parameters; arrays that belong to it are added to
    `arrays`. `made`: its `picture_as_built`.
    """
    frozen = [name for name, tensor in model.parameters().items() if not tensor.requires_grad]
    changes = changes_of(model, made, arrays)
    description = {
        "config": model.config(),
        "frozen": frozen,
        "ties": model.ties(),
        "shared": shared_modules(model),
        "changes": changes.found,
        "misfits": changes.misfits,
    }
    return description, changes


def warn_of(changes: Changes) -> None:
    """Says what a file does not hold, and why a model could not be loaded."""
    if changes.misfits:
        warnings.warn(
            f"ur.load will not be able to build this model: {'; '.join(changes.misfits)}. Make what differs an "
            "argument of the constructor",
            stacklevel=3,
        )
    if changes.lost:
        warnings.warn(
            f"the file does not hold {', '.join(changes.lost)}: expected numbers, texts, arrays, modules, or "
            "lists and dictionaries of these; a name with an underscore in front says that it need not be kept",
            stacklevel=3,
        )


def restore(
    model: Module, made: Picture | str, description: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> None:
    """Brings a model with the same configuration to what `describe` described, apart from the values of its
    parameters. Raises ValueError if a layer was exchanged in one of them.
    """
    if "changes" in description:
        bring_to(model, made, description["changes"], arrays)
    else:
        _set_options(model, description)
    _freeze(model, description["frozen"])


def _set_options(model: Module, description: Mapping[str, Any]) -> None:
    """Of files of earlier versions, which name those that are on."""
    if "settings" not in description:
        return
    for name, module in model.modules().items():
        on = description["settings"].get(name, {})
        rates = (*RATES, "gradient_clip") if isinstance(module, Gated) else ()
        for option in (*module._settings, *rates):
            off = {"recompute": False, "gradient_clip": None}.get(option, 0.0)
            setattr(module, option, on.get(option, off))


def _freeze(model: Module, names: list[str]) -> None:
    for name, parameter in model.parameters().items():
        parameter.is_parameter, parameter.requires_grad = True, name not in names


def build(path: StrPath, description: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Module:
    """The model that `describe` described, with these parameters."""
    if misfits := description.get("misfits"):
        raise CheckpointError(
            f"{path} holds a model that its constructor does not make: {'; '.join(misfits)}; build it and use "
            "load_parameters with the arrays of the file"
        )
    try:
        with init.unfinished():
            model = decode(description["config"])
        if not isinstance(model, Module):
            raise ValueError(f"the configuration is of a {type(model).__name__}, not of a Module")
        shared = description.get("shared", shared_modules(model))
        separate_modules(model, shared)
        apply(model, description.get("changes", []), arrays)
        share_modules(model, shared)
        tie_parameters(model, description["ties"])
        model.load_parameters(weights(arrays))
        _freeze(model, description["frozen"])
        _set_options(model, description)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise CheckpointError(f"{path} does not fit the classes defined here: {error}") from error
    model.eval()
    for module in model.modules().values():
        if isinstance(module, Recurrent):
            module._warm_up()
    return model
