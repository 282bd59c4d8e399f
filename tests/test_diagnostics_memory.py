"""Gradients of memory states, for every cell that has them, against equations in NumPy; and calls that drew masks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import steps_more as more
import unrolled as ur
from cases import CASES, VARIANTS, Case
from reference import assert_same_bits
from steps import Array, Parameters, sigmoid
from traces import assert_terms_add_up
from unrolled import diagnostics

T, B, I, H = 6, 3, 2, 4
TINY = 1e-30  # of complex steps: exact to rounding

# y[t] from the parameters, x[t], and the states before and after the step, in the order of the case.
Before = After = tuple[Array, ...]
Made = Callable[[Parameters, Array, Before, After], Array]


def gate_o(p: Parameters, x: Array, h: Array, gates: int) -> Array:
    """The sum of the output gate, the last block."""
    return more.sums(p, x, h, gates)[-1]


def multiplicative(p: Parameters, x: Array, before: Before, after: After) -> Array:
    m, *_, a_o = more.inputs(p, x, 5)
    m = m * (before[0] @ p["W_hm"].T)
    return sigmoid(a_o + m @ np.split(p["W_mh"], 4)[3].T) * np.tanh(after[1])


def full_peephole(p: Parameters, x: Array, before: Before, after: After) -> Array:
    return sigmoid(gate_o(p, x, before[0], 4) + after[1] @ np.split(p["W_ch"], 3)[2].T) * np.tanh(after[1])


def layer_norm(p: Parameters, x: Array, before: Before, after: After) -> Array:
    sums = p["g_ih"] * more.normalise(x @ p["W_ih"].T) + p["g_hh"] * more.normalise(before[0] @ p["W_hh"].T)
    o = sigmoid(np.split(sums + p["b"], 4, axis=1)[3])
    return o * np.tanh(p["g_c"] * more.normalise(after[1]) + p["b_c"])


def sru(p: Parameters, x: Array, before: Before, after: After) -> Array:
    _, _, r, s = more.inputs(p, x, 4)
    r = sigmoid(r + p["v_r"] * before[0])
    return r * after[0] + (1 - r) * s


MADE: dict[str, Made] = {
    "LSTM": lambda p, x, old, new: sigmoid(gate_o(p, x, old[0], 4)) * np.tanh(new[1]),
    "LSTM-options": lambda p, x, old, new: gate_o(p, x, old[0], 4) * np.tanh(new[1]),
    "LSTM1997": lambda p, x, old, new: sigmoid(gate_o(p, x, old[0], 3)) * (2 * sigmoid(new[1]) - 1),
    "PeepholeLSTM": lambda p, x, old, new: (
        sigmoid(gate_o(p, x, old[0], 4) + p["p_o"] * new[1]) * np.tanh(new[1])
    ),
    "PeepholeLSTM-previous": lambda p, x, old, new: (
        sigmoid(gate_o(p, x, old[0], 4) + p["p_o"] * old[1]) * np.tanh(new[1])
    ),
    "FullPeepholeLSTM": full_peephole,
    "CoupledLSTM": lambda p, x, old, new: sigmoid(gate_o(p, x, old[0], 3)) * np.tanh(new[1]),
    "ProjectedLSTM": lambda p, x, old, new: (
        (sigmoid(gate_o(p, x, old[0], 4)) * np.tanh(new[1])) @ p["W_hr"].T
    ),
    "MultiplicativeLSTM": multiplicative,
    "LayerNormLSTM": layer_norm,
    "sLSTM": lambda p, x, old, new: sigmoid(gate_o(p, x, old[0], 4)) * new[1] / new[2],
    "SRU": sru,
    "QRNN": lambda p, x, old, new: (
        sigmoid(np.split(np.hstack([old[1], x]) @ p["W_ih"].T + p["b"], 3, axis=1)[2]) * new[0]
    ),
    "LeakyRNN": lambda p, x, old, new: np.tanh(new[1]),
    "LeakyRNN-matrix-unit": lambda p, x, old, new: np.tanh(new[1]),
    "RNN-pre": lambda p, x, old, new: np.tanh(new[0]),
    "RNN-pre-sigmoid": lambda p, x, old, new: sigmoid(new[0]),
}
KNOWN = [case for case in CASES + VARIANTS if case.name in MADE]


def watched(case: Case, lengths: Any = None, reset: Any = None) -> tuple[Any, Any, Any]:
    """A trace, the loss's weights of y and of the last states, and the first states."""
    rng = np.random.default_rng(0)
    cell = case.make(I, H)
    state = cell.State(*(rng.standard_normal(s.shape) for s in cell.initial_state(B)))
    state = state._replace(**{name: np.abs(getattr(state, name)) + 0.5 for name in case.positive})
    x = rng.standard_normal((T, B, I))
    with diagnostics.watch(cell) as seen:
        y, last = cell(x, state, lengths, reset)
        weights = rng.standard_normal(y.shape), [rng.standard_normal(s.shape) for s in last]
        loss = (y * weights[0]).sum()
        for part, weight in zip(last, weights[1], strict=True):
            loss = loss + (part * weight).sum()
        loss.backward()
    return seen.trace, weights, tuple(state)


