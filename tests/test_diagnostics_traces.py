"""Watching changes no bit; gradients of every state are those of small changes to it; terms add up."""

from __future__ import annotations

import numpy as np
import pytest

import unrolled as ur
from traces import assert_gradients, assert_terms_add_up
from unrolled import diagnostics

CELLS = (ur.RNN, ur.LSTM, ur.PeepholeLSTM, ur.CoupledLSTM, ur.GRU, ur.GRUResetBefore)
STEPS, ROWS, INPUTS, UNITS = 6, 3, 2, 4
both_ways = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
every_cell = pytest.mark.parametrize("kind", CELLS, ids=lambda kind: kind.__name__)


def setting(kind, seed=0):
    """A cell with all parameters drawn, x, and a state that asks for its gradient."""
    rng = np.random.default_rng(seed)
    cell = kind(INPUTS, UNITS, dtype=np.float64, rng=rng)
    for parameter in cell.parameters().values():
        parameter.data += 0.5 * rng.standard_normal(parameter.shape)
    x = ur.Tensor(rng.standard_normal((STEPS, ROWS, INPUTS)), requires_grad=True)
    state = [ur.Tensor(rng.standard_normal((ROWS, UNITS)), requires_grad=True) for _ in cell.State._fields]
    return cell, x, cell.State(*state)


def weights_of_loss(names, seed=1):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((STEPS, ROWS, UNITS)), [rng.standard_normal((ROWS, UNITS)) for _ in names]


def backward(y, last, dy, dlast):
    loss = (y * dy).sum()
    for part, weight in zip(last, dlast, strict=True):
        loss = loss + (part * weight).sum()
    loss.backward()


def watched(kind, reverse, lengths=None, reset=None, seed=0):
    cell, x, state = setting(kind, seed)
    dy, dlast = weights_of_loss(cell.State._fields)
    with diagnostics.watch(cell) as seen:
        y, last = cell(x, state, lengths, reset, reverse=reverse)
        backward(y, last, dy, dlast)
    return cell, x, state, y, seen.trace


UNEVEN = {
    "whole": (None, None),
    "lengths": (np.array([STEPS, 0, 3]), None),
    "resets": (None, np.random.default_rng(5).random((STEPS, ROWS)) < 0.3),
    "both": (np.array([4, STEPS, 1]), np.random.default_rng(6).random((STEPS, ROWS)) < 0.4),
}


@both_ways
@every_cell
@pytest.mark.parametrize("case", UNEVEN)
def test_watching_changes_no_bit_and_steps_are_the_whole(kind, reverse, case):
    lengths, reset = UNEVEN[case]
    cell, x, state = setting(kind)
    y, last = cell(x, state, lengths, reset, reverse=reverse)
    backward(y, last, *weights_of_loss(cell.State._fields))
    other, x2, state2, y2, trace = watched(kind, reverse, lengths, reset)

    np.testing.assert_array_equal(y2.data, y.data)
    np.testing.assert_array_equal(x2.grad, x.grad)
    for name, parameter in cell.parameters().items():
        np.testing.assert_array_equal(other.parameters()[name].grad, parameter.grad)
    assert "forward" not in vars(other)

    np.testing.assert_array_equal(trace.y, y.data)
    assert trace.y_is_h
    carried = dict(trace.dlast)
    for t in reversed(trace.order):
        carried = trace.vjp(t, trace.dy[t], carried)
    for name, part in zip(trace.names, state2, strict=True):
        np.testing.assert_array_equal(carried[name], part.grad)


def loss_from(cell, x, t, reverse, state, dy, dlast):
    """The part of the loss that depends on the state after step t, y[t] included (which is its h)."""
    rest = slice(None, t) if reverse else slice(t + 1, None)
    y, last = cell(x[rest], state, reverse=reverse)
    total = (y.data * dy[rest]).sum() + (state.h * dy[t]).sum()
    return total + sum((part.data * weight).sum() for part, weight in zip(last, dlast, strict=True))


