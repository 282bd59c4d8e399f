"""The gates that `inspect` shows make the states and the output that it shows, by the equations of the docstrings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unrolled as ur
from cases import CASES, VARIANTS, Array, Case
from reference import problem

Arrays = dict[str, Array]


def lstm_cell(g: Arrays, old: Arrays) -> Array:
    return g["f"] * old["c"] + g["i"] * g["g"]


def gru(g: Arrays, old: Arrays) -> Array:
    return (1 - g["z"]) * g["n"] + g["z"] * old["h"]


def gru_takes_new(g: Arrays, old: Arrays) -> Array:
    return g["z"] * g["n"] + (1 - g["z"]) * old["h"]


def highway(g: Arrays, old: Arrays) -> Array:
    s = old["h"]
    for layer in range(1, len(g) // 2 + 1):
        s = g[f"t_{layer}"] * g[f"n_{layer}"] + (1 - g[f"t_{layer}"]) * s
    return s


# What the gates make of the states before: a state, and the output of it where that takes no more than gates.
TABLE: dict[str, Any] = {
    **{name: {"c": lstm_cell} for name in ("ProjectedLSTM", "LayerNormLSTM")},
    **{
        name: {"c": lstm_cell, "y": lambda g, new: g["o"] * np.tanh(new["c"])}
        for name in (
            "LSTM",
            "PeepholeLSTM",
            "PeepholeLSTM-previous",
            "FullPeepholeLSTM",
            "MultiplicativeLSTM",
        )
    },
    "LSTM-options": {"c": lambda g, old: np.clip(lstm_cell(g, old), -0.4, 0.4)},
    "CoupledLSTM": {"c": lambda g, old: (1 - g["i"]) * old["c"] + g["i"] * g["g"]},
    "LSTM1997": {
        "c": lambda g, old: old["c"] + g["i"] * g["g"],
        "y": lambda g, new: g["o"] * np.tanh(new["c"] / 2),
    },
    "sLSTM": {
        "c": lambda g, old: g["f"] * old["c"] + g["i"] * g["z"],
        "n": lambda g, old: g["f"] * old["n"] + g["i"],
        "y": lambda g, new: g["o"] * new["c"] / new["n"],
    },
    **{name: {"h": gru} for name in ("GRU", "GRUResetBefore", "LayerNormGRU", "MinimalGRU")},
    **{name: {"h": gru_takes_new} for name in ("GRU-new", "GRUResetBefore-new")},
    "MGU": {"h": lambda g, old: (1 - g["f"]) * old["h"] + g["f"] * g["n"]},
    **{
        name: {"h": lambda g, old: g["c"] * old["h"] + (1 - g["c"]) * g["n"]}
        for name in ("BistableGRU", "BistableGRU-matrix")
    },
    "MinimalLSTM": {"h": lambda g, old: (g["f"] * old["h"] + g["i"] * g["n"]) / (g["f"] + g["i"])},
    "SRU": {
        "c": lambda g, old: g["f"] * old["c"] + (1 - g["f"]) * g["n"],
        "y": lambda g, new: g["r"] * new["c"] + (1 - g["r"]) * g["s"],
    },
    **{name: {"h": highway} for name in ("RecurrentHighway", "RecurrentHighway-1", "RecurrentHighway-4")},
    "LeakyRNN": {"c": lambda g, old: g["a"] * old["c"] + g["s"] * g["g"]},
}


@pytest.mark.parametrize("lengths", [False, True], ids=["whole", "lengths"])
@pytest.mark.parametrize("case", [c for c in CASES + VARIANTS if c.name in TABLE], ids=str)
def test_gates_make_the_states(case: Case, lengths: bool) -> None:
    p = problem(case, (5, 4, 3, 19), lengths=lengths)
    seen = p.cell.inspect(p.x, p.cell.State(*p.state), p.lengths)
    live = np.ones((5, 4), bool) if p.lengths is None else np.arange(5)[:, None] < p.lengths
    gates = dict(seen.gates)
    for values in gates.values():
        assert values.shape == (5, 4, 19) and values.dtype == np.float64
        assert not values[~live].any()
    if case.cell == "LeakyRNN":
        gates.update({name: np.asarray(p.cell.parameters()[name]) for name in "as"})
    old = {
        name: np.concatenate([s[None], seen.states[name][:-1]])
        for name, s in zip(case.states, p.state, strict=True)
    }
    for name, equation in TABLE[case.name].items():
        shown, inputs = (seen.y, seen.states) if name == "y" else (seen.states[name], old)
        with np.errstate(invalid="ignore"):  # 0 / 0 where nothing ran
            wanted = np.where(live[..., None], equation(gates, inputs), 0)
        np.testing.assert_allclose(shown, wanted, rtol=0, atol=1e-13, err_msg=name)


def test_the_feedback_of_a_bistable_unit() -> None:
    """a = 1 + tanh(W_a x + u_a h' + b_a), which makes the candidate n = tanh(W_n x + a h' + b_n)."""
    p = problem(next(c for c in CASES if c.name == "BistableGRU"), (5, 4, 3, 19))
    seen = p.cell.inspect(p.x, p.cell.State(*p.state))
    old = np.concatenate([p.state[0][None], seen.y[:-1]])
    a_n = (p.x @ np.asarray(p.cell.W_ih).T + np.asarray(p.cell.b))[..., -19:]
    np.testing.assert_allclose(seen.gates["n"], np.tanh(a_n + seen.gates["a"] * old), rtol=0, atol=1e-13)


def test_the_intermediate_state_of_a_multiplicative_lstm() -> None:
    """m = (W_m x + b_m) * (W_hm h[t-1])."""
    p = problem(next(c for c in CASES if c.cell == "MultiplicativeLSTM"), (5, 4, 3, 19), lengths=True)
    seen = p.cell.inspect(p.x, p.cell.State(*p.state), p.lengths)
    q = {name: np.asarray(tensor) for name, tensor in p.cell.parameters().items()}
    before = np.concatenate([p.state[0][None], seen.y[:-1]])
    m = (p.x @ q["W_ih"][:19].T + q["b"][:19]) * (before @ q["W_hm"].T)
    assert p.lengths is not None
    live = (np.arange(5)[:, None] < p.lengths)[..., None]
    np.testing.assert_allclose(seen.gates["m"], np.where(live, m, 0), rtol=0, atol=1e-13)


def test_a_mask_says_what_is_missing_as_in_a_call() -> None:
    rng = np.random.default_rng(0)
    cell, x, mask = ur.GRUD(3, 4, rng=rng), rng.standard_normal((5, 2, 3)), rng.random((5, 2, 3)) < 0.6
    x = x.astype(np.float32)
    np.testing.assert_array_equal(cell.inspect(x, mask=mask).y, cell(x, mask=mask)[0])
    assert not np.array_equal(cell.inspect(x).y, cell(x, mask=mask)[0])
