"""Options of single cells, what `inspect` shows, and layer normalisation against a loop in PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unrolled as ur
from cases import CASES, VARIANTS, Case
from peers import require
from reference import assert_same_bits, forward, gradients, problem


@pytest.mark.parametrize("case", CASES, ids=str)
def test_inspect_gives_the_call_and_its_states(case: Case) -> None:
    p = problem(case, (5, 4, 3, 19), lengths=True, reset=True)
    y, state = forward(p)
    seen = p.cell.inspect(p.x, p.cell.State(*p.state), p.lengths, p.reset)
    assert_same_bits(seen.y, y)
    assert_same_bits(tuple(seen.state), state)
    assert tuple(seen.states) == case.states
    for name, last in zip(case.states, state, strict=True):
        for row, n in enumerate(p.lengths):
            assert not seen.states[name][n:, row].any()
            if n:
                assert_same_bits(seen.states[name][n - 1, row], last[row])
    assert all(values.shape == (5, 4, 19) for values in seen.gates.values())


def test_inspect_shows_the_gates() -> None:
    p = problem(next(c for c in CASES if c.name == "LSTM"), (4, 3, 5, 17))
    seen = p.cell.inspect(p.x, p.cell.State(*p.state))
    i, f, g, o = (seen.gates[name] for name in "ifgo")
    before = np.concatenate([p.state[1][None], seen.states["c"][:-1]])
    np.testing.assert_allclose(seen.states["c"], f * before + i * g, rtol=0, atol=1e-14)
    np.testing.assert_allclose(seen.y, o * np.tanh(seen.states["c"]), rtol=0, atol=1e-14)
    p = problem(next(c for c in CASES if c.name == "GRU"), (4, 3, 5, 17))
    seen = p.cell.inspect(p.x, p.cell.State(*p.state))
    z, n = seen.gates["z"], seen.gates["n"]
    before = np.concatenate([p.state[0][None], seen.y[:-1]])
    np.testing.assert_allclose(seen.y, (1 - z) * n + z * before, rtol=0, atol=1e-14)
    assert ((seen.gates["r"] > 0) & (seen.gates["r"] < 1)).all()


@pytest.mark.parametrize("pooling", ["f", "fo", "ifo"])
def test_the_convolution_of_a_qrnn_sees_its_window_and_nothing_after(pooling: str) -> None:
    cell = ur.QRNN(3, 17, pooling=pooling, width=3, dtype=np.float64, rng=np.random.default_rng(1))
    x = np.random.default_rng(0).normal(size=(9, 2, 3))
    moved = x.copy()
    moved[4] += 1
    gates, others = (cell.inspect(values).gates for values in (x, moved))
    for name in cell.gates:
        differ = np.abs(gates[name] - others[name]).max(axis=(1, 2)) > 0
        assert differ.tolist() == [4 <= t < 7 for t in range(9)], name


@pytest.mark.parametrize("pooling", ["f", "fo"])
def test_zoneout_of_a_qrnn_sets_f_to_one(pooling: str) -> None:
    """Equation 8 of the paper: F = 1 - dropout(1 - sigmoid(W_f * X))."""
    cell = ur.QRNN(3, 17, pooling=pooling, zoneout_c=0.4, dtype=np.float64, rng=np.random.default_rng(1))
    x = np.random.default_rng(0).normal(size=(9, 2, 3))
    seen = cell.inspect(x)  # draws masks, as training does
    z, f, c = seen.gates["z"], seen.gates["f"], seen.states["c"]
    before = np.concatenate([np.zeros((1, 2, 17)), c[:-1]])
    kept = c == before
    assert 0.25 < kept.mean() < 0.55  # of 306 units
    np.testing.assert_allclose(
        c, np.where(kept, 1, f) * before + np.where(kept, 0, 1 - f) * z, rtol=0, atol=1e-14
    )


def test_the_two_forms_of_the_elman_network_agree() -> None:
    """From a state that is the nonlinearity of the other's, the outputs are equal."""
    rng = np.random.default_rng(0)
    post, pre = (
        ur.RNN(3, 17, state=s, dtype=np.float64, rng=np.random.default_rng(1)) for s in ("post", "pre")
    )
    x, h = rng.normal(size=(6, 4, 3)), rng.normal(size=(4, 17))
    np.testing.assert_allclose(
        np.asarray(post(x, (np.tanh(h),))[0]), np.asarray(pre(x, (h,))[0]), rtol=0, atol=1e-14
    )


