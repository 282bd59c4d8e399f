"""Cells that PyTorch or ONNX Runtime also have: values, gradients, training steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unrolled as ur
from cases import CASES, Case
from peers import onnx_session, require, torch_layer, torch_parameters, torch_state
from reference import Problem, forward, gradients, problem

pytestmark = pytest.mark.peer

IN_TORCH = [case for case in CASES if case.torch]
IN_ONNX = [case for case in CASES if case.onnx]
SHAPES = [(1, 1, 1, 1), (7, 17, 3, 33), (7, 1, 33, 64), (5, 40, 9, 20), (20, 4, 32, 128)]
Shape = tuple[int, int, int, int]


def bound(dtype: Any, T: int, I: int, H: int) -> float:
    """Two computations that sum in different orders: as in test_cells_values.py, twice 16 for two sides."""
    return float(32 * np.finfo(dtype).eps * np.sqrt(T * (I + H)))


def assert_close(actual: Any, wanted: Any, size: float, what: str) -> None:
    a, w = np.asarray(actual), np.asarray(wanted)
    assert a.shape == w.shape, what
    assert np.abs(a - w).max(initial=0) <= size * max(1, np.abs(w).max(initial=0)), what


def run_torch(p: Problem, layer: Any) -> tuple[Any, Any, Any, Any]:
    """x, initial states, y and final states as torch tensors; packed where the problem has lengths."""
    torch = require("torch")
    x = torch.from_numpy(p.x.copy()).requires_grad_()
    start = torch_state(p.case, p.state, requires_grad=True)
    if p.lengths is None:
        y, after = layer(x, start)
    else:
        pack = torch.nn.utils.rnn.pack_padded_sequence(x, p.lengths, enforce_sorted=False)
        y, after = layer(pack, start)
        y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, total_length=p.x.shape[0])
    single = len(p.case.states) == 1
    return x, (start,) if single else start, y, (after,) if single else after


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("lengths", [False, True], ids=["full", "lengths"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("case", "shape"),
    # torch projects to fewer units only
    [(c, s) for c in IN_TORCH for s in SHAPES if c.cell != "ProjectedLSTM" or c.output(s[-1]) < s[-1]],
    ids=str,
)
def test_values_and_gradients_of_torch(
    case: Case, shape: Shape, dtype: type, bias: bool, lengths: bool
) -> None:
    torch = require("torch")
    p = problem(case, shape, dtype, bias=bias, lengths=lengths)
    if lengths:
        p.lengths[p.lengths == 0] = 1  # torch cannot pack an empty sequence
    layer = torch_layer(case, p.cell)
    x, start, y_torch, after_torch = run_torch(p, layer)
    T, B, I, H = shape
    size = bound(dtype, T, I, H)
    y, after = forward(p)
    assert_close(y, y_torch.detach(), size, "y")
    for name, s, s_torch in zip(case.states, after, after_torch, strict=True):
        assert_close(s, s_torch.detach()[0], size, name)

    loss = (y_torch * torch.from_numpy(p.dy)).sum()
    for s_torch, d in zip(after_torch, p.dstate, strict=True):
        loss = loss + (s_torch[0] * torch.from_numpy(d)).sum()
    loss.backward()
    ours = gradients(p)
    wanted = {**torch_parameters(p.cell, layer, gradients=True), "x": x.grad}
    wanted.update({n + "0": s.grad[0] for n, s in zip(case.states, start, strict=True)})
    assert ours.keys() == wanted.keys()
    # Gradients of parameters sum T * B products more, and the way back is as long as the way there.
    for name, gradient in wanted.items():
        assert_close(ours[name], gradient, bound(dtype, 2 * T, I, 4 * H + B), name)


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
@pytest.mark.parametrize("case", IN_TORCH, ids=str)
def test_ten_optimizer_steps_of_torch(case: Case, optimizer: str) -> None:
    torch = require("torch")
    p = problem(case, (6, 9, 5, 17), np.float64)
    layer = torch_layer(case, p.cell)
    trained = [q for q in layer.parameters() if q.requires_grad]
    theirs = getattr(torch.optim, optimizer)(trained, lr=0.01)
    ours = getattr(ur, optimizer)(p.cell.parameters(), lr=0.01)
    target = np.random.default_rng(4).normal(size=p.dy.shape)
    losses = []
    for _ in range(10):
        y, _ = p.cell(p.x, p.cell.State(*p.state))
        loss = ((y - ur.Tensor(target)) * (y - ur.Tensor(target))).mean()
        ours.zero_grad()
        loss.backward()
        ours.step()
        y_torch, _ = layer(torch.from_numpy(p.x), torch_state(case, p.state))
        loss_torch = ((y_torch - torch.from_numpy(target)) ** 2).mean()
        theirs.zero_grad()
        loss_torch.backward()
        theirs.step()
        losses.append(loss.item())
        # Adam divides by the root of a square: a relative error of a small gradient stays a relative error.
        assert abs(loss.item() - loss_torch.item()) < 1e-9
    assert losses[-1] < losses[0]
    for name, wanted in torch_parameters(p.cell, layer).items():
        assert_close(p.cell.parameters()[name], wanted, 1e-8, name)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("lengths", [False, True], ids=["full", "lengths"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("case", IN_ONNX, ids=str)
def test_values_of_onnx_runtime(case: Case, shape: Shape, lengths: bool, reverse: bool) -> None:
    p = problem(case, shape, np.float32, lengths=lengths, reverse=reverse)
    session = onnx_session(case, p.cell, reverse=reverse, lengths=lengths)
    feed = {"X": p.x, **{f"initial_{n}": s[None] for n, s in zip(case.states, p.state, strict=True)}}
    if lengths:
        p.lengths[p.lengths == 0] = (
            1  # ONNX Runtime gives zeros, not the initial state, after an empty sequence
        )
        feed["lengths"] = p.lengths.astype(np.int32)
    y_wanted, *after_wanted = session.run(None, feed)
    y, after = forward(p)
    T, _, I, H = shape
    # ONNX Runtime's sigmoid and tanh are rational approximations, good to about 1e-6 a step.
    size = bound(np.float32, T, I, H) + 2e-6 * np.sqrt(T)
    assert_close(y, y_wanted[:, 0], size, "y")
    for name, s, wanted in zip(case.states, after, after_wanted, strict=True):
        assert_close(s, wanted[0], size, name)


def test_the_two_biases_of_torch_are_one() -> None:
    """b_ih + b_hh of torch, for the gates whose recurrent part is not multiplied by a reset."""
    torch = require("torch")
    case = next(c for c in CASES if c.name == "GRU")
    p = problem(case, (3, 2, 4, 5))
    layer = torch_layer(case, p.cell)
    with torch.no_grad():
        layer.bias_hh_l0[:10] = torch.arange(10) * 0.1
        layer.bias_ih_l0[:10] -= torch.arange(10) * 0.1
        y, _ = layer(torch.from_numpy(p.x), torch_state(case, p.state))
    assert_close(forward(p)[0], y, 1e-12, "y")
