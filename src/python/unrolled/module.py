"""`Module`: the base class of layers and models. Finds parameters, freezes, loads, copies, and remembers how
it was built.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from unrolled.arrays import array_of
from unrolled.recomputing import Recomputing
from unrolled.registry import Configurable
from unrolled.tensor import Tensor

if TYPE_CHECKING:
    from typing_extensions import Self


class LoadReport(NamedTuple):
    """What `load_parameters` did not find in the mapping, and what it found there without a place for it."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]


class Module(Recomputing, Configurable):
    """A part of a model: parameters, other modules, and a `forward`.

    A parameter is a `Tensor(array, requires_grad=True)` attribute. Parameters are found by scanning
    attributes in the order of assignment, through modules, lists, tuples and dictionaries; their names are
    the dotted paths. A tensor reached twice (weight tying) is one parameter under its first name. Constructor
    arguments are remembered (see `Configurable`), and public attributes that were set later are saved beside them, so
    that `ur.save` and `ur.load` need no further code in a subclass. Names that start with an underscore are not saved.

        class Classifier(ur.Module):
            def __init__(self, input_size, hidden_size, classes, *, rng=None):
                self.lstm = ur.LSTM(input_size, hidden_size, rng=rng)
                self.output = ur.Linear(hidden_size, classes, rng=rng)

            def forward(self, x, lengths=None):
                y, state = self.lstm(x, lengths=lengths)
                return self.output(state.h)
    """

    training: bool = True

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Tensor) and is_parameter(value):
            value.is_parameter = True  # stays one when requires_grad is cleared
        elif value is not None and not isinstance(value, Module):
            self._check_keeps(name, value)
        super().__setattr__(name, value)

    def _check_keeps(self, name: str, value: Any) -> None:
        """Nothing that is no parameter takes the place of one, as the result of `layer.W -= step` would."""
        old = vars(self).get(name)
        if not isinstance(old, Tensor) or not is_parameter(old):
            return
        if not old.requires_grad and isinstance(value, Tensor) and value._node is None:
            value.is_parameter = True  # frozen, as the one before
            return
        who = type(self).__name__
        raise TypeError(
            f"{who}: {name} is a parameter, got {type(value).__name__} that is none; write {name}.data[...] = values "
            "for new values, put a Tensor(array, requires_grad=True) in its place, or del it first where it is to be "
            "computed from other tensors"
        )

    # --- what there is

    def parameters(self) -> dict[str, Tensor]:
        """Dotted name -> Tensor, frozen ones included; a tied tensor once, under its first name."""
        found: dict[str, Tensor] = {}
        seen: set[int] = set()
        for name, tensor in self._all_parameters():
            if id(tensor) not in seen:
                if name in found:  # of two keys of a dictionary that print alike, one would not be trained
                    raise ValueError(f"{type(self).__name__}: two parameters are called {name!r}")
                seen.add(id(tensor))
                found[name] = tensor
        return found

    def ties(self) -> dict[str, str]:
        """Further name -> first name, for every tensor that is reached by more than one path."""
        first: dict[int, str] = {}
        ties = {}
        for name, tensor in self._all_parameters():
            if first.setdefault(id(tensor), name) != name:
                ties[name] = first[id(tensor)]
        return ties

    def modules(self) -> dict[str, Module]:
        """Dotted name -> module, this one first under the empty name; a shared module once."""
        found: dict[str, Module] = {}
        seen: set[int] = set()
        for name, value in _walk(self, "", ()):
            if isinstance(value, Module) and id(value) not in seen:
                seen.add(id(value))
                found[name] = value
        return found

    def _all_parameters(self) -> Iterator[tuple[str, Tensor]]:
        for name, value in _walk(self, "", ()):
            if isinstance(value, Tensor) and is_parameter(value):
                yield name, value

    @property
    def num_parameters(self) -> int:
        """How many numbers the parameters hold, frozen ones included, tied ones once."""
        return sum(tensor.size for tensor in self.parameters().values())

    # --- modes

    def train(self, mode: bool = True) -> Self:
        """Training mode (dropout works) for this module and all inside it."""
        if not isinstance(mode, (bool, np.bool_)):
            raise TypeError(f"{type(self).__name__}: mode is {mode!r}, expected True or False")
        for module in self.modules().values():
            module.training = bool(mode)
        return self

    def eval(self) -> Self:
        """Evaluation mode (dropout does nothing) for this module and all inside it."""
        return self.train(False)

    def freeze(self, pattern: str | None = None) -> Self:
        """Takes parameters out of training: all, or those whose dotted name matches `pattern` (`*`, `?`, `[..]`)."""
        return self._set_frozen(pattern, True)

    def unfreeze(self, pattern: str | None = None) -> Self:
        """Puts parameters back into training."""
        return self._set_frozen(pattern, False)

    def _set_frozen(self, pattern: str | None, frozen: bool) -> Self:
        if pattern is not None and not isinstance(pattern, str):
            raise TypeError(f"{type(self).__name__}: pattern is {pattern!r}, expected a text or None")
        chosen = [t for name, t in self._all_parameters() if pattern is None or fnmatchcase(name, pattern)]
        if pattern is not None and not chosen:
            names = ", ".join(self.parameters())
            raise ValueError(
                f"{type(self).__name__}: pattern {pattern!r} matches no parameter; the parameters are {names}"
            )
        for tensor in chosen:
            tensor.is_parameter = True
            tensor.requires_grad = not frozen
            if frozen:
                tensor.grad = None
        return self

    def zero_grad(self) -> None:
        """Clears the gradient of every parameter."""
        for tensor in self.parameters().values():
            tensor.grad = None

    # --- values

    def load_parameters(self, mapping: Mapping[str, Any], strict: bool = True) -> LoadReport:
        """Copies arrays into the parameters of the same names; nothing is changed unless everything fits.

        With `strict=False`, parameters without an array keep their values and arrays without a parameter are
        passed over; the report names both. A shape or dtype that differs is an error either way.
        """
        who = type(self).__name__
        if not isinstance(mapping, Mapping):
            raise TypeError(
                f"{who}: load_parameters received a {type(mapping).__name__}, expected names with arrays"
            )
        parameters, ties = self.parameters(), self.ties()
        arrays: dict[str, np.ndarray] = {}
        unexpected = []
        for name, value in mapping.items():
            first = ties.get(name, name)
            if first not in parameters:
                unexpected.append(name)
            elif first == name or first not in mapping:
                arrays[first] = array_of(who, f"parameter {name!r}", value)
        missing = [name for name in parameters if name not in arrays]
        if strict and (missing or unexpected):
            parts = [f"no value for {', '.join(missing)}"] * bool(missing)
            parts += [f"no parameter for {', '.join(unexpected)}"] * bool(unexpected)
            parts.append("load_parameters with strict=False takes the names that both have")
            raise ValueError(f"{who}: {'; '.join(parts)}")
        for name, array in arrays.items():
            target = parameters[name]
            if array.dtype != target.dtype:
                raise TypeError(
                    f"{who}: parameter {name!r} has dtype {target.dtype}, got {array.dtype}; convert with "
                    ".astype"
                )
            if array.shape != target.shape:
                raise ValueError(f"{who}: parameter {name!r} has shape {target.shape}, got {array.shape}")
        for name, array in arrays.items():
            parameters[name]._data[...] = array
            parameters[name].touch()
        return LoadReport(tuple(missing), tuple(unexpected))

    # --- what `ur.init` asks

    def _gate_blocks(self, name: str) -> int:
        """How many gates are stacked along the rows of this parameter."""
        return 1

    def _set_forget_bias(self, value: float) -> bool:
        """Sets the biases of the gates that keep the past, not those of modules inside; whether there are any."""
        return False

    # --- text

    def __repr__(self) -> str:
        from unrolled.description import describe  # which knows modules

        return "\n".join(describe(self))


def is_parameter(tensor: Tensor) -> bool:
    """A leaf that takes a gradient or has been frozen; a stored activation is not a parameter."""
    return tensor._node is None and (tensor.requires_grad or tensor.is_parameter)


def parts_of(value: Any) -> list[tuple[Any, Any]]:
    """What a module or a container holds: attribute names, keys or numbers, each with its value."""
    if isinstance(value, Module):
        return [(key, item) for key, item in vars(value).items() if key != "_arguments"]
    if isinstance(value, dict):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, (list, tuple)) else []


def _walk(value: Any, name: str, inside: tuple[int, ...]) -> Iterator[tuple[str, Any]]:
    """Every module and tensor below `value`, depth first, with its name; `inside` are the containers on the way."""
    if isinstance(value, Tensor):
        yield name, value
        return
    if id(value) in inside:
        return
    if isinstance(value, Module):
        yield name, value
    for key, item in parts_of(value):
        if isinstance(item, (Tensor, Module, dict, list, tuple)):
            yield from _walk(item, f"{name}.{key}" if name else str(key), (*inside, id(value)))