def test_a_leaky_network_without_leak_is_elmans() -> None:
    leaky = ur.LeakyRNN(3, 17, decay=0.0, gain=1.0, dtype=np.float64, rng=np.random.default_rng(1))
    elman = ur.RNN(3, 17, dtype=np.float64, rng=np.random.default_rng(1))
    x = np.random.default_rng(2).normal(size=(6, 4, 3))
    np.testing.assert_allclose(np.asarray(leaky(x)[0]), np.asarray(elman(x)[0]), rtol=0, atol=1e-14)


def test_fixed_leaks_are_not_trained() -> None:
    cell = ur.LeakyRNN(3, 5, a="unit", s="matrix", learned=False)
    y, _ = cell(np.ones((2, 1, 3), np.float32))
    y.sum().backward()
    assert cell.a.grad is None
    assert cell.s.grad is None
    assert cell.W_hh.grad is not None


@pytest.mark.parametrize("case", [c for c in VARIANTS if c.name.endswith("-new")], ids=str)
def test_the_two_conventions_of_the_update_gate_are_relabellings(case: Case) -> None:
    p = problem(case, (4, 3, 5, 17))
    keep = getattr(ur, case.cell)(5, 17, dtype=np.float64)
    for name, parameter in p.cell.parameters().items():
        values = np.asarray(parameter).copy()
        if name != "b_hn":
            values[17:34] *= -1
        keep.parameters()[name].data[...] = values
    assert_same_bits(np.asarray(keep(p.x, keep.State(*p.state))[0]), forward(p)[0])


WRONG: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("LSTM", {"cell_clip": 0}, ValueError, "LSTM: cell_clip is 0, expected a number above 0"),
    ("LSTM", {"activations": "tanh"}, TypeError, "LSTM: activations is a str, expected a mapping"),
    ("LSTM", {"activations": {"x": "tanh"}}, ValueError, "LSTM: activations has 'x', expected i, f, g, o, h"),
    (
        "LSTM",
        {"activations": {"i": "gelu"}},
        ValueError,
        "activations\\['i'\\] is 'gelu', expected one of sigmoid",
    ),
    ("RNN", {"state": "both"}, ValueError, "RNN: state is 'both', expected one of post, pre"),
    ("GRU", {"update": "old"}, ValueError, "GRU: update is 'old', expected one of keep, new"),
    ("PeepholeLSTM", {"peepholes": 1}, TypeError, "PeepholeLSTM: peepholes is a int, expected one of output"),
    ("QRNN", {"pooling": "of"}, ValueError, "QRNN: pooling is 'of', expected one of f, fo, ifo"),
    ("QRNN", {"width": 0}, ValueError, "QRNN: width is 0, expected at least 1"),
    ("Jordan", {"output_size": 0}, ValueError, "Jordan: output_size is 0, expected at least 1"),
    ("ProjectedLSTM", {"projection_size": 2.0}, TypeError, "ProjectedLSTM: projection_size is a float"),
    ("RecurrentHighway", {"depth": 6}, ValueError, "RecurrentHighway: depth is 6, expected 1 to 5"),
    ("LeakyRNN", {"a": "row"}, ValueError, "LeakyRNN: a is 'row', expected one of scalar, unit, matrix"),
    ("CTRNN", {"tau": -1.0}, ValueError, "CTRNN: tau is -1.0, expected a number above 0"),
    ("CTRNN", {"method": "heun"}, ValueError, "CTRNN: method is 'heun', expected one of euler, exponential"),
    ("BistableGRU", {"recurrent": "full"}, ValueError, "BistableGRU: recurrent is 'full', expected one of"),
]


