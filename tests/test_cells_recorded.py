"""Calls with a tape the quick way: the bits, gradients and errors of the long way, which takes over where it must."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unrolled as ur
from cases import CASES, Case
from unrolled._native import core
from unrolled.cells import quick
from unrolled.tensor import tape_record

T, B, I, H = 4, 3, 5, 7


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What every quick call with a tape came to: its result, or None."""
    made: list[Any] = []
    new_recorder = quick.new_recorder

    def watched(cell: Any) -> Any:
        recorder = new_recorder(cell)
        if recorder is None:
            return None

        def call(*given: Any) -> Any:
            made.append(recorder[1](*given))
            return made[-1]

        cell._recorder = recorder[0], call
        return cell._recorder

    monkeypatch.setattr(quick, "new_recorder", watched)
    # Its calls are not those of a test.
    monkeypatch.setattr(ur.cells.Recurrent, "_warm_up", lambda cell: None)
    return made


def everything(cell: Any, x: np.ndarray, state: Any, reverse: bool) -> list[np.ndarray]:
    """y, the last state, and the gradients of x, the state and the parameters."""
    source = ur.Tensor(x, requires_grad=True)
    states = None if state is None else cell.State(*[ur.Tensor(s, requires_grad=True) for s in state])
    y, last = cell(source, states, reverse=reverse)
    loss = (y * y).sum()
    for s in last:
        loss = loss + (s * s * s).sum()
    loss.backward()
    leaves = [source, *(states or ()), *cell.parameters().values()]
    gradients = [leaf.grad for leaf in leaves]
    for leaf in leaves:
        leaf.grad = None
    return [np.array(y), *map(np.array, last), *[g for g in gradients if g is not None]]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("given", [False, True])
