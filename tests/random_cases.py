"""Recurrent layers at random: any cell with any of its options, in any wrapper inside another, each with its reference.

A `Node` tells how to make a layer and what it computes. References are those of `wiring_cases.py` around steps of
`cases.py`; steps of cells whose options change the equations are made here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from hypothesis import strategies as st

import steps
import steps_more as more
import unrolled as ur
import wiring_cases as wiring
from cases import CASES, VARIANTS, Array, Case, Parameters, State, Step, randomize
from reference import run
from unrolled.cells import Gated

FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "sigmoid": steps.sigmoid,
    "hard_sigmoid": more.hard_sigmoid,
    "tanh": np.tanh,
    "relu": steps.relu,
    "identity": more.identity,
    "softsign": more.softsign,
}
names = st.sampled_from(sorted(FUNCTIONS))
rates = st.sampled_from([0.0, 0.0, 0.1, 0.5])


@dataclass(frozen=True)
class Node:
    """A layer from I features to `size`. `make(rng=, dtype=)` builds it; `text` says what it is when a test fails."""

    make: Callable[..., Any]
    reference: wiring.Reference
    size: int
    text: str
    streams: bool = True
    pairs: int = 1  # resets may fall on multiples of this step only

    def __repr__(self) -> str:
        return self.text


# --- cells


def lstm(phi: dict[str, Callable[[Array], Array]], clip: float) -> Step:
    def step(p: Parameters, x: Array, state: State) -> tuple[Array, State]:
        i, f, g, o = more.sums(p, x, state[0], 4)
        c = phi["f"](f) * state[1] + phi["i"](i) * phi["g"](g)
        c = np.where(c.real > clip, clip, np.where(c.real < -clip, -clip, c))
        h = phi["o"](o) * phi["h"](c)
        return h, (h, c)

    return step


def elman(phi: Callable[[Array], Array], recurrent: Callable[[Parameters, Array], Array]) -> Step:
    def step(p: Parameters, x: Array, state: State) -> tuple[Array, State]:
        h = phi(x @ p["W_ih"].T + recurrent(p, state[0]) + steps.bias(p, "b"))
        return h, (h,)

    return step


def jordan(phi: Callable[[Array], Array], psi: Callable[[Array], Array]) -> Step:
    def step(p: Parameters, x: Array, state: State) -> tuple[Array, State]:
        s = phi(x @ p["W_ih"].T + state[0] @ p["W_hh"].T + steps.bias(p, "b"))
        y = psi(s @ p["W_ho"].T + steps.bias(p, "b_o"))
        return y, (y,)

    return step


def ctrnn(phi: Callable[[Array], Array], method: str) -> Step:
    def step(p: Parameters, x: Array, state: State) -> tuple[Array, State]:
        g = phi(x @ p["W_ih"].T + state[0] @ p["W_hh"].T + steps.bias(p, "b"))
        k = 1 / p["tau"] if method == "euler" else 1 - np.exp(-1 / p["tau"])
        h = (1 - k) * state[0] + k * g
        return h, (h,)

    return step


def lstm_1997(A: float, C: float) -> Step:
    def step(p: Parameters, x: Array, state: State) -> tuple[Array, State]:
        i, g, o = more.sums(p, x, state[0], 3)
        c = state[1] + steps.sigmoid(i) * A * (2 * steps.sigmoid(g) - 1)
        h = steps.sigmoid(o) * C * (2 * steps.sigmoid(c) - 1)
        return h, (h, c)

    return step


@st.composite
def free_options(draw: Any, case: Case) -> tuple[dict[str, Any], Step]:
    """Options that change the equations, and the step with them."""
    if case.name == "LSTM-options":
        given = draw(st.dictionaries(st.sampled_from("ifgoh"), names, max_size=5))
        clip = draw(st.sampled_from([None, 0.3, 2.0]))
        usual = {"i": "sigmoid", "f": "sigmoid", "g": "tanh", "o": "sigmoid", "h": "tanh"}
        phi = {gate: FUNCTIONS[name] for gate, name in {**usual, **given}.items()}
        return {"activations": given, "cell_clip": clip}, lstm(phi, clip or np.inf)
    if case.name == "LSTM1997":
        A, C = draw(st.sampled_from([0.5, 2.0])), draw(st.sampled_from([1.0, 3.0]))
        return {"candidate_range": A, "output_range": C}, lstm_1997(A, C)
    if case.name == "Jordan":
        phi, psi = draw(names), draw(names)
        chosen = {"nonlinearity": phi, "output_nonlinearity": psi}
        return chosen, jordan(FUNCTIONS[phi], FUNCTIONS[psi])
    if case.name == "IndRNN":
        phi = draw(names)
        return {"nonlinearity": phi}, elman(FUNCTIONS[phi], lambda p, h: p["w_hh"] * h)
    if case.cell == "CTRNN" and not case.missing:
        phi, method = draw(names), draw(st.sampled_from(["euler", "exponential"]))
        return {"nonlinearity": phi, "method": method}, ctrnn(FUNCTIONS[phi], method)
    return dict(case.options), case.step


def folded(step: Step, states: tuple[str, ...]) -> wiring.Reference:
    """The step over time, from the learned initial state where none is given, and back to it at resets."""

    def reference(p: Parameters, x: Array, state: Any, **arguments: Any) -> Any:
        learned = tuple(p[f"{name}0"] + np.zeros((x.shape[1], 1)) for name in states if f"{name}0" in p)
        given = zip(states, state, strict=True)
        first = tuple(learned[states.index(name)] if s is None else s for name, s in given)
        return run(step, p, x, first, start=learned or None, **arguments)

    return reference


@st.composite
def cells(draw: Any, I: int, H: int) -> Node:
    case = draw(st.sampled_from(CASES + VARIANTS))
    options, step = draw(free_options(case))
    options["bias"] = draw(st.booleans())
    if issubclass(getattr(ur, case.cell), Gated):
        zoneout = {name: draw(rates) for name in case.states if name in ("h", "c")}
        options.update({f"zoneout_{name}": rate for name, rate in zoneout.items()})
        step = more.with_zoneout(step, case.states, zoneout)
        # Without effect in evaluation, and a bound that nothing reaches.
        options.update(recurrent_dropout=draw(rates), weight_dropout=draw(rates))
        options.update(gradient_clip=draw(st.sampled_from([None, 1e9])))
        options.update(learn_initial_state=draw(st.booleans()))
    if case.size_option:
        options[case.size_option] = case.output(H)
    return Node(
        partial(getattr(ur, case.cell), I, H, **options),
        folded(step, case.states),
        case.output(H),
        f"{case.cell}({I}, {H}, {options})",
    )


@st.composite
def grids(draw: Any, I: int, H: int) -> Node:
    depth, tied = draw(st.integers(1, 3)), draw(st.booleans())
    make = partial(ur.GridLSTM, I, H, depth, tied=tied)
    return Node(make, wiring.GRID, H, f"GridLSTM({I}, {H}, {depth}, tied={tied})")


# --- wrappers


@st.composite
def skips(draw: Any, I: int, H: int, depth: int) -> Node:
    inside, projection = draw(layers(I, H, depth - 1)), draw(st.booleans())
    projection = projection or inside.size != I
    kind = draw(st.sampled_from(["Residual", "Highway"]))
    make = lambda rng, **m: getattr(ur, kind)(inside.make(rng=rng, **m), projection=projection, rng=rng)  # noqa: E731
    around = {"Residual": wiring.residual, "Highway": wiring.highway}[kind]
    text = f"{kind}({inside}, projection={projection})"
    return Node(make, around(inside.reference), inside.size, text, inside.streams)


@st.composite
def both_ways(draw: Any, I: int, H: int, depth: int) -> Node:
    there, back = draw(layers(I, H, depth - 1)), draw(layers(I, H, depth - 1))
    merge = draw(st.sampled_from(["concat", "sum"])) if there.size == back.size else "concat"
    make = lambda **m: ur.Bidirectional(there.make(**m), back.make(**m), merge=merge)  # noqa: E731
    reference = wiring.bidirectional(there.reference, back.reference, merge)
    size = there.size + back.size if merge == "concat" else there.size
    return Node(make, reference, size, f"Bidirectional({there}, {back}, {merge})", streams=False)


@st.composite
def stacks(draw: Any, I: int, H: int, depth: int, pyramid: bool = False) -> Node:
    parts: list[Node] = []
    for _ in range(draw(st.integers(1, 3))):
        width = parts[-1].size * (2 if pyramid else 1) if parts else I
        parts.append(draw(layers(width, H, depth - 1)))
    kind, together = (ur.Pyramid, wiring.pyramid) if pyramid else (ur.Stack, wiring.stack)
    return Node(
        lambda **m: kind([part.make(**m) for part in parts]),
        together(*(part.reference for part in parts)),
        parts[-1].size,
        f"{kind.__name__}({parts})",
        not pyramid and all(part.streams for part in parts),
        2 ** (len(parts) - 1) if pyramid else 1,
    )


@st.composite
def layers(draw: Any, I: int, H: int, depth: int) -> Node:
    """Any layer with wrappers at most `depth` deep."""
    kinds = [cells(I, H), cells(I, H), grids(I, H)]
    if depth:
        kinds = [skips(I, H, depth), both_ways(I, H, depth), stacks(I, H, depth), *kinds[1:]]
    return draw(st.one_of(kinds))


# --- calls


@dataclass(frozen=True)
class Config:
    """A layer and how it is called, from arrays that `seed` decides."""

    node: Node
    shape: tuple[int, int, int]  # T, B, I
    seed: int
    started: bool  # from a given state
    lengths: bool
    reset: bool
    reverse: bool

    def layer(self, dtype: Any = np.float64) -> Any:
        """In evaluation mode, with random parameters."""
        rng = np.random.default_rng(self.seed)
        layer = self.node.make(rng=rng, dtype=dtype)
        for name, parameter in layer.parameters().items():
            randomize(parameter, rng, name)
        return layer.eval()

    def call(self) -> dict[str, Any]:
        """`lengths`, `reset` and `reverse`."""
        T, B, _ = self.shape
        rng = np.random.default_rng([self.seed, 1])
        given: dict[str, Any] = {}
        if self.lengths:
            given["lengths"] = rng.integers(0, T + 1, B)
        if self.reset:
            given["reset"] = (rng.random((T, B)) < 0.4) & (np.arange(T)[:, None] % self.node.pairs == 0)
        return {**given, "reverse": True} if self.reverse else given


@st.composite
def configs(draw: Any) -> Config:
    I, H = draw(st.integers(1, 5)), draw(st.integers(1, 20))
    depth = draw(st.integers(0, 3))
    layer = draw(
        stacks(I, H, depth, pyramid=True) if depth and draw(st.integers(0, 4)) == 0 else layers(I, H, depth)
    )
    shape = (draw(st.integers(0, 7)), draw(st.integers(0, 5)), I)
    return Config(layer, shape, draw(st.integers(0, 2**20)), *(draw(st.booleans()) for _ in range(4)))
