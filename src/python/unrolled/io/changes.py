"""What a model has become since it was made, beside its parameters.

`ur.load` builds a model from its constructor arguments. What was set later, an option, a layer in another's place, a
running mean, is found by comparing the public attributes of every module with those of a model built in that way, and
goes into the file as a change: module, attribute, value. Names that start with an underscore are not looked at.
"""

from __future__ import annotations

import copy
import json
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from unrolled import init
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


class Picture(NamedTuple):
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


def picture_as_built(model: Module) -> Picture | str:
    """That of a model built from the configuration of this one; why it cannot be built."""
    config = model.config()
    before = np.random.get_state()  # noqa: NPY002 (a constructor may draw; to save a model changes nothing)
    try:
        with init.unfinished():
            built = decode(config)
    except Exception as error:  # whatever a constructor raises
        return f"{type(model).__name__} cannot be built again from its arguments: {error}"
    finally:
        np.random.set_state(before)  # noqa: NPY002
    picture = Picture({}, {})
    picture.add(built, "")
    return picture


def changes_of(model: Module, made: Picture | str, arrays: dict[str, np.ndarray]) -> Changes:
    """Compares a model with its `picture_as_built`; arrays among what differs are added to `arrays`."""
    changes = Changes([], [], [])
    if isinstance(made, str):
        changes.misfits.append(made)
        return changes
    expected = Picture(dict(made.attributes), dict(made.parameters))
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
            try:
                expected.replace(_restored(form, arrays), path)
            except Exception as error:  # of the constructor of a layer in it
                changes.misfits.append(f"{path} cannot be built again: {error}")
                continue
            changes.found.append({"module": name, "attribute": key, "value": form})
    changes.misfits.extend(_misfits(dict(_parameters(model)), expected.parameters))
    return changes


def apply(model: Module, changes: list[Change], arrays: Arrays) -> None:
    """Sets in a model that was just built what `changes_of` found."""
    for change in changes:
        _set(model, change["module"], change["attribute"], _restored(change["value"], arrays))


def bring_to(model: Module, made: Picture | str, changes: list[Change], arrays: Arrays) -> None:
    """The same in a model that has been in use, whose layers stay. Raises ValueError where one was exchanged."""
    if isinstance(made, str):
        return
    wanted = {(change["module"], change["attribute"]): change["value"] for change in changes}
    for change in changes_of(model, made, {}).found:
        name, key = change["module"], change["attribute"]
        known = made.attributes.get(name, {}).get(key, _OBJECT)
        if (name, key) not in wanted and not known.startswith(_OBJECT):
            form, sums = json.loads(known)
            if not sums:
                _bring(model, name, key, _restored(form, {}))  # what the constructor sets
    for (name, key), form in wanted.items():
        _bring(model, name, key, _restored(form, arrays))


def _bring(model: Module, name: str, key: str, value: Any) -> None:
    """Sets an attribute; layers in it take the options of those in `value`."""
    wanted = _modules_in(value)
    if not wanted:
        _set(model, name, key, value)
        return
    here = _modules_in(getattr(model.modules()[name], key, None))
    if list(map(type, here)) != list(map(type, wanted)):
        raise ValueError(f"{name}.{key}".lstrip(".") + " was another layer there")
    for layer, like in zip(here, wanted, strict=True):
        for option, there in _public(like):
            if not _modules_in(there) and _text(getattr(layer, option, None)) != _text(there):
                setattr(layer, option, there)


def _modules_in(value: Any) -> list[Module]:
    return [part for _, part in _walk(value, "", ()) if isinstance(part, Module)]


def _set(model: Module, name: str, key: str, value: Any) -> None:
    if key.startswith("_"):
        raise ValueError(f"attribute {key!r} is not one that a file may set")
    setattr(model.modules()[name], key, value)


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
        if key.startswith("_") or key == "training":
            continue
        if isinstance(value, Tensor) and (is_parameter(value) or value._node is not None):
            continue
        of_class = getattr(type(module), key, None)
        if not isinstance(of_class, property) or of_class.fset is not None:
            yield key, value


def _text(value: Any) -> str:
    """The same for equal values only; `_OBJECT` and what can be told of what cannot be stored."""
    arrays: dict[str, np.ndarray] = {}
    try:
        form = _stored(value, "", arrays)
    except (TypeError, RecursionError):
        return f"{_OBJECT} {type(value).__name__} {_told(value)}"
    sums = [(array.dtype.str, array.shape, zlib.crc32(array.tobytes())) for array in arrays.values()]
    return json.dumps([form, sums])


def _told(value: Any) -> str:
    if (name := getattr(value, "__qualname__", None)) is not None:
        code = getattr(value, "__code__", None)  # of functions whose names are the same
        return f"{value.__module__}.{name} {code and (code.co_code, code.co_consts, code.co_names)}"
    if isinstance(value, np.ufunc):
        return str(value)
    comparable = isinstance(value, (set, frozenset, complex, bytes, np.ndarray, list, tuple, dict))
    text = repr(value) if comparable else ""
    return "" if " at 0x" in text else text  # an address says nothing


def _stored(value: Any, prefix: str, arrays: dict[str, np.ndarray]) -> Any:
    """JSON-able form; arrays in it go to `arrays`. Raises TypeError for what neither holds."""
    if _has_named_tuple(value):
        raise TypeError("a named tuple would come back as another one")
    try:
        return encode(value)
    except TypeError:
        if not isinstance(value, Tensor):
            _check_tree(value)
        parts: dict[str, np.ndarray] = {}
        form = {"@tensor" if isinstance(value, Tensor) else "@tree": take_apart(value, prefix, parts)}
        if any(array.dtype.kind not in "biuf" or array.dtype.itemsize > 8 for array in parts.values()):
            raise
        arrays.update((name, array.astype(array.dtype.newbyteorder("="))) for name, array in parts.items())
        return form


def _has_named_tuple(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_named_tuple, value.values()))
    return hasattr(value, "_fields") or (
        isinstance(value, (list, tuple)) and any(map(_has_named_tuple, value))
    )


def _check_tree(value: Any) -> None:
    """Raises TypeError for what would not come back as it is: `take_apart` names arrays by keys."""
    if isinstance(value, (Tensor, np.ma.MaskedArray)):
        raise TypeError(type(value).__name__)
    if isinstance(value, Mapping) and not all(isinstance(k, str) and not {"@", "/"} & set(k) for k in value):
        raise TypeError("keys")
    for item in (
        value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    ):
        _check_tree(item)


def _restored(form: Any, arrays: Arrays) -> Any:
    if isinstance(form, dict) and "@tensor" in form:
        return Tensor(np.array(put_together(form["@tensor"], arrays, {})))
    if isinstance(form, dict) and "@tree" in form:
        return copy.deepcopy(put_together(form["@tree"], arrays, {}))
    return decode(form)