@pytest.mark.parametrize(("cell", "options", "error", "message"), WRONG)
def test_wrong_options(cell: str, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        getattr(ur, cell)(3, 4, **options)


@pytest.mark.peer
@pytest.mark.parametrize("name", ["LayerNormRNN", "LayerNormLSTM", "LayerNormGRU"])
def test_layer_normalised_cells_agree_with_a_loop_in_torch(name: str) -> None:
    torch = require("torch")
    p = problem(next(c for c in CASES if c.name == name), (6, 5, 4, 33))
    q = {n: torch.from_numpy(np.array(a)).requires_grad_() for n, a in p.quantities.items()}
    norm = torch.nn.functional.layer_norm
    H = 33
    state = [q[n + "0"] for n in p.case.states]
    outputs = []
    for x in q["x"]:
        a, u = x @ q["W_ih"].T, state[0] @ q["W_hh"].T
        if name == "LayerNormGRU":
            a, u = (torch.cat([norm(s[:, : 2 * H], (2 * H,)), norm(s[:, 2 * H :], (H,))], 1) for s in (a, u))
            (a_r, a_z, a_n), (u_r, u_z, u_n) = (
                (a * q["g_ih"] + q["b"]).chunk(3, 1),
                (u * q["g_hh"]).chunk(3, 1),
            )
            z = torch.sigmoid(a_z + u_z)
            n = torch.tanh(a_n + torch.sigmoid(a_r + u_r) * (u_n + q["b_hn"]))
            state = [(1 - z) * n + z * state[0]]
        else:
            gates = norm(a, a.shape[1:]) * q["g_ih"] + norm(u, u.shape[1:]) * q["g_hh"] + q["b"]
            if name == "LayerNormLSTM":
                i, f, g, o = gates.chunk(4, 1)
                c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
                state = [torch.sigmoid(o) * torch.tanh(norm(c, (H,)) * q["g_c"] + q["b_c"]), c]
            else:
                state = [torch.tanh(gates)]
        outputs.append(state[0])
    y = torch.stack(outputs)
    assert np.abs(forward(p)[0] - y.detach().numpy()).max() < 1e-12
    loss = (y * torch.from_numpy(p.dy)).sum()
    loss = loss + sum((s * torch.from_numpy(d)).sum() for s, d in zip(state, p.dstate, strict=True))
    loss.backward()
    for n, gradient in gradients(p).items():
        # Sums of 30 places of order one.
        np.testing.assert_allclose(gradient, q[n].grad.numpy(), rtol=0, atol=1e-11, err_msg=n)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_unknown_option_says_what_to_use(case: Case) -> None:
    cell = getattr(ur, case.cell)
    for option, answer in (
        ("num_layers", r"use ur.Stack\(\[...\]\)"),
        ("bidirectional", "use ur.Bidirectional"),
        ("batch_first", r"x is \(time, batch, features\)"),
        ("hidden_sizes", r"did you mean hidden_size\?"),
        ("q", "there are input_size, hidden_size, .*dtype, rng.*, recompute"),
    ):
        with pytest.raises(TypeError, match=f"^{case.cell}: there is no option {option}; {answer}"):
            cell(3, 4, **{option: 2})


def test_a_class_of_a_user_may_have_options_of_its_own() -> None:
    class Named(ur.LSTM):
        def __init__(self, *sizes: int, **options: Any) -> None:
            self.name = options.pop("name")
            super().__init__(*sizes, **options)

    assert Named(3, 4, name="a", forget_bias=2.0).forget_bias == 2
