"""A cell as its native kernel knows it: name, weights, options, and the weights packed for inference."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, ClassVar, NamedTuple

import numpy as np

from unrolled._native import core
from unrolled.cells.parameters import CellParameters
from unrolled.tensor import Tensor, tape_record

Array = np.ndarray[Any, Any]

# Inference on at most so many time steps x rows keeps its packed weights for the next call: packing takes a tenth of a
# call of a hundred steps of one row. A call on more packs for itself the first time it meets weights, and to keep them
# the second time.
_PLACES_WORTH_PACKING_FOR = 1024
# Training gives the memory of more packed weights than these back; inference keeps any number.
_MANY_WEIGHTS = 2**22
_NOT_PACKED: dict[str, Any] = dict.fromkeys(("_stepper", "_step", "_sequence", "_kept_weights", "_seen"))
_AS_IF_NEW: dict[str, Any] = {**_NOT_PACKED, "_recorder": None}


class _Seen(NamedTuple):
    """The weights that the last calls have found unpacked, but for short ones, which pack them."""

    versions: list[int | None]
    calls: int  # in a row


class Native(CellParameters):
    """What a call hands to the native cell."""

    State: ClassVar[Any]
    matrices: ClassVar[tuple[str, ...]] = ("W_hh",)  # recurrent ones, in the order of the native cell
    vectors: ClassVar[tuple[str, ...]] = ()  # per-unit parameters beside b, in its order
    W_ih: Tensor
    W_hh: Tensor
    # Weights packed for inference, and its functions for a step, a sequence, and a call with a tape.
    _stepper: Any
    _step: Any
    _sequence: Any
    _kept_weights: Any = None
    _seen: _Seen | None = None
    _recorder: Any  # for calls with a tape, as long as no attribute has changed, and its function for one

    @property
    def _kernel(self) -> str:
        """Name of the native cell."""
        raise NotImplementedError

    def _options(self) -> list[float]:
        """Options of the native cell, in its order."""
        return []

    def _weights(self) -> list[Tensor | None]:
        """Parameters in the order of the native interface."""
        return [
            self.W_ih,
            *(getattr(self, m) for m in self.matrices),
            self.b,
            *(getattr(self, v) for v in self.vectors),
        ]

    def _arrays(self) -> list[Array | None]:
        return [None if w is None else w._data for w in self._weights()]

    def _quick(self) -> bool:
        """Whether packed weights alone say what a call without a tape does."""
        return True

    def _regular(self, training: bool) -> list[float]:
        """Regularisation of a call for the native cell; none: empty."""
        return []

    # --- packed weights

    def _fresh_stepper(self) -> Any:
        """Weights packed as they are now."""
        stepper = self._stepper  # once: another thread may forget it
        if stepper is None or not stepper.unchanged():
            weights = self._weights()
            stepper = core.Stepper(
                self._kernel, weights, self.State, self._options(), self._regular(False), self, tape_record
            )
            quick = (stepper.step, stepper.sequence) if self._quick() else (None, None)
            self._stepper, (self._step, self._sequence) = stepper, quick
            self._kept_weights = stepper.kept if self._few_weights() else None
            if any(a is not b for a, b in zip(weights, self._weights(), strict=True)):
                self._forget_packed()  # another thread has put a new Tensor in the place of a parameter
        return stepper

    def _forget_packed(self) -> None:
        vars(self).update(_NOT_PACKED)

    def _still_packed(self) -> tuple[list[Tensor | None], Any] | None:
        """The weights, and the same packed by an earlier call, if they are known to be unchanged: `_weights` and
        `_packed_before` at once.
        """
        kept = self._kept_weights  # once: another thread may forget it
        found: tuple[list[Tensor | None], Any] | None = None if kept is None else kept()
        return found

    def _packed_before(self) -> Any:
        """For a call with a tape: packed weights that have not changed since, or None. Training changes them from call
        to call, so they are packed to be kept at the second call in a row with the same ones. Many are given back.
        """
        stepper = self._stepper
        if stepper is not None:
            if stepper.unchanged() and self._few_weights():
                return stepper.packed
            self._forget_packed()
        return self._packed_if_seen(with_tape=True)

    def _packed_if_seen(self, *, with_tape: bool) -> Any:
        """None the first time that a call meets these weights, then the same packed, to be kept. Where that cannot be,
        because somebody holds an array of them, perhaps another thread's call, it is tried again after as many more.
        """
        versions = [getattr(w, "_version", None) for w in self._weights()]
        seen = self._seen  # once: another thread may forget it
        calls = seen.calls + 1 if seen is not None and seen.versions == versions else 1
        if calls > 1 and calls & (calls - 1) == 0:
            with suppress(AttributeError, TypeError, ValueError):  # the call says what is wrong with them
                if not with_tape or self._few_weights():
                    stepper = self._fresh_stepper()
                    if stepper.unchanged():
                        return stepper.packed
            self._forget_packed()
        vars(self)["_seen"] = _Seen(versions, calls)
        return None

    def _few_weights(self) -> bool:
        array = self.W_ih._data
        return (
            array.size + len(array) * self.hidden_size <= _MANY_WEIGHTS
        )  # about: most cells have a W_hh like this

    def _packed(self, places: int) -> Any:
        """For a call without a tape: weights packed by an earlier call, or now if that is worth it; None: let the call
        pack them.
        """
        stepper = self._stepper
        if stepper is not None:
            if stepper.unchanged():
                return stepper.packed
            self._forget_packed()
        if 0 < places <= _PLACES_WORTH_PACKING_FOR:
            return self._fresh_stepper().packed
        return self._packed_if_seen(with_tape=False) if places > 0 else None

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name not in _AS_IF_NEW:  # perhaps another Tensor in the place of a parameter
            vars(self).update(_AS_IF_NEW)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), **_AS_IF_NEW}
