"""NumPy loop over time around a step of `cases.py`, random problems for it, and exact derivatives."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import unrolled as ur
from cases import Array, Case, Parameters, State, Step

TINY = 1e-30  # of a complex step: f(q + i TINY v) has no cancellation, so its derivative is exact to rounding


def run(
    step: Step,
    p: Parameters,
    x: Array,
    state: State,
    lengths: Array | None = None,
    reset: Array | None = None,
    reverse: bool = False,
    start: State | None = None,
    dt: Array | None = None,
) -> tuple[Array, State]:
    """y (T, B, O) and the state after the last valid step. `reset[t, b]` is a cut between t - 1 and t, after which the
    state is `start` (each (B, width)), or zeros. dt: (T, B), of cells in continuous time."""
    T, B = x.shape[:2]
    live = np.arange(T)[:, None] < (np.full(B, T) if lengths is None else lengths)
    cut = np.zeros((T + 1, B), bool)
    if reset is not None:
        cut[:T] = reset & live
    outputs = []
    for t in reversed(range(T)) if reverse else range(T):
        cut_before = cut[t + 1] if reverse else cut[t]
        starts = start or (0,) * len(state)
        state = tuple(np.where(cut_before[:, None], new, s) for new, s in zip(starts, state, strict=True))
        times = () if dt is None else (dt[t][:, None],)
        y_t, after = step(p, np.where(live[t][:, None], x[t], 0), state, *times)
        state = tuple(np.where(live[t][:, None], new, old) for new, old in zip(after, state, strict=True))
        outputs.append(np.where(live[t][:, None], y_t, 0))
    if T == 0:
        return np.zeros((0, B, step(p, np.zeros((B, x.shape[2])), state)[0].shape[1])), state
    return np.stack(outputs[::-1] if reverse else outputs), state


@dataclass(frozen=True)
class Problem:
    """Arrays of one call: parameters, input, initial state, and the weights of a loss on every output."""

    case: Case
    cell: Any
    x: Array
    state: State
    dy: Array
    dstate: State
    lengths: Array | None = None
    reset: Array | None = None
    reverse: bool = False

    @property
    def arguments(self) -> dict[str, Any]:
        return {"lengths": self.lengths, "reset": self.reset, "reverse": self.reverse}

    @property
    def quantities(self) -> dict[str, Array]:
        """Everything the loss depends on: parameters, "x", and the initial state as "h0", "c0"."""
        parameters = {name: np.asarray(p) for name, p in self.cell.parameters().items()}
        return {
            **parameters,
            "x": self.x,
            **{n + "0": s for n, s in zip(self.case.states, self.state, strict=True)},
        }

    def with_dtype(self, dtype: Any) -> Problem:
        """The same numbers in another dtype (exact from float32 to float64)."""
        H = self.cell.hidden_size
        cell = self.case.make(self.cell.input_size, H, dtype, bias="b" in self.cell.parameters())
        for name, parameter in cell.parameters().items():
            parameter.data[...] = np.asarray(self.cell.parameters()[name])
        x, dy, *states = (a.astype(dtype) for a in (self.x, self.dy, *self.state, *self.dstate))
        count = len(self.state)
        return replace(self, cell=cell, x=x, dy=dy, state=tuple(states[:count]), dstate=tuple(states[count:]))

    def rows(self, index: Any) -> Problem:
        """The problem with some rows of the batch only."""

        def take(a: Array | None, axis: int) -> Array | None:
            return None if a is None else np.ascontiguousarray(a[:, index] if axis else a[index])

        return replace(
            self,
            x=take(self.x, 1),
            dy=take(self.dy, 1),
            lengths=take(self.lengths, 0),
            reset=take(self.reset, 1),
            state=tuple(take(s, 0) for s in self.state),
            dstate=tuple(take(s, 0) for s in self.dstate),
        )


def problem(
    case: Case,
    shape: tuple[int, int, int, int],
    dtype: Any = np.float64,
    *,
    lengths: bool = False,
    reset: bool = False,
    reverse: bool = False,
    bias: bool = True,
    seed: int = 0,
) -> Problem:
    """Random arrays for `shape` = (T, B, I, H). Lengths include T and 0; every third position is a reset."""
    T, B, I, H = shape
    rng = np.random.default_rng([seed, T, B, I, H])
    size = rng.integers(0, T + 1, B)
    size[:1], size[1:2] = T, 0
    flags = rng.random((T, B)) < 1 / 3
    x, dy = rng.normal(size=(T, B, I)), rng.normal(size=(T, B, case.output(H)))
    if case.missing:
        x[rng.random(x.shape) < case.missing] = np.nan
    widths = [case.state_size(name, H, I) for name in case.states]
    state, dstate = (tuple(rng.normal(size=(B, n)) * 0.7 for n in widths) for _ in range(2))
    state = tuple(
        0.5 + np.abs(a) if n in case.positive else a for n, a in zip(case.states, state, strict=True)
    )
    return Problem(
        case,
        case.make(I, H, dtype, seed=seed + 1, bias=bias),
        x.astype(dtype),
        tuple(s.astype(dtype) for s in state),
        dy.astype(dtype),
        tuple(s.astype(dtype) for s in dstate),
        size.astype(np.int64) if lengths else None,
        flags if reset else None,
        reverse,
    )


def expected(p: Problem) -> tuple[Array, State]:
    """Outputs of the reference, computed in float64."""
    exact = {name: np.asarray(q, np.float64) for name, q in p.quantities.items()}
    return _outputs(p, exact)


def _outputs(p: Problem, q: dict[str, Array]) -> tuple[Array, State]:
    state = tuple(q[name + "0"] for name in p.case.states)
    return run(p.case.step, q, q["x"], state, **p.arguments)


def reference_loss(p: Problem, q: dict[str, Array]) -> Any:
    y, state = _outputs(p, q)
    return (y * p.dy).sum() + sum((s * d).sum() for s, d in zip(state, p.dstate, strict=True))


def directional_derivative(p: Problem, name: str, direction: Array) -> float:
    """d loss(q + e direction) / d e at e = 0 for the quantity q of that name, from the reference."""
    q: dict[str, Array] = {n: np.asarray(a, np.float64) for n, a in p.quantities.items()}
    q[name] = q[name] + 1j * TINY * direction
    return float(np.imag(reference_loss(p, q)) / TINY)


def forward(p: Problem) -> tuple[Array, State]:
    """Outputs of the library, without a tape."""
    with ur.no_grad():
        y, state = p.cell(p.x, p.cell.State(*p.state), **p.arguments)
    return np.asarray(y), tuple(np.asarray(s) for s in state)


def loss_of(p: Problem, y: Any, state: Any) -> Any:
    total = (y * ur.Tensor(p.dy)).sum()
    for s, d in zip(state, p.dstate, strict=True):
        total = total + (s * ur.Tensor(d)).sum()
    return total


def gradients(p: Problem) -> dict[str, Array]:
    """Gradients of the loss by the library, into every quantity, by name."""
    for parameter in p.cell.parameters().values():
        parameter.grad = None
    x = ur.Tensor(p.x, requires_grad=True)
    state = p.cell.State(*(ur.Tensor(s, requires_grad=True) for s in p.state))
    loss_of(p, *p.cell(x, state, **p.arguments)).backward()
    into = {**p.cell.parameters(), "x": x, **{n + "0": s for n, s in zip(p.case.states, state, strict=True)}}
    return {name: tensor.grad for name, tensor in into.items()}


def same_bits(a: Array, b: Array) -> bool:
    """Equal shape, dtype and bits: -0.0 differs from 0.0 and a NaN equals itself."""
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def assert_same_bits(actual: Any, wanted: Any, what: str = "") -> None:
    """For arrays, and for tuples and dictionaries of them."""
    if isinstance(wanted, dict):
        assert actual.keys() == wanted.keys()
        for name in wanted:
            assert_same_bits(actual[name], wanted[name], f"{what} {name}")
    elif isinstance(wanted, tuple):
        assert len(actual) == len(wanted)
        for i, (a, w) in enumerate(zip(actual, wanted, strict=True)):
            assert_same_bits(a, w, f"{what} [{i}]")
    else:
        a, w = np.asarray(actual), np.asarray(wanted)
        assert a.shape == w.shape and a.dtype == w.dtype, (
            f"{what}: {a.dtype}{a.shape} is not {w.dtype}{w.shape}"
        )
        if not same_bits(a, w):
            bad = np.argwhere(~((a == w) | (np.isnan(a) & np.isnan(w))))
            worst = np.nanmax(np.abs(a - w))
            raise AssertionError(f"{what}: {len(bad)} of {a.size} numbers differ, by {worst}, at {bad[:4]}")