def nudged_loss(
    case: Case, trace: Any, weights: Any, state: Any, at: int, name: str, nudge: Array
) -> complex:
    """The loss where `nudge` is added to a state after step `at`, and acts through the output of that step too."""
    p = {n: np.asarray(t) for n, t in trace.cell.parameters().items()}
    loss = 0
    for t in range(T):
        y, after = case.step(p, trace.x[t], state)
        if t == at:
            k = case.states.index(name)
            after = (*after[:k], after[k] + nudge, *after[k + 1 :])
            made = MADE[case.name](p, trace.x[t], state, after)
            np.testing.assert_allclose(made.real, y.real, rtol=1e-12)
            y = made
            if case.states[0] == "h" and name != "h":
                after = (y, *after[1:])
        loss = loss + (y * weights[0][t]).sum()
        state = after
    return loss + sum((s * w).sum() for s, w in zip(state, weights[1], strict=True))


@pytest.mark.parametrize("case", KNOWN, ids=str)
def test_gradients_of_memory_states_are_those_of_small_changes(case: Case) -> None:
    trace, weights, state = watched(case)
    all_of_them = case.name in ("SRU", "QRNN") or case.name.startswith("RNN-pre")
    memories = case.states if all_of_them else case.states[1:]
    found = trace.gradients()
    assert set(found) == {"h", *memories}
    rng = np.random.default_rng(1)
    for name in memories:
        for t in range(T):
            direction = rng.standard_normal(found[name][t].shape)
            slope = nudged_loss(case, trace, weights, state, t, name, TINY * 1j * direction).imag / TINY
            assert (found[name][t] * direction).sum() == pytest.approx(slope, rel=1e-10, abs=1e-12), (name, t)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_cell_with_a_memory_state_has_its_gradient(case: Case) -> None:
    reset = np.random.default_rng(6).random((T, B)) < 0.4
    trace, _, _ = watched(case, np.array([4, T, 0]), reset)
    memories = [name for name in case.states if name != "h" and name not in case.kept]
    assert set(trace.gradients()) >= {"h", *memories}, "register_output tells how y is made of them"
    for name in memories:
        gradient = trace.gradients()[name]
        assert np.isfinite(gradient).all()
        assert not gradient[~trace.valid].any()
        # The stabiliser of sLSTM cancels out of everything; kept inputs act on later steps, or where one is missing.
        if name not in ("m", "x", "age"):
            assert (np.abs(gradient[trace.valid]) > 0).mean() > 0.5


def test_a_registered_output_serves_cells_of_users() -> None:
    class Doubled(ur.LSTM):
        pass

    def traced() -> Any:
        cell = Doubled(2, 3, rng=np.random.default_rng(0))
        with diagnostics.watch(cell) as seen:
            cell(np.ones((4, 1, 2), np.float32))[0].sum().backward()
        return seen.trace

    with pytest.raises(ValueError, match="no gradient of 'c', there are those of h"):
        traced().norms("c")
    diagnostics.register_output("Doubled")(lambda cell, gates, states: gates["o"] * ur.tanh(states["c"]))
    twin = ur.LSTM(2, 3, rng=np.random.default_rng(0))
    with diagnostics.watch(twin) as seen:
        twin(np.ones((4, 1, 2), np.float32))[0].sum().backward()
    assert_same_bits(traced().gradients()["c"], seen.trace.gradients()["c"])


MASKS = {"zoneout_h": 0.3, "zoneout_c": 0.2, "recurrent_dropout": 0.4, "weight_dropout": 0.3}


def trained(options: dict[str, float], reverse: bool = False) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(0)
    cell = ur.LSTM(3, 9, dtype=np.float64, rng=rng, **options)
    x = rng.standard_normal((8, 4, 3))
    cell(x)  # the counter of masks is not at its start
    with diagnostics.watch(cell) as seen:
        y, _ = cell(x, lengths=np.array([8, 3, 0, 5]), reverse=reverse)
        (y * rng.standard_normal(y.shape)).sum().backward()
    return cell, y, seen.trace


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("names", [*[(name,) for name in MASKS], tuple(MASKS)], ids="+".join)
def test_what_is_asked_of_a_call_that_drew_masks_draws_the_same(names: Any, reverse: bool) -> None:
    cell, y, trace = trained({name: MASKS[name] for name in names}, reverse)
    assert cell.counter == 2
    assert_same_bits(trace.y, np.asarray(y))
    for _ in range(2):
        assert_terms_add_up(cell, trace)
    assert cell.counter == 2


def test_what_cannot_repeat_masks_says_so() -> None:
    cell, _, trace = trained({"zoneout_h": 0.3})
    for ask in (lambda: diagnostics.step_jacobian(trace, 1), lambda: diagnostics.jacobian_norms(trace)):
        with pytest.raises(ValueError, match=r"this LSTM drew masks .* watch a call in evaluation mode"):
            ask()
    # There are two cells: that of the output, and the one kept.
    with pytest.raises(ValueError, match="no gradient of 'c'"):
        trace.norms("c")
    cell.eval()
    with diagnostics.watch(cell) as seen:
        y, _ = cell(trace.x)
        y.sum().backward()
    assert diagnostics.step_jacobian(seen.trace, 1).shape == (18, 18)


@pytest.mark.parametrize("name", ["LSTM-options", "RNN-identity", "RNN-pre", "RNN-pre-relu"])
def test_gates_of_cells_with_other_nonlinearities(name: str) -> None:
    case = next(case for case in CASES + VARIANTS if case.name == name)
    trace, _, _ = watched(case)
    gates = diagnostics.gate_values(trace).gates
    if case.cell == "LSTM":
        for gate, values in trace.gates.items():
            np.testing.assert_allclose(gates[gate].values, values, rtol=1e-12, atol=1e-14)
    else:
        np.testing.assert_allclose(gates["h"].values, trace.y, rtol=1e-12, atol=1e-14)
    low = diagnostics.saturation(trace).low
    assert all(((share >= 0) & (share <= 1)).all() for share in low.values())