@both_ways
@every_cell
def test_gradient_of_h_is_what_a_small_change_of_h_does(kind, reverse):
    cell, x, _, _, trace = watched(kind, reverse)
    dy, dlast = weights_of_loss(cell.State._fields)
    rng = np.random.default_rng(2)
    step = 1e-6
    for t in range(STEPS):
        direction = rng.standard_normal((ROWS, UNITS))
        losses = []
        for sign in (1, -1):
            state = cell.State(*(trace.after[name][t] for name in trace.names))
            state = state._replace(h=state.h + sign * step * direction)
            losses.append(loss_from(cell, x.data, t, reverse, state, dy, dlast))
        expected = (losses[0] - losses[1]) / (2 * step)
        # Central differences of step 1e-6 in float64: rounding 1e-10 of the loss, error of the third derivative 1e-12.
        assert (trace.gradients()["h"][t] * direction).sum() == pytest.approx(expected, rel=1e-7, abs=1e-8)


def lstm_loss(cell, x, state, dy, dlast, nudge):
    """The LSTM, with peepholes or coupled gates where the cell has them, from its equations, with `nudge` added to
    every c; the loss of `weights_of_loss`."""
    names = cell.gates
    blocks = {
        name: [np.split(np.asarray(p), len(names))[place] for p in (cell.W_ih, cell.W_hh, cell.b)]
        for place, name in enumerate(names)
    }
    p = {name: np.asarray(getattr(cell, f"p_{name}", 0)) for name in "ifog"}
    late = getattr(cell, "peepholes", "output") == "output"
    sigmoid, loss = (lambda a: 1 / (1 + np.exp(-a))), 0
    h, c = state
    for t in range(STEPS):
        a = {name: x[t] @ W.T + h @ U.T + b for name, (W, U, b) in blocks.items()}
        i, old = sigmoid(a["i"] + p["i"] * c), c
        f = sigmoid(a["f"] + p["f"] * c) if "f" in a else 1 - i
        c = f * c + i * np.tanh(a["g"] + p["g"] * c) + nudge[t]
        h = sigmoid(a["o"] + p["o"] * (c if late else old)) * np.tanh(c)
        loss = loss + (h * dy[t]).sum()
    return loss + (h * dlast[0]).sum() + (c * dlast[1]).sum()


def previous_peepholes(*sizes, **options):
    return ur.PeepholeLSTM(*sizes, peepholes="previous", **options)


previous_peepholes.State = ur.LSTMState


@pytest.mark.parametrize("kind", [ur.LSTM, ur.PeepholeLSTM, previous_peepholes, ur.CoupledLSTM])
def test_gradient_of_c_has_the_path_through_h_too(kind):
    cell, x, state, _, trace = watched(kind, reverse=False)
    dy, dlast = weights_of_loss(trace.names)
    arrays = [part.data for part in state]
    found = trace.gradients()["c"]
    for index in np.ndindex(STEPS, ROWS, UNITS):
        nudge = np.zeros((STEPS, ROWS, UNITS), complex)
        nudge[index] = 1e-30j  # complex step: exact to rounding
        expected = lstm_loss(cell, x.data, arrays, dy, dlast, nudge).imag / 1e-30
        assert found[index] == pytest.approx(expected, rel=1e-10, abs=1e-13)


@pytest.mark.parametrize("case", UNEVEN)
@both_ways
@every_cell
def test_terms_add_up_to_the_gradient(kind, reverse, case):
    cell, _, _, _, trace = watched(kind, reverse, *UNEVEN[case])
    totals = {name: np.zeros(p.shape) for name, p in cell.parameters().items()}
    for t, k, gradients in diagnostics.gradient_terms(trace):
        assert (t <= k) if reverse else (k <= t)
        for name, gradient in gradients.items():
            totals[name] += gradient
    assert set(totals) >= {"W_ih", "W_hh", "b"}
    assert_gradients(cell, totals)


EVERY = [c for c in map(ur.__dict__.get, ur.__all__) if isinstance(c, type) and issubclass(c, ur.Recurrent)]


