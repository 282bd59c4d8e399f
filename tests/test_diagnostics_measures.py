"""Jacobians, spectra, gates and the regularizer against formulas written out; pictures are drawn."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import unrolled as ur
from unrolled import diagnostics
from unrolled.diagnostics.jacobians import power_iteration, spectral_norm

SLOPES = {"tanh": lambda h: 1 - h**2, "sigmoid": lambda h: h * (1 - h), "relu": lambda h: (h > 0) * 1.0}


def run(cell, steps=7, rows=3, seed=0, **options):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((steps, rows, cell.input_size)).astype(cell.dtype)
    weights = rng.standard_normal((steps, rows, cell.hidden_size)).astype(cell.dtype)
    with diagnostics.watch(cell) as seen:
        y, _ = cell(x, **options)
        (y * weights).sum().backward()
    return seen.trace


def cell_of(kind, *arguments, seed=0, inputs=2, units=4):
    rng = np.random.default_rng(seed)
    cell = kind(inputs, units, *arguments, dtype=np.float64, rng=rng)
    for parameter in cell.parameters().values():
        parameter.data += 0.3 * rng.standard_normal(parameter.shape)
    return cell


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("nonlinearity", SLOPES)
def test_jacobians_of_elman_networks(nonlinearity, reverse):
    cell = cell_of(ur.RNN, nonlinearity)
    trace = run(cell, reverse=reverse)
    for row in (0, 2):
        product, expected = np.eye(4), np.empty(7)
        for t in reversed(trace.order):
            expected[t] = np.linalg.norm(product, 2)
            slopes = SLOPES[nonlinearity](trace.y[t, row])
            step = slopes[:, None] * cell.W_hh.data
            # 1e-12: products of float64 in another order.
            np.testing.assert_allclose(diagnostics.step_jacobian(trace, t, row), step, rtol=1e-12)
            product = product @ step
        np.testing.assert_allclose(diagnostics.jacobian_norms(trace, row=row), expected, rtol=1e-12)
    lags = np.abs(np.arange(7) - list(trace.order)[-1])
    assert (expected <= diagnostics.jacobian_bound(cell, lags) * (1 + 1e-12)).all()


def test_the_bound_is_reached_where_nothing_is_squashed():
    cell = ur.RNN(2, 5, dtype=np.float64, rng=np.random.default_rng(0))  # orthogonal W_hh
    cell.W_hh.data *= 0.9
    with diagnostics.watch(cell) as seen:
        cell(np.zeros((30, 1, 2)))
    lags = np.arange(29, -1, -1)
    np.testing.assert_allclose(diagnostics.jacobian_norms(seen.trace), 0.9**lags, rtol=1e-12)
    np.testing.assert_allclose(diagnostics.jacobian_bound(cell, lags), 0.9**lags, rtol=1e-12)


@pytest.mark.parametrize("state", ["h", "c", "all"])
def test_jacobians_of_an_lstm_by_differences(state):
    cell = cell_of(ur.LSTM)
    trace = run(cell)
    start, at, size = 2, 5, 4
    joined = np.concatenate([trace.after["h"][start, 1], trace.after["c"][start, 1]])
    jacobian = np.empty((8, 8))
    for place in range(8):
        ends = []
        for sign in (1, -1):
            moved = joined.copy()
            moved[place] += sign * 1e-6
            given = ur.LSTMState(moved[None, :size], moved[None, size:])
            _, last = cell(trace.x[start + 1 : at + 1, 1:2], given)
            ends.append(np.concatenate([last.h.data[0], last.c.data[0]]))
        jacobian[:, place] = (ends[0] - ends[1]) / 2e-6
    part = {"h": slice(0, 4), "c": slice(4, 8), "all": slice(None)}[state]
    norms = diagnostics.jacobian_norms(trace, at=at, row=1, state=state)
    # Central differences with step 1e-6: rounding of 1e-16 / 1e-6.
    assert norms[start] == pytest.approx(np.linalg.norm(jacobian[part, part], 2), rel=1e-7)
    assert norms[at] == 1
    assert np.isnan(norms[at + 1 :]).all()


def test_jacobians_end_at_resets_and_skip_padding():
    cell = cell_of(ur.GRU)
    reset = np.zeros((7, 3), bool)
    reset[4, 0] = True
    norms = diagnostics.jacobian_norms(run(cell, reset=reset))
    assert (norms[:4] == 0).all()
    assert (norms[4:] > 0).all()
    padded = diagnostics.jacobian_norms(run(cell, lengths=np.array([7, 4, 7])), row=1)
    np.testing.assert_array_equal(padded[3:], 1)
    assert padded[2] != 1


def test_power_iteration_finds_the_norm():
    rng = np.random.default_rng(0)
    for shape in ((300, 300), (270, 400)):
        matrix = rng.standard_normal(shape)
        exact = np.linalg.norm(matrix, 2)
        # It stops when an iteration adds less than 1e-9; close singular values leave a part of the way undone.
        assert power_iteration(matrix) == pytest.approx(exact, rel=1e-5)
        assert spectral_norm(matrix) == power_iteration(matrix)
    assert power_iteration(np.zeros((3, 3))) == 0


def test_spectrum_of_known_blocks():
    cell = ur.GRU(1, 2, dtype=np.float64)
    turn = 0.9 * np.array([[np.cos(1), -np.sin(1)], [np.sin(1), np.cos(1)]])
    cell.W_hh.data[...] = np.concatenate([turn, [[0.5, 10], [0, 0.5]], np.diag([-2, 1])])
    found = diagnostics.spectrum(cell)
    assert list(found) == ["r", "z", "n"]
    assert found["r"].radius == pytest.approx(0.9)
    np.testing.assert_allclose(found["r"].singular_values, [0.9, 0.9])
    # A defective matrix: its double eigenvalue is known to the root of the rounding only.
    assert found["z"].radius == pytest.approx(0.5, abs=1e-6)
    assert found["z"].singular_values[0] > 10
    np.testing.assert_allclose(np.sort(found["n"].eigenvalues.real), [-2, 1])


def test_spectrum_of_blocks_that_are_not_one_for_each_gate():
    highway = ur.RecurrentHighway(1, 2, depth=2, dtype=np.float64)
    highway.W_hh.data[...] = np.concatenate([scale * np.eye(2) for scale in (1, 2, 3, 4)])
    assert {name: part.radius for name, part in diagnostics.spectrum(highway).items()} == {
        "n_1": 1, "t_1": 2, "n_2": 3, "t_2": 4,
    }  # fmt: skip
    assert list(diagnostics.spectrum(ur.RecurrentHighway(1, 2, depth=1))) == ["n", "t"]
    assert list(diagnostics.spectrum(ur.BistableGRU(1, 3, recurrent="matrix"))) == ["a", "c"]
    assert list(diagnostics.spectrum(ur.LeakyRNN(1, 3, a="matrix"))) == ["g"]
    for cell in (
        ur.IndRNN(1, 3),
        ur.SRU(1, 3),
        ur.MinimalGRU(1, 3),
        ur.BistableGRU(1, 3),
        ur.MultiplicativeLSTM(1, 3),
    ):
        with pytest.raises(ValueError, match=f"spectrum: {type(cell).__name__} has no W_hh, expected"):
            diagnostics.spectrum(cell)
    with pytest.raises(
        ValueError, match=r"spectrum: W_hh of Jordan has shape \(4, 2\), expected square blocks"
    ):
        diagnostics.spectrum(ur.Jordan(1, 4, output_size=2))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    "kind", [ur.RNN, ur.LSTM, ur.PeepholeLSTM, ur.CoupledLSTM, ur.GRU, ur.GRUResetBefore]
)
def test_gates_make_the_states(kind, reverse):
    cell = cell_of(kind)
    reset = np.random.default_rng(1).random((7, 3)) < 0.3
    trace = run(cell, reset=reset, reverse=reverse)
    values = diagnostics.gate_values(trace)
    v = {name: gate.values for name, gate in values.gates.items()}
    assert tuple(v) == cell.gates
    cut = np.zeros_like(reset)
    if reverse:
        cut[:-1] = reset[1:]
    else:
        cut = reset
    before = {name: np.where(cut[..., None], 0, array) for name, array in trace.before.items()}
    if kind is ur.RNN:
        h = v["h"]
    elif "c" in before:
        c = v.get("f", 1 - v["i"]) * before["c"] + v["i"] * v["g"]
        np.testing.assert_allclose(c, trace.after["c"], rtol=1e-11)
        h = v["o"] * np.tanh(c)
    else:
        h = (1 - v["z"]) * v["n"] + v["z"] * before["h"]
    np.testing.assert_allclose(h, trace.y, rtol=1e-11, atol=1e-14)


def test_saturation_of_gates_held_open_and_shut():
    cell = cell_of(ur.LSTM)
    i, f, g, o = cell.b.data.reshape(4, 4)
    i[...], f[...], g[...], o[...] = -50, 50, [-50, 50, 0, 0], 0
    cell.W_ih.data[...] = cell.W_hh.data[...] = 0
    found = diagnostics.saturation(run(cell, lengths=np.array([7, 1, 0])))
    np.testing.assert_array_equal(found.low["i"], 1)
    np.testing.assert_array_equal(found.high["f"], 1)
    np.testing.assert_array_equal(found.low["g"], [1, 0, 0, 0])
    np.testing.assert_array_equal(found.high["g"], [0, 1, 0, 0])
    assert not found.low["o"].any()
    assert not found.high["o"].any()
    relu = cell_of(ur.RNN, "relu")
    trace = run(relu)
    np.testing.assert_allclose(diagnostics.saturation(trace).low["h"], (trace.y == 0).mean(axis=(0, 1)))


def test_mistakes():
    lstm, rnn = cell_of(ur.LSTM), cell_of(ur.RNN)
    with pytest.raises(TypeError, match="vanishing_gradient: the trace is of LSTM, expected an RNN"):
        diagnostics.vanishing_gradient(run(lstm))
    with pytest.raises(ValueError, match="reduction is 'none'"):
        diagnostics.vanishing_gradient(run(rnn), reduction="none")
    with pytest.raises(TypeError, match="vanishing_gradient: reduction is None, expected one of sum, mean"):
        diagnostics.vanishing_gradient(run(rnn), reduction=None)
    with pytest.raises(TypeError, match="jacobian_bound: cell is a LSTM"):
        diagnostics.jacobian_bound(lstm, 3)
    with pytest.raises(ValueError, match="at is 7, expected a step from 0 to 6"):
        diagnostics.jacobian_norms(run(rnn), at=7)
    with pytest.raises(ValueError, match="state is 'c', expected one of h, all"):
        diagnostics.jacobian_norms(run(rnn), state="c")
    with pytest.raises(TypeError, match="spectrum: cell is a Linear"):
        diagnostics.spectrum(ur.Linear(2, 2))
    with pytest.raises(ValueError, match="plot_terms: parameter is 'W', expected one of W_ih, W_hh, b"):
        diagnostics.plot_terms(run(rnn), "W")
    with pytest.raises(TypeError, match="plot_gradient_norms: traces is Trace"):
        diagnostics.plot_gradient_norms(run(rnn))
    with pytest.raises(ValueError, match="no traces"):
        diagnostics.plot_jacobian_norms({})

    class Unknown(ur.GRU):
        pass

    with pytest.raises(
        ValueError, match=r"no formula for Unknown, there are those of .*GRU, GRUD, GRUResetBefore"
    ):
        diagnostics.saturation(run(Unknown(2, 3)))


def plots():
    rnn, lstm = run(cell_of(ur.RNN), steps=20), run(cell_of(ur.LSTM), steps=20, reverse=True)
    return {
        "gradient norms": (lambda: diagnostics.plot_gradient_norms({"Elman": rnn, "LSTM": lstm}), 1),
        "jacobians": (lambda: diagnostics.plot_jacobian_norms({"Elman": rnn, "LSTM": lstm}), 1),
        "spectrum": (lambda: diagnostics.plot_spectrum(lstm.cell), 2),
        "saturation": (lambda: diagnostics.plot_saturation(lstm), 4),
        "terms": (lambda: diagnostics.plot_terms(rnn), 3),  # the third is the bar of colours
        "vanishing": (lambda: diagnostics.plot_vanishing_gradient({"Elman": rnn}), 1),
    }


@pytest.mark.parametrize("name", plots())
def test_plots_are_figures_with_lines(name, tmp_path):
    figure_type = pytest.importorskip("matplotlib.figure").Figure
    draw, axes = plots()[name]
    figure = draw()
    assert isinstance(figure, figure_type)
    assert len(figure.axes) == axes
    drawn = [line.get_ydata() for part in figure.axes for line in part.lines]
    assert any(np.isfinite(values).any() for values in drawn)
    figure.savefig(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 5000


def test_without_matplotlib_a_plot_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'plot_spectrum needs matplotlib: .* "unrolled\[train\]"'):
        diagnostics.plot_spectrum(cell_of(ur.RNN))