def test_the_same_bits_as_the_long_way(
    case: Case, given: bool, kernels: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    cell = case.new(I, H, rng=rng, dtype=np.float64)
    x = rng.standard_normal((T, B, I))
    state = [rng.uniform(0.1, 1, s.shape) for s in cell.initial_state(B)] if given else None
    ours = [everything(cell, x, state, reverse) for reverse in (False, True)]
    assert len(kernels) == 2 and None not in kernels
    monkeypatch.setattr(quick, "new_recorder", lambda cell: None)
    cell._recorder = None
    theirs = [everything(cell, x, state, reverse) for reverse in (False, True)]
    assert len(kernels) == 2
    for a, b in zip(ours[0] + ours[1], theirs[0] + theirs[1], strict=True):
        np.testing.assert_array_equal(a, b)


def test_parameters_may_change_and_be_replaced(kernels: list[Any]) -> None:
    cell, x = ur.LSTM(I, H, rng=np.random.default_rng(0)), np.ones((T, B, I), np.float32)
    before = np.array(cell(x)[0])
    cell.W_hh.data[...] *= 2
    changed = np.array(cell(x)[0])
    assert not np.array_equal(before, changed) and None not in kernels
    cell.W_hh = ur.Tensor(cell.W_hh.data / 2, requires_grad=True)
    y, _ = cell(x)
    np.testing.assert_array_equal(np.array(y), before)
    y.sum().backward()
    assert cell.W_hh.grad is not None and cell.W_hh.grad.any()
    vars(cell)["b"] = ur.Tensor(np.ones(4 * H, np.float32), requires_grad=True)  # past the cell's own notice
    assert not np.array_equal(np.array(cell(x)[0]), before)


def test_a_cell_without_bias_stays_quick(kernels: list[Any]) -> None:
    cell, x = ur.GRU(I, H, bias=False), np.ones((T, B, I), np.float32)
    for _ in range(2):
        cell(x)[0].sum().backward()
        with ur.no_grad():
            cell(x)
    assert len(kernels) == 2 and None not in kernels


class Shrunk(ur.RNN):
    """A network whose recurrent matrix is made anew for each call."""

    W: ur.Tensor

    @property
    def W_hh(self) -> ur.Tensor:  # type: ignore[override]
        return self.W * 0.5

    @W_hh.setter
    def W_hh(self, value: ur.Tensor) -> None:
        self.W = value


def test_parameters_may_be_computed(kernels: list[Any]) -> None:
    cell, plain = (make(I, H, rng=np.random.default_rng(0)) for make in (Shrunk, ur.RNN))
    x = np.ones((T, B, I), np.float32)
    cell(x)
    cell.W.data[...] *= 2
    (y, _), (expected, _) = cell(x), plain(x)
    np.testing.assert_array_equal(np.array(y), np.array(expected))
    for output in (y, expected):
        output.sum().backward()
    np.testing.assert_array_equal(cell.W.grad, plain.W_hh.grad / 2)
    assert None not in kernels


def test_only_wanted_gradients(kernels: list[Any]) -> None:
    cell, x = ur.GRU(I, H, rng=np.random.default_rng(0)), ur.Tensor(np.ones((T, B, I), np.float32))
    cell.W_ih.requires_grad = False
    cell(x)[0].sum().backward()
    assert cell.W_ih.grad is None and x.grad is None and cell.W_hh.grad is not None
    for parameter in cell.parameters().values():
        parameter.requires_grad = False
    assert not cell(x)[0].requires_grad
    h0 = ur.Tensor(np.zeros((B, H), np.float32), requires_grad=True)
    cell(x, (h0,))[0].sum().backward()
    assert h0.grad is not None and h0.grad.any() and len(list(filter(None, kernels))) == 2


@pytest.mark.parametrize(
    "cell",
    [
        ur.LSTM(I, H, recurrent_dropout=0.5),
        ur.LSTM(I, H, zoneout_c=0.1),
        ur.GRU(I, H, weight_dropout=0.2),
        ur.LSTM(I, H, gradient_clip=1e-3),
        ur.GRU(I, H, learn_initial_state=True),
        ur.RNN(I, H, recompute=2),
    ],
    ids=repr,
)
def test_what_needs_the_long_way_goes_it(cell: Any, kernels: list[Any]) -> None:
    cell(np.ones((T, B, I), np.float32))[0].sum().backward()
    assert not kernels and all(p.grad is not None for p in cell.parameters().values())


def test_rows_of_a_table_are_looked_up(kernels: list[Any]) -> None:
    table, cell = ur.Embedding(2, I), ur.RNN(I, H)
    y, _ = cell(table(np.zeros((T, B), np.int64)))
    y.sum().backward()
    assert kernels == [None] and table.parameters()["W"].grad is not None


def test_arguments_to_convert_or_to_complain_about(kernels: list[Any]) -> None:
    cell, x = ur.LSTM(I, H, rng=np.random.default_rng(0)), np.ones((T, B, 2 * I), np.float32)
    np.testing.assert_array_equal(np.array(cell(x[..., ::2])[0]), np.array(cell(x[..., :I].copy())[0]))
    assert kernels[0] is None and kernels[1] is not None
    with pytest.raises(ValueError, match="LSTM: x has shape"):
        cell(x)
    with pytest.raises(TypeError, match="LSTM: x has dtype"):
        cell(x[..., :I].astype(np.float64))
    with pytest.raises(ValueError, match="LSTM: state is a tuple of 1"):
        cell(x[..., :I].copy(), (np.zeros((B, H), np.float32),))
    with pytest.raises(TypeError, match="LSTM: state is"):
        cell(x[..., :I].copy(), [np.zeros((B, H), np.float32)] * 2)


def test_parameters_of_another_kind_are_refused(kernels: list[Any]) -> None:
    cell, x = ur.RNN(I, H), np.ones((T, B, I), np.float32)
    cell.W_ih = None
    with pytest.raises(ValueError, match="W_ih: an array is expected"):
        cell(x)
    cell.W_ih = ur.Tensor(np.ones((H, I)), requires_grad=True)
    with pytest.raises(TypeError, match="W_ih has dtype float64"):
        cell(x)
    with pytest.raises(TypeError, match="has dtype float64, expected float32"):
        cell(x.astype(np.float64))
    assert not any(kernels)


@pytest.mark.parametrize("bad", [None, 1, "abc", {}, np.ones((2, 3))], ids=repr)
def test_native_functions_refuse_other_types(bad: Any) -> None:
    cell, x = ur.RNN(I, H), np.ones((T, B, I), np.float32)
    assert cell(x)[0].requires_grad  # makes the recorder
    function = cell._recorder[1]
    assert function(bad, None, cell._weights(), False, None) is None
    if bad is not None:
        assert function(x, bad, cell._weights(), False, None) is None
        with pytest.raises(TypeError, match="expected: packed weights"):
            function(x, None, cell._weights(), False, bad)
        with pytest.raises(TypeError, match="neither a Tensor nor None"):
            function(x, None, [bad] * 3, False, None)
    with pytest.raises(TypeError, match="expected: x"):
        function(x, None, bad, False, None)
    with pytest.raises(TypeError, match="expected: x"):
        function(x, None)
    with pytest.raises(TypeError):
        core.Recorder("rnn_tanh", bad, [], tape_record, "RNN", cell.State)
    with pytest.raises((TypeError, ValueError)):
        core.Recorder("rnn_tanh", np.dtype(np.float32), [], bad, "RNN", cell.State)
    with pytest.raises(TypeError):
        core.Recorder("rnn_tanh", np.dtype(np.float32), [], tape_record, "RNN", bad)


def test_backward_runs_once() -> None:
    y, _ = ur.RNN(I, H)(np.ones((T, B, I), np.float32))
    vjp, gradient = y._node.vjp, np.ones(y.shape, np.float32)
    dx, dh, *weights = vjp([gradient[:, ::-1], None])
    assert dx is None and dh is None and [w.shape for w in weights] == [(H, I), (H, H), (H,)]
    with pytest.raises(RuntimeError, match="has run already"):
        vjp([gradient, None])
    with pytest.raises(RuntimeError, match="has run already"):
        y.sum().backward()


def test_gradients_are_counted() -> None:
    vjp = ur.RNN(I, H)(np.ones((T, B, I), np.float32))[0]._node.vjp
    with pytest.raises(ValueError, match="gradients"):
        vjp([np.ones((T, B, H), np.float32)])
    with pytest.raises(ValueError, match="gradients"):
        vjp([])
    with pytest.raises(TypeError, match="a list of gradients"):
        vjp(None)
    with pytest.raises(ValueError, match="gradient: an array is expected"):
        vjp([[[1]], None])
    with pytest.raises(MemoryError):  # in the copy that would be contiguous
        vjp([np.broadcast_to(np.float32(1), (10**7, 10**7, H)), None])
