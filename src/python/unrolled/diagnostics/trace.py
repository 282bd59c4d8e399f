"""One call of a recurrent layer, kept so that it can be gone through step by step afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from unrolled import ops
from unrolled.cells.base import Recurrent
from unrolled.cells.inspection import inspect
from unrolled.cells.regular import Gated
from unrolled.cells.timed import Timed
from unrolled.checks import kind_of, size
from unrolled.diagnostics.outputs import h_is_output, memories, through_output
from unrolled.tape import Array
from unrolled.tensor import Tensor, no_grad, record_one

States = dict[str, Array]


class Trace:
    """One call of a cell: the cell as it was, what it got, what it gave, and the gradients that reached its outputs.

    All arrays are indexed by time, also where the cell ran in reverse; `order` has the times in the order of running,
    and "before" and "after" are meant in that order. A call over T steps has the bits of T calls over one step each,
    and so have their gradients: that is how everything here is computed.

    Attributes:
        cell: a copy of the cell.
        x: (T, B, I).
        lengths, reset, reverse: as in the call.
        dt: (T, B) where the call had times (`CTRNN`, `GRUD`), as the steps have used them; else None.
        dy: (T, B, H), the gradient of y from outside the layer, zero where nothing came.
        dlast: the same of the last state, one (B, H) array for each name.
        valid: (T, B) bool, the steps within `lengths`.
        starts_learned: whether the call started from a state that is a parameter.
    """

    def __init__(
        self,
        cell: Recurrent,
        x: Array,
        state: Any,
        lengths: Array | None,
        reset: Array | None,
        reverse: bool,
        dt: Any = None,
    ) -> None:
        self.cell, self.x, self.lengths, self.reset, self.reverse = cell, x, lengths, reset, reverse
        self._replay(0)
        steps, batch = x.shape[:2]
        self.dt: Array | None = None
        if dt is not None:
            assert isinstance(cell, Timed)  # which took it
            self.dt = cell.times(dt, (steps, batch), lengths, reverse)._data.copy()
        self.names: tuple[str, ...] = cell.State._fields
        initial = cell.initial_state(batch) if state is None else state
        self.starts_learned = state is None and getattr(cell, "learn_initial_state", False)
        self.initial: States = {n: np.array(s, cell.dtype) for n, s in zip(self.names, initial, strict=True)}
        self.valid: Array = np.ones((steps, batch), bool)
        if lengths is not None:
            self.valid &= np.arange(steps)[:, None] < lengths
        self.dy: Array | None = None
        self.dlast: dict[str, Array | None] = dict.fromkeys(self.names)
        self._totals: States | None = None

    @property
    def steps(self) -> int:
        return len(self.x)

    @property
    def order(self) -> Sequence[int]:
        """Times in the order in which the cell ran."""
        return range(self.steps - 1, -1, -1) if self.reverse else range(self.steps)

    # --- forward

    def arguments(self, t: int) -> dict[str, Any]:
        """`lengths`, `reset` and `dt` of a call over step t alone, which always runs forward."""
        cut = None
        if self.reset is not None:
            cut = self.reset[t]
            if self.reverse:  # what parts t from t + 1 acts on the state that comes from t + 1
                last = t + 1 == self.steps
                cut = np.zeros_like(cut) if last else self.reset[t + 1] & self.valid[t + 1]
        found = {
            "lengths": None if self.lengths is None else self.valid[t].astype(np.int64),
            "reset": None if cut is None else cut[None],
        }
        return found if self.dt is None else {**found, "dt": self.dt[t : t + 1]}

    @cached_property
    def _run(self) -> tuple[States, States, Array]:
        shape = (*self.x.shape[:2], -1)
        before = {n: np.empty((*shape[:2], s.shape[1]), s.dtype) for n, s in self.initial.items()}
        after = {n: np.empty_like(a) for n, a in before.items()}
        outputs = np.empty((*shape[:2], self.cell.output_size), self.cell.dtype)
        state = self.cell.State(*self.initial.values())
        with no_grad():
            for t in self.order:
                self._replay(t)
                y, following = self.cell(self.x[t : t + 1], state, **self.arguments(t))
                for name, old, new in zip(self.names, state, following, strict=True):
                    before[name][t], after[name][t] = np.asarray(old), np.asarray(new)
                outputs[t] = np.asarray(y)[0]
                state = following
        return before, after, outputs

    @property
    def before(self) -> States:
        """Every state that a step started from, (T, B, H) each, resets not yet applied."""
        return self._run[0]

    @property
    def after(self) -> States:
        """Every state that a step ended with, (T, B, H) each."""
        return self._run[1]

    @property
    def y(self) -> Array:
        """(T, B, H), zero behind `lengths`."""
        return self._run[2]

    # --- backward

    def vjp(self, t: int, dy: Array | None, dstate: dict[str, Array | None]) -> States:
        """Gradients of the state before step t, given those of y[t] (B, H) and of the state after it.

        The gradients of the parameters are added to those of `cell`.
        """
        states = [Tensor(self.before[name][t], requires_grad=True) for name in self.names]
        self._replay(t)
        y, after = self.cell(self.x[t : t + 1], self.cell.State(*states), **self.arguments(t))
        seeds = [None if dy is None else dy[None], *(dstate[name] for name in self.names)]
        pull(list(zip((y, *after), seeds, strict=True)))
        return {
            name: np.zeros_like(s.data) if s.grad is None else s.grad
            for name, s in zip(self.names, states, strict=True)
        }

    def gradients(self) -> States:
        """Total gradients of the loss, (T, B, H): dL/dh[t], and dL/dc[t] where there is a c, or other memory states.

        dL/dh[t] has what comes through y[t] and what comes through the following step. dL/dc[t] has, beside the
        following step, what comes through y[t], for which it must be known how that is made of c[t]: where it is not
        (`register_output`), and with zoneout, where c[t] and the cell of the output are not the same, the state is left
        out. Zero behind `lengths`. Where h is no state (SRU), it acts through y alone.
        """
        if self._totals is None:
            self._totals = self._sweep()
        return self._totals

    def _sweep(self) -> States:
        self.need_gradients()
        assert self.dy is not None
        totals = {"h": np.zeros_like(self.after.get("h", self.y))}
        totals |= {name: np.zeros_like(self.after[name]) for name in memories(self.cell)}
        outside = self.dy if self.y_is_h or "h" not in self.names else np.zeros_like(totals["h"])
        carried = dict(self.dlast)
        for t in reversed(self.order):
            valid = self.valid[t][:, None]
            for name, total in totals.items():
                arrived = carried.get(name)
                total[t] = 0 if arrived is None else np.where(valid, arrived, 0)
            totals["h"][t] += np.where(valid, outside[t], 0)
            carried = {**self.vjp(t, self.dy[t], carried)}
        for parameter in self.cell.parameters().values():
            parameter.grad = None
        if memories(self.cell):
            through = totals["h"] if h_is_output(self.cell) else self.dy
            for name, part in through_output(self.cell, self.gates, self.after, self.valid, through).items():
                totals[name] += part
        return totals

    @cached_property
    def gates(self) -> States:
        """The gates of every step as the kernel has computed them, (T, B, H) by name; see `cell.inspect`."""
        self._replay(0)
        state = self.cell.State(*self.initial.values())
        dt = None if self.dt is None else Tensor(self.dt)  # turned to the direction of the call already
        return inspect(self.cell, self.x, state, self.lengths, self.reset, self.reverse, dt).gates

    # --- masks

    def _replay(self, first_time: int) -> None:
        """The next call of the cell starts at this time of the call of the trace, and draws the masks it drew."""
        if isinstance(self.cell, Gated):
            self.cell._replayed_from = first_time

    def refuse_masks(self, who: str) -> None:
        """Raises if the call drew masks, which are those of its rows and of no others."""
        if isinstance(self.cell, Gated) and self.cell.training and self.cell._random:
            raise ValueError(
                f"{who}: this {type(self.cell).__name__} drew masks of zoneout or dropout, another one for each row, "
                "which this cannot repeat; watch a call in evaluation mode"
            )

    def norms(self, name: str = "h") -> Array:
        """||dL/dh[t]|| (or of another state) over rows and units, (T,), in float64."""
        gradients = self.gradients()
        if name not in gradients:
            raise ValueError(f"Trace: no gradient of {name!r}, there are those of {', '.join(gradients)}")
        return np.asarray(np.sqrt(np.square(gradients[name], dtype=np.float64).sum(axis=(1, 2))))

    @property
    def y_is_h(self) -> bool:
        """Whether y is the state h itself, so that a gradient of one is a gradient of the other."""
        h = self.after.get("h")
        return h is not None and h.shape == self.y.shape and np.array_equal(self.y[self.valid], h[self.valid])

    def need_gradients(self) -> None:
        """Raises unless a gradient has reached the layer."""
        if self.dy is None and all(d is None for d in self.dlast.values()):
            raise RuntimeError(
                f"Trace: no gradient has reached this {type(self.cell).__name__}; call backward on a loss that depends "
                "on its outputs first"
            )
        if self.dy is None:
            self.dy = np.zeros((*self.x.shape[:2], self.cell.output_size), self.cell.dtype)


def check_trace(who: str, trace: Any) -> None:
    """A model or a cell instead of one of its calls is told how to get one."""
    if not isinstance(trace, Trace):
        raise TypeError(
            f"{who}: trace is {kind_of(trace)}, expected a call that `with ur.diagnostics.watch(model) as seen` has "
            "remembered, such as seen.trace"
        )


def check_place(who: str, name: str, value: Any, count: int) -> None:
    """A step or a row that there is, counted from 0."""
    if not 0 <= size(who, name, value, least=0) < count:
        raise ValueError(f"{who}: {name} is {value}, expected 0 to {count - 1}")


def pull(outputs: Sequence[tuple[Tensor, Array | None]]) -> None:
    """Sends several gradients back at once, each from its own output."""
    wanted = [(tensor, seed) for tensor, seed in outputs if seed is not None and tensor.requires_grad]

    def vjp(gradients: Sequence[Array]) -> list[Array]:
        return [np.array(seed, order="C") for _, seed in wanted]

    tensors = [tensor for tensor, _ in wanted]
    if tensors:
        record_one("pull", tensors, np.zeros((), tensors[0].dtype), vjp).backward()


def spy(tensor: Tensor, keep: Any) -> Tensor:
    """The same values; `keep` gets a copy of the gradient when it passes."""

    def vjp(gradients: Sequence[Array]) -> Sequence[Array]:
        keep(gradients[0].copy())
        return gradients

    return record_one("spy", (tensor,), ops.as_tensor(tensor)._data, vjp)
