"""What a model has become since it was made, beside its parameters.

`ur.load` builds a model from its constructor arguments. What was set later, an option, a layer in another's place, a
running mean, is found by comparing the public attributes of every module with those of a model built in that way, and
goes into the file as a change: module, attribute, value. Names that start with an underscore are not looked at.
"""

from __future__ import annotations

import functools
import json
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from unrolled.io.trees import put_together, take_apart
from unrolled.module import Module, _walk, is_parameter
from unrolled.registry import decode, encode
from unrolled.tensor import Tensor

Arrays = Mapping[str, np.ndarray]
Change = dict[str, Any]  # "module": its dotted name, "attribute", "value": as `_stored`

_PREFIX = "@model/"
_OBJECT = "an object"  # of which a file can say nothing


class Changes(NamedTuple):
    """`found`: what `apply` takes; `lost`: what a file cannot hold; `misfits`: why `ur.load` cannot build the model."""

    found: list[Change]
    lost: list[str]
    misfits: list[str]


class _Picture(NamedTuple):
    """What may differ between two models: of every module its attributes as texts, of every parameter what fits it."""

    attributes: dict[str, dict[str, str]]
    parameters: dict[str, str]

    def add(self, value: Any, name: str) -> None:
        """That of a module, or of a container of modules, under this dotted name."""
        for path, part in _walk(value, name, ()):
            if isinstance(part, Module):
                self.attributes[path] = {key: _text(value) for key, value in _public(part)}
            elif is_parameter(part):
                self.parameters[path] = f"{part.dtype} {part.shape}"

    def replace(self, value: Any, name: str) -> None:
        """The same of what takes the place of another."""
        for names in self:
            for path in [path for path in names if path == name or path.startswith(f"{name}.")]:
                del names[path]
        self.add(value, name)


def changes_of(model: Module, arrays: dict[str, np.ndarray]) -> Changes:
    """Compares a model with one built from its configuration; arrays among what differs are added to `arrays`."""
    changes = Changes([], [], [])
    config = model.config()
    try:
        made = _made(json.dumps(config), _classes(model))
    except Exception as error:  # whatever a constructor raises
        changes.misfits.append(f"{type(model).__name__} cannot be built again from its arguments: {error}")
        return changes
    expected = _Picture(dict(made.attributes), dict(made.parameters))
    for name, module in model.modules().items():
        known = expected.attributes.get(name, {})
        for key, value in _public(module):
            text, path = _text(value), f"{name}.{key}" if name else key
            if text == known.get(key):
                continue
            if text.startswith(_OBJECT):
                changes.lost.append(f"{path} ({type(value).__name__})")
                continue
            form = _stored(value, _PREFIX + path, arrays)
            changes.found.append({"module": name, "attribute": key, "value": form})
            expected.replace(_restored(form, arrays), path)
    changes.misfits.extend(_misfits(dict(_parameters(model)), expected.parameters))
    return changes


def apply(model: Module, changes: list[Change], arrays: Arrays) -> None:
    """Sets in a model that was just built what `changes_of` found."""
    for change in changes:
        _set(model, change["module"], change["attribute"], _restored(change["value"], arrays))


def bring_to(model: Module, changes: list[Change], arrays: Arrays) -> None:
    """The same in a model that has been in use, whose layers stay. Raises ValueError where one was exchanged."""
    wanted = {(change["module"], change["attribute"]): change["value"] for change in changes}
    held: dict[str, np.ndarray] = {}
    here = {
        (change["module"], change["attribute"]): change["value"] for change in changes_of(model, held).found
    }
    made = _made(json.dumps(model.config()), _classes(model))
    for name, key in [*wanted, *(place for place in here if place not in wanted)]:
        if (name, key) in wanted:
            value = _restored(wanted[name, key], arrays)
        elif key in (known := made.attributes.get(name, {})) and not known[key].startswith(_OBJECT):
            value = _restored(json.loads(known[key])[0], {})  # what the constructor sets
        else:
            continue
        if not any(isinstance(part, Module) for _, part in _walk(value, "", ())):
            _set(model, name, key, value)
        elif here.get((name, key)) != wanted.get((name, key)):
            raise ValueError(f"{name}.{key}".lstrip(".") + " was another layer there")


def _set(model: Module, name: str, key: str, value: Any) -> None:
    if key.startswith("_"):
        raise ValueError(f"attribute {key!r} is not one that a file may set")
    setattr(model.modules()[name], key, value)


def _classes(model: Module) -> tuple[type[Module], ...]:
    return tuple(map(type, model.modules().values()))


@functools.lru_cache(maxsize=8)
def _made(config: str, classes: tuple[type[Module], ...]) -> _Picture:
    """That of a model just built. `classes`: another definition of one of the same name may make another model."""
    before = np.random.get_state()  # noqa: NPY002 (a constructor may draw; to save a model changes nothing)
    try:
        model = decode(json.loads(config))
    finally:
        np.random.set_state(before)  # noqa: NPY002
    picture = _Picture({}, {})
    picture.add(model, "")
    return picture


def _parameters(model: Module) -> Iterator[tuple[str, str]]:
    for name, tensor in model._all_parameters():
        yield name, f"{tensor.dtype} {tensor.shape}"


def _misfits(here: dict[str, str], made: dict[str, str]) -> Iterator[str]:
    for name in [*here, *(name for name in made if name not in here)]:
        if name not in made:
            yield f"{name} is not made by the constructor"
        elif name not in here:
            yield f"{name} is not there any more"
        elif here[name] != made[name]:
            yield f"{name} is {here[name]}, the constructor makes it {made[name]}"


def _public(module: Module) -> Iterator[tuple[str, Any]]:
    """What may have been set later: options that are properties, and attributes but for parameters and results."""
    for option in module._settings:
        yield option, getattr(module, option)
    for key, value in vars(module).items():
        passed_over = isinstance(value, Tensor) and (is_parameter(value) or value._node is not None)
        if not (key.startswith("_") or key == "training" or passed_over):
            yield key, value


def _text(value: Any) -> str:
    """The same for equal values only; `_OBJECT` and a type of what cannot be stored."""
    arrays: dict[str, np.ndarray] = {}
    try:
        form = _stored(value, "", arrays)
    except TypeError:
        return f"{_OBJECT} {type(value).__name__}"
    sums = [(array.dtype.str, array.shape, zlib.crc32(array.tobytes())) for array in arrays.values()]
    return json.dumps([form, sums])


def _stored(value: Any, prefix: str, arrays: dict[str, np.ndarray]) -> Any:
    """JSON-able form; arrays in it go to `arrays`. Raises TypeError for what neither holds."""
    try:
        return encode(value)
    except TypeError:
        if not isinstance(value, Tensor) and any(
            isinstance(part, Tensor) for _, part in _walk(value, "", ())
        ):
            raise
        parts: dict[str, np.ndarray] = {}
        form = {"@tensor" if isinstance(value, Tensor) else "@tree": take_apart(value, prefix, parts)}
        if any(array.dtype.kind not in "biuf" or array.dtype.itemsize > 8 for array in parts.values()):
            raise
        arrays.update(parts)
        return form


def _restored(form: Any, arrays: Arrays) -> Any:
    if isinstance(form, dict) and "@tensor" in form:
        return Tensor(np.array(put_together(form["@tensor"], arrays, {})))
    if isinstance(form, dict) and "@tree" in form:
        return put_together(form["@tree"], {name: np.array(array) for name, array in arrays.items()}, {})
    return decode(form)