@pytest.mark.parametrize("kind", [c for c in EVERY if c is not ur.Recurrent], ids=lambda kind: kind.__name__)
def test_every_cell_can_be_watched(kind):
    rng = np.random.default_rng(0)
    cell = kind(UNITS, UNITS, dtype=np.float64, rng=rng)
    x = rng.standard_normal((STEPS, ROWS, UNITS))
    with diagnostics.watch(cell) as seen:
        y, last = cell(x, None, *UNEVEN["both"])
        backward(y, last, rng.standard_normal(y.shape), [rng.standard_normal(part.shape) for part in last])
    trace = seen.trace
    np.testing.assert_array_equal(trace.y, y.data)
    assert (trace.norms("h") > 0).all()
    assert_terms_add_up(cell, trace)


def test_terms_of_a_scalar_network_by_hand():
    """h[t] = w h[t-1] + x[t] with everything positive; L = h[3], so that the term of k is w^(3-k) h[k-1]."""
    cell = ur.RNN(1, 1, "relu", dtype=np.float64)
    cell.W_ih.data[...], cell.W_hh.data[...] = 1, 0.5
    x = np.array([1.0, 2, 3, 4]).reshape(4, 1, 1)
    with diagnostics.watch(cell) as seen:
        y, _ = cell(x)
        y[3].sum().backward()
    terms = {(t, k): gradients for t, k, gradients in diagnostics.gradient_terms(seen.trace)}
    assert set(terms) == {(3, 3), (3, 2), (3, 1), (3, 0)}
    h = [0, 1, 2.5, 4.25]  # h[k-1]
    for k in range(4):
        scale = 0.5 ** (3 - k)
        assert terms[3, k]["W_hh"].item() == scale * h[k]
        assert terms[3, k]["W_ih"].item() == scale * x[k].item()
        assert terms[3, k]["b"].item() == scale
    norms = diagnostics.term_norms(seen.trace)["b"]
    np.testing.assert_array_equal(norms.by_lag(), [1, 0.5, 0.25, 0.125])
    assert norms.share_beyond(1) == pytest.approx(0.375 / 1.875)
    assert norms.share_beyond(3) == 0


def test_layers_inside_a_model_by_name():
    rng = np.random.default_rng(0)
    inner = ur.Bidirectional(ur.GRU(3, 2, rng=rng), ur.RNN(3, 2, rng=rng))
    model = ur.Stack([inner, ur.LSTM(4, 5, rng=rng), ur.LSTM(5, 5, rng=rng)])
    x = rng.standard_normal((4, 2, 3)).astype(np.float32)
    model.freeze("*W_ih")
    with diagnostics.watch(model) as seen:
        y, _ = model(x)
        (y * y).sum().backward()
    names = list(seen.traces)
    assert len(names) == 4
    directions = [seen[name].reverse for name in names]
    assert directions == [False, True, False, False]
    for name in names:
        norms = seen[name].norms()
        assert norms.shape == (4,)
        assert (norms > 0).all()
        assert seen[name].gradients()["h"].dtype == np.float32
    assert {"h", "c"} == set(seen[names[3]].gradients())
    assert model.parameters()[f"{names[3]}.W_ih"].grad is None


def test_a_cell_is_watched_once_at_a_time():
    cell = ur.RNN(2, 3)
    x = np.zeros((4, 1, 2), np.float32)
    with diagnostics.watch(cell) as seen:
        with pytest.raises(RuntimeError, match="layer '' is being watched already"), diagnostics.watch(cell):
            pass
        cell(x)
    with diagnostics.watch(cell) as again:
        cell(x)
    assert len(seen.traces[""]) == len(again.traces[""]) == 1


def test_a_trace_keeps_the_parameters_of_the_call():
    cell, x, state = setting(ur.LSTM)
    with diagnostics.watch(cell) as seen:
        y, _ = cell(x, state)
        (y * y).sum().backward()
    expected = y.data.copy()
    for parameter in cell.parameters().values():
        parameter.data[...] = 0
    np.testing.assert_array_equal(seen.trace.y, expected)


