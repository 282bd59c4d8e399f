"""Constructor arguments as JSON, and objects built again from them by a registry of classes.

A class that derives from `Configurable` is known by its name from the moment it is defined. `encode` turns an
object into JSON-able values; `decode` turns them back into an object, using registered classes only: nothing
is ever imported by name.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from unrolled.tensor import Tensor

if TYPE_CHECKING:
    from typing_extensions import Self

_CLASSES: dict[str, dict[str, type[Configurable]]] = {}


@dataclass(frozen=True)
class _Omitted:
    """Stands for a constructor argument that a configuration leaves out."""

    type_name: str


class Configurable:
    """An object that remembers its constructor arguments, so that `ur.load` can build it again.

    Arguments may be numbers, strings, booleans, None, dtypes, other Configurable objects, and lists, tuples
    and dictionaries of these. Generators, arrays and tensors are left out: the parameter they stand for needs
    a default, and they may not be inside of others.
    """

    _arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        cls._check_options(kwargs)
        self = super().__new__(cls)
        object.__setattr__(
            self, "_arguments", (tuple(map(_snapshot, args)), {k: _snapshot(v) for k, v in kwargs.items()})
        )
        return self

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _CLASSES.setdefault(cls.__name__, {})[cls.__module__] = cls

    @classmethod
    def _check_options(cls, options: dict[str, Any]) -> None:
        """Raises, before `__init__` does, for arguments by keyword that there are not."""

    def config(self) -> dict[str, Any]:
        """The class name and the constructor arguments, as JSON-able values."""
        encoded = encode(self)
        assert isinstance(encoded, dict)
        return encoded


def _snapshot(value: Any) -> Any:
    """Copies the containers: a list changed after construction does not change the configuration."""
    if isinstance(value, (np.ndarray, np.random.Generator, np.random.BitGenerator, Tensor)):
        return _Omitted(type(value).__name__)
    if isinstance(value, (list, tuple)):
        items = [_snapshot(item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, dict):
        return {key: _snapshot(item) for key, item in value.items()}
    return value


def encode(value: Any) -> Any:
    """JSON-able form of a value; an object that appears twice is written once, then referred to."""
    return _encode(value, "value", {})


def _encode(value: Any, path: str, seen: dict[int, int]) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"@float": repr(float(value))}
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        return {"@dtype": np.dtype(value).name}
    if isinstance(value, np.generic):
        return _encode(value.item(), path, seen)
    if isinstance(value, (list, tuple)):
        items = [_encode(item, f"{path}[{index}]", seen) for index, item in enumerate(value)]
        return items if isinstance(value, list) else {"@tuple": items}
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and not key.startswith("@") for key in value):
            return {key: _encode(item, f"{path}[{key!r}]", seen) for key, item in value.items()}
        return {"@items": [[_encode(part, path, seen) for part in item] for item in value.items()]}
    if isinstance(value, Configurable):
        if id(value) in seen:
            return {"@same": seen[id(value)]}
        seen[id(value)] = len(seen)
        cls = type(value)
        return {
            "@class": cls.__name__,
            "@module": cls.__module__,
            "arguments": _encode_arguments(value, path, seen),
        }
    name = value.type_name if isinstance(value, _Omitted) else type(value).__name__
    raise TypeError(
        f"{path} is of type {name}, which a configuration cannot store; expected numbers, "
        "strings, booleans, None, dtypes, modules, and lists, tuples or dictionaries of these"
    )


def _encode_arguments(value: Configurable, path: str, seen: dict[int, int]) -> dict[str, Any]:
    cls = type(value)
    where = cls.__name__ if path == "value" else f"{path} ({cls.__name__})"
    parameters = inspect.signature(cls).parameters
    encoded: dict[str, Any] = {}
    for name, argument in _named_arguments(value).items():
        kind = parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            encoded["*"] = [
                _encode(item, f"{where}: argument *{name}[{i}]", seen) for i, item in enumerate(argument)
            ]
        elif kind is inspect.Parameter.VAR_KEYWORD:
            encoded["**"] = {
                key: _encode(item, f"{where}: argument {key!r}", seen)
                for key, item in argument.items()
                if not isinstance(item, _Omitted)
            }
        elif not isinstance(argument, _Omitted):
            encoded[name] = _encode(argument, f"{where}: argument {name!r}", seen)
        elif parameters[name].default is inspect.Parameter.empty:
            raise TypeError(
                f"{where}: argument {name!r} is of type {argument.type_name}, which a configuration leaves "
                "out, so it needs a default value; give the parameter a default, or pass a number, a string "
                "or a list instead"
            )
    return encoded


def _named_arguments(value: Configurable) -> dict[str, Any]:
    """Constructor arguments by name; those that were not given are absent."""
    args, kwargs = value._arguments
    try:
        return dict(inspect.signature(type(value)).bind(*args, **kwargs).arguments)
    except TypeError as error:  # for example a class whose __new__ takes other arguments than its __init__
        raise TypeError(
            f"{type(value).__name__}: the constructor arguments are not known ({error})"
        ) from None


def registered(name: str, module: str | None = None) -> type[Configurable]:
    """The class of this name. If several modules define one, the defining module decides."""
    if name not in _CLASSES:
        import unrolled.models

        getattr(
            unrolled, name, None
        )  # both import the library's own classes that `import unrolled` leaves for later

    candidates = _CLASSES.get(name, {})
    if not candidates:
        raise ValueError(
            f"class {name!r} is not known here; define it, or import the module that defines it"
            + (f" (it was defined in {module!r})" if module else "")
            + ", before loading"
        )
    if module in candidates:
        return candidates[module]
    if len(candidates) > 1:
        raise ValueError(
            f"class {name!r} is defined in several modules ({', '.join(sorted(candidates))}), not in "
            f"{module!r}"
        )
    return next(iter(candidates.values()))


def decode(value: Any) -> Any:
    """The value that `encode` wrote. Raises ValueError for an unknown class and for arguments that do not fit
    it.
    """
    return _decode(value, [])


def _decode(value: Any, built: list[Any]) -> Any:
    if isinstance(value, list):
        return [_decode(item, built) for item in value]
    if not isinstance(value, dict):
        return value
    if "@class" in value:
        return _decode_object(value, built)
    if "@same" in value:
        return built[value["@same"]]
    if "@tuple" in value:
        return tuple(_decode(item, built) for item in value["@tuple"])
    if "@items" in value:
        return {_decode(key, built): _decode(item, built) for key, item in value["@items"]}
    if "@dtype" in value:
        return np.dtype(value["@dtype"]).type
    if "@float" in value:
        return float(value["@float"])
    return {key: _decode(item, built) for key, item in value.items()}


def _decode_object(value: dict[str, Any], built: list[Any]) -> Any:
    cls = registered(value["@class"], value.get("@module"))
    place = len(built)
    built.append(None)
    arguments = {name: _decode(argument, built) for name, argument in value["arguments"].items()}
    extra, named = arguments.pop("*", []), arguments.pop("**", {})
    parameters = list(inspect.signature(cls).parameters.values())
    if extra:  # positional parameters come before *extra
        names = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        leading = [arguments.pop(name) for name in names if name in arguments]
    else:
        leading = [
            arguments.pop(p.name) for p in parameters if p.kind is p.POSITIONAL_ONLY and p.name in arguments
        ]
    try:
        result = cls(*leading, *extra, **arguments, **named)
    except TypeError as error:
        raise ValueError(f"{cls.__name__} cannot be built from the stored configuration: {error}") from error
    built[place] = result
    return result
