"""What all optimizers share. Every update is in place on the parameters, in one native pass over the arrays.

Notation of the docstrings, elementwise: parameter p, gradient g, rate lr, updates of this parameter so far t.
A positive `weight_decay` adds `weight_decay * p` to g first (except AdamW, which says what it does).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from unrolled import checks
from unrolled._native import core
from unrolled.arrays import for_kernels
from unrolled.module import Module
from unrolled.tape import Array
from unrolled.tensor import Tensor

_Part = tuple[Array, Array, Array | None, list[Array]]  # parameter, gradient, the rows it is of or all, slots


class Optimizer:
    """What all optimizers share: the parameters, the rate, the state arrays (`slots`), saving and restoring.

    `parameters` is a Module or a mapping of names to Tensors. Parameters that are frozen or have no gradient
    are passed over.
    """

    slots: ClassVar[tuple[str, ...]] = ()
    fractions: ClassVar[tuple[str, ...]] = ()  # constants that are below 1, the others are zero or more
    decay_in_gradient: ClassVar[bool] = True

    def __init__(
        self,
        parameters: Module | Mapping[str, Tensor],
        *,
        lr: float,
        weight_decay: float = 0.0,
        **hyper: float,
    ) -> None:
        who = type(self).__name__
        self.parameters = named_tensors(who, parameters)
        self.lr = lr
        self.weight_decay = checks.amount(who, "weight_decay", weight_decay)
        for name, value in hyper.items():
            setattr(self, name, self._checked(name, value))
        self._hyper = ("lr", "weight_decay", *hyper)
        self.updates = dict.fromkeys(self.parameters, 0)
        self.state: dict[str, dict[str, np.ndarray]] = {}

    @property
    def lr(self) -> float:
        """The rate, a finite number of zero or more. To set it takes effect at the next step."""
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        self._lr = checks.amount(type(self).__name__, "lr", value)

    def zero_grad(self) -> None:
        """Clears the gradients of all parameters."""
        for tensor in self.parameters.values():
            tensor.grad = None

    def step(self) -> None:
        """One update of every parameter that has a gradient and is not frozen. A parameter that has a bound, as a time
        constant, is put back to it.
        """
        due: dict[int, dict[str, _Part]] = {}  # by the number of the update, which the coefficients depend on
        for name, tensor in self.parameters.items():
            rows = tensor.row_grad if self._zero_rows_stay() else None
            gradient = tensor.grad if rows is None else rows.values
            if gradient is None or not tensor.requires_grad:
                continue
            if not tensor._data.flags.writeable:
                raise ValueError(f"{type(self).__name__}: parameter {name!r} is read-only")
            part = (
                tensor._data,
                for_kernels(gradient),
                None if rows is None else rows.rows,
                self._slots_for(name),
            )
            due.setdefault(self.updates[name] + 1, {})[name] = part
        for number, parts in due.items():
            rule, coefficients = self._rule(number)
            decay = self.weight_decay if self.decay_in_gradient else 0.0
            given = list(parts.values()), {"decay": decay, **coefficients}
            try:
                core.optimizer_update(rule, *given)
            except KeyboardInterrupt:  # comes when all are updated
                self._note(number, parts)
                raise
            self._note(number, parts)

    def _note(self, number: int, names: Iterable[str]) -> None:
        """Some parameters have been updated, which was their update of this number."""
        for name in names:
            tensor = self.parameters[name]
            self.updates[name] = number
            least = getattr(tensor, "_least", None)
            if least is not None:
                np.maximum(tensor._data, least, out=tensor._data)
            tensor.touch()

    def _slots_for(self, name: str) -> list[Array]:
        """The slots of a parameter that the constants of the moment use."""
        held, used = self.state.get(name, {}), self._used_slots()
        if name not in self.state or tuple(held) != used:
            tensor = self.parameters[name]
            held = {slot: held[slot] if slot in held else self._first_value(tensor) for slot in used}
            self.state[name] = held
        return list(held.values())

    def _zero_rows_stay(self) -> bool:
        """Whether a zero gradient changes nothing, so that a table's gradient may be given as its non-zero
        rows.
        """
        return False

    def _used_slots(self) -> tuple[str, ...]:
        return self.slots

    def _first_value(self, tensor: Tensor) -> np.ndarray:
        return np.zeros_like(tensor._data)

    def _rule(self, t: int) -> tuple[str, dict[str, float]]:
        """Name of the native rule and its coefficients at update number t."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next steps depend on but parameters and gradients; arrays are copies."""
        return {
            "class": type(self).__name__,
            "hyper": {name: getattr(self, name) for name in self._hyper},
            "updates": dict(self.updates),
            "arrays": {name: {k: a.copy() for k, a in slots.items()} for name, slots in self.state.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` gave; nothing is changed unless everything fits.

        Raises ValueError for what is missing or of other parameters, TypeError for what is of another type.
        """
        trial = copy.copy(self)
        trial._check_saved(state)
        trial._take_hyper(state["hyper"])
        who = type(self).__name__
        trial.updates = {
            name: checks.size(who, f"the number of updates of {name!r}", state["updates"][name], least=0)
            for name in self.parameters
        }
        trial._take_arrays(state["arrays"])
        vars(self).update(vars(trial))

    def _checked(self, name: str, value: Any) -> float:
        """A constant of this optimizer, or why it cannot be one."""
        who = type(self).__name__
        if isinstance(getattr(self, name, None), bool):
            return checks.flag(who, name, value)
        return (checks.fraction if name in self.fractions else checks.amount)(who, name, value)

    def _check_saved(self, state: Any) -> None:
        """That there are all parts, of this kind of optimizer and of the same parameters."""
        who = type(self).__name__
        if not isinstance(state, Mapping):
            raise TypeError(f"{who}: state is {checks.kind_of(state)}, expected what state_dict gave")
        missing = [part for part in ("class", "hyper", "updates", "arrays") if part not in state]
        if missing:
            raise ValueError(
                f"{who}: the saved state has no {', '.join(missing)}, expected what state_dict gave"
            )
        if state["class"] != who:
            raise ValueError(f"{who}: the saved state is of optimizer {state['class']}, expected {who}")
        for part in ("hyper", "updates", "arrays"):
            if not isinstance(state[part], Mapping):
                raise TypeError(
                    f"{who}: {part} of the saved state is {checks.kind_of(state[part])}, expected a mapping"
                )
        if set(state["updates"]) != set(self.parameters):
            wrong = sorted(map(str, set(state["updates"]) ^ set(self.parameters)))
            raise ValueError(
                f"{who}: the saved state is of other parameters; they differ in {', '.join(wrong)}"
            )

    def _take_hyper(self, hyper: Mapping[str, Any]) -> None:
        wrong = sorted(map(str, set(hyper) ^ set(self._hyper)))
        if wrong:
            raise ValueError(
                f"{type(self).__name__}: hyper of the saved state has {', '.join(wrong)} missing or too much, "
                f"expected {', '.join(self._hyper)}"
            )
        for name, value in hyper.items():
            setattr(self, name, self._checked(name, value))

    def _take_arrays(self, arrays: Mapping[str, Any]) -> None:
        """The slots of every parameter that has been updated; those that the constants leave unused are dropped."""
        who = type(self).__name__
        for name in [*self.parameters, *arrays]:
            if name not in self.parameters:
                raise ValueError(
                    f"{who}: the saved state has arrays of {name!r}, which is not among the parameters"
                )
            if self.updates[name] and name not in arrays:
                raise ValueError(f"{who}: the saved state has no arrays of {name!r}, which has been updated")
        self.state = {name: self._slots_of(name, arrays[name]) for name in self.parameters if name in arrays}

    def _slots_of(self, name: str, saved: Any) -> dict[str, np.ndarray]:
        """The saved slots of one parameter, as copies of its dtype."""
        who, tensor = type(self).__name__, self.parameters[name]
        if not isinstance(saved, Mapping):
            raise TypeError(
                f"{who}: saved arrays of {name!r} are {checks.kind_of(saved)}, expected a mapping"
            )
        for slot, array in saved.items():
            if slot not in self.slots:
                raise ValueError(
                    f"{who}: saved arrays of {name!r} have {slot!r}, expected {', '.join(self.slots)}"
                )
            if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
                got = f"of dtype {array.dtype}" if isinstance(array, np.ndarray) else checks.kind_of(array)
                raise TypeError(f"{who}: saved {slot} of {name!r} is {got}, expected an array of floats")
            if array.shape != tensor.shape:
                raise ValueError(
                    f"{who}: saved {slot} of {name!r} has shape {array.shape}, expected {tensor.shape}"
                )
        missing = [slot for slot in self._used_slots() if slot not in saved]
        if missing:
            raise ValueError(f"{who}: the saved state has no {', '.join(missing)} of {name!r}")
        return {slot: np.array(saved[slot], tensor.dtype) for slot in self._used_slots()}

    def __repr__(self) -> str:
        hyper = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._hyper)
        return f"{type(self).__name__}({len(self.parameters)} parameters, {hyper})"


def named_tensors(who: str, parameters: Module | Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Name -> Tensor, each tensor once, under its first name. There must be one."""
    named = parameters.parameters() if isinstance(parameters, Module) else parameters
    if not isinstance(named, Mapping):
        raise TypeError(
            f"{who}: parameters is {type(named).__name__}, expected a Module or a mapping of names to Tensors"
        )
    unique: dict[int, tuple[str, Tensor]] = {}
    for name, tensor in named.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{who}: parameter {name!r} is {type(tensor).__name__}, expected a Tensor")
        unique.setdefault(id(tensor), (name, tensor))
    if not unique:
        raise ValueError(f"{who}: there are no parameters to train")
    return dict(unique.values())