@both_ways
@pytest.mark.parametrize("shape", [(), (STEPS,), (STEPS, ROWS)], ids=str)
def test_steps_of_unequal_length_are_kept(shape, reverse):
    cell, x, state = setting(ur.CTRNN)
    cell.tau.data[...] = 2
    dt = np.random.default_rng(3).uniform(0.1, 1, shape)
    with diagnostics.watch(cell) as seen:
        y, _ = cell(x, state, np.array([STEPS, 2, 4]), reverse=reverse, dt=dt)
        (y * y).sum().backward()
    trace = seen.trace
    np.testing.assert_array_equal(trace.y, y.data)
    totals = np.zeros(cell.W_hh.shape)
    for term in diagnostics.gradient_terms(trace):
        totals += term.gradients["W_hh"]
    np.testing.assert_allclose(totals, cell.W_hh.grad, rtol=1e-12, atol=1e-12)
    # tau dh/dt = -h + tanh(a), one Euler step of length dt.
    t, row = 1, 2
    a = x.data[t, row] @ cell.W_ih.data.T + trace.before["h"][t, row] @ cell.W_hh.data.T + cell.b.data
    k = np.broadcast_to(dt[:, None] if len(shape) == 1 else dt, (STEPS, ROWS))[t, row] / 2
    expected = (1 - k) * np.eye(UNITS) + k * (1 - np.tanh(a) ** 2)[:, None] * cell.W_hh.data
    np.testing.assert_allclose(diagnostics.step_jacobian(trace, t, row), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("steps", [0, 1])
def test_hardly_any_steps(steps):
    cell = ur.GRU(2, 3, dtype=np.float64)
    with diagnostics.watch(cell) as seen:
        _, last = cell(np.ones((steps, 2, 2)), cell.initial_state(2))
        if steps:
            last.h.sum().backward()
    if steps:
        assert seen.trace.norms().shape == (1,)
        assert len(list(diagnostics.gradient_terms(seen.trace))) == 1
    else:
        assert seen.trace.y.shape == (0, 2, 3)


def test_mistakes():
    cell = ur.GRU(2, 3)
    with pytest.raises(TypeError, match="watch: model is a list"), diagnostics.watch([cell]):
        pass
    with pytest.raises(ValueError, match="Linear has no recurrent layer"), diagnostics.watch(ur.Linear(2, 3)):
        pass
    x = np.ones((4, 1, 2), np.float32)
    with diagnostics.watch(cell) as seen:
        with pytest.raises(ValueError, match="ran 0 times"):
            _ = seen.trace
        cell(x)
        with pytest.raises(KeyError, match="no recurrent layer 'gru'"):
            seen["gru"]
        with pytest.raises(RuntimeError, match="no gradient has reached this GRU"):
            seen.trace.norms()
        cell(x)
        with pytest.raises(ValueError, match="ran 2 times"):
            seen[""]
    with diagnostics.watch(cell) as seen, ur.no_grad():
        cell(x)
    with pytest.raises(RuntimeError, match="no gradient has reached"):
        next(diagnostics.gradient_terms(seen.trace))
    with diagnostics.watch(cell) as seen:
        cell(x)[0].sum().backward()
    with pytest.raises(ValueError, match="no gradient of 'c', there are those of h"):
        seen.trace.norms("c")


def test_measures_name_what_is_no_trace_step_or_row():
    diagnostics, cell = ur.diagnostics, ur.RNN(3, 4)
    with diagnostics.watch(cell) as seen:
        cell(np.zeros((5, 2, 3), np.float32))
    for measure in (
        diagnostics.jacobian_norms, diagnostics.gate_values, diagnostics.saturation, diagnostics.term_norms,
        diagnostics.vanishing_gradient,
    ):  # fmt: skip
        with pytest.raises(TypeError, match=f"{measure.__name__}: trace is RNN, expected a call"):
            measure(cell)
    for row in (2, -1):
        with pytest.raises(ValueError, match=f"jacobian_norms: row is {row}, expected"):
            diagnostics.jacobian_norms(seen.trace, row=row)
    with pytest.raises(ValueError, match="step_jacobian: t is 5, expected 0 to 4"):
        diagnostics.step_jacobian(seen.trace, 5)
