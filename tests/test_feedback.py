"""Outputs fed back as inputs, in C++ and step by step: against the equations, for every cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import steps
import steps_more as more
import unrolled as ur
from cases import CASES, Case, randomize
from reference import assert_same_bits
from unrolled.cells import feedback
from unrolled.patterns import many_to_one_to_many, one_to_many

T, B, I, H = 5, 3, 2, 6
TINY = 1e-30  # of complex steps: exact to rounding
PHI = {
    "identity": more.identity,
    "sigmoid": steps.sigmoid,
    "hard_sigmoid": more.hard_sigmoid,
    "tanh": np.tanh,
    "relu": steps.relu,
    "softsign": more.softsign,
}
# Their kernels cannot be fed back: the output is narrower than the units, or not the state, or inputs are normalised,
# or calls have an argument of their own (CTRNN), or the cell makes what W_ih multiplies (QRNN, GRUD).
STEP_BY_STEP = {"Jordan", "ProjectedLSTM", "SRU", "RNN-pre", "CTRNN", "QRNN", "GRUD"} | {
    f"LayerNorm{kind}" for kind in ("RNN", "LSTM", "GRU")
}


def names(calls: list[Any]) -> list[str]:
    return [call.name for call in calls]


LSTM = next(case for case in CASES if case.name == "LSTM")


class Problem:
    def __init__(self, case: Case, dtype: Any = np.float64, bias: bool = True, **options: Any) -> None:
        rng = np.random.default_rng(0)
        self.case = case
        self.cell = case.make(I, H, dtype, bias=bias, **options)
        self.output = ur.Linear(self.cell.output_size, I, bias=bias, dtype=dtype, rng=rng)
        for name, parameter in self.output.parameters().items():
            randomize(parameter, rng, name)
        self.x = ur.Tensor(rng.standard_normal((B, I)).astype(dtype), requires_grad=True)
        arrays = [rng.standard_normal(s.shape).astype(dtype) for s in self.cell.initial_state(B)]
        names = self.cell.State._fields
        arrays = [np.abs(a) + 0.5 if n in case.positive else a for n, a in zip(names, arrays, strict=True)]
        self.state = self.cell.State(*(ur.Tensor(a, requires_grad=True) for a in arrays))
        self.dy = rng.standard_normal((T, B, I)).astype(dtype)
        self.dlast = [rng.standard_normal(a.shape).astype(dtype) for a in arrays]

    def tensors(self) -> dict[str, Any]:
        states = {f"{name}0": s for name, s in self.state._asdict().items()}
        parts = {"cell": self.cell, "output": self.output}
        parameters = {f"{k}.{n}": p for k, part in parts.items() for n, p in part.parameters().items()}
        return {"x": self.x, **states, **parameters}

    def run(self, fed: Any = "tanh", steps: int = T) -> Any:
        return one_to_many(self.cell, self.x, steps, state=self.state, output=self.output, feedback=fed)

    def gradients(self, fed: Any = "tanh") -> dict[str, Any]:
        for tensor in self.tensors().values():
            tensor.grad = None
        y, last = self.run(fed)
        loss = (y * self.dy).sum()
        for part, weight in zip(last, self.dlast, strict=True):
            loss = loss + (part * weight).sum()
        loss.backward()
        return {name: tensor.grad for name, tensor in self.tensors().items()}

    def reference(self, values: dict[str, Any], name: str) -> Any:
        """y, the last states and the loss, by the step of the paper."""
        p = {n.removeprefix("cell."): v for n, v in values.items() if n.startswith("cell.")}
        state = tuple(values[f"{n}0"] for n in self.case.states)
        x, ys = values["x"], []
        for _ in range(T):
            h, state = self.case.step(p, x, state)
            ys.append(h @ values["output.W"].T + values.get("output.b", 0))
            x = PHI[name](ys[-1])
        y = np.array(ys)
        loss = (y * self.dy).sum() + sum((s * d).sum() for s, d in zip(state, self.dlast, strict=True))
        return y, state, loss


def check(p: Problem, name: str) -> None:
    values = {n: np.asarray(t) for n, t in p.tensors().items()}
    y, last, _ = p.reference(values, name)
    found, after = p.run(name)
    np.testing.assert_allclose(found, y, rtol=1e-11, atol=1e-12)
    for part, wanted in zip(after, last, strict=True):
        np.testing.assert_allclose(part, wanted, rtol=1e-11, atol=1e-12)
    rng = np.random.default_rng(1)
    for n, gradient in p.gradients(name).items():
        direction = rng.standard_normal(gradient.shape)
        moved = {**values, n: values[n] + 1j * TINY * direction}
        slope = p.reference(moved, name)[2].imag / TINY
        assert (gradient * direction).sum() == pytest.approx(slope, rel=1e-9, abs=1e-11), n


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_and_gradients_are_those_of_the_equations(
    case: Case, bias: bool, native_calls: list[Any]
) -> None:
    p = Problem(case, bias=bias)
    check(p, "tanh")
    kernel = p.cell._kernel
    expected = [kernel] * T if case.name in STEP_BY_STEP else [kernel, f"{kernel}+feedback"]
    assert names(native_calls) == 2 * expected  # with gradients and without


@pytest.mark.parametrize("name", PHI)
def test_every_nonlinearity(name: str, native_calls: list[Any]) -> None:
    check(Problem(LSTM), name)
    assert names(native_calls) == ["lstm", "lstm+feedback"] * 2
    p = Problem(LSTM)
    fast, slow = p.run(name)[0], p.run(lambda y: ur.Tensor(PHI[name](y.data)))[0]
    np.testing.assert_allclose(fast, slow, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("make", [lambda: ur.GRU(4, 4), lambda: ur.RNN(4, 4), lambda: ur.LSTM(4, 4)])
def test_the_output_of_the_cell_itself(make: Any, native_calls: list[Any]) -> None:
    cell = make()
    x = np.random.default_rng(0).standard_normal((B, 4)).astype(np.float32)
    y, last = one_to_many(cell, x, 6, feedback="identity")
    assert len(native_calls) == 2
    wanted, state = one_to_many(cell, x, 6, feedback=lambda y: y)
    np.testing.assert_allclose(y, wanted, atol=1e-6)  # float32 of sums in another order
    np.testing.assert_allclose(last.h, state.h, atol=1e-6)


def bits(p: Problem) -> dict[str, Any]:
    y, last = p.run()
    return {"y": np.asarray(y), **{n: np.asarray(s) for n, s in last._asdict().items()}, **p.gradients()}


@pytest.mark.parametrize("case", [c for c in CASES if c.name not in STEP_BY_STEP], ids=str)
def test_results_do_not_depend_on_threads(case: Case, two_threads: None) -> None:
    results = []
    for count in (1, 2, 3):
        ur.set_num_threads(count)
        results.append(bits(Problem(case, np.float32)))
    assert_same_bits(results[1], results[0])
    assert_same_bits(results[2], results[0])


def test_a_row_alone_has_the_same_bits_and_so_has_inference() -> None:
    p = Problem(LSTM, np.float32)
    y, _ = p.run()
    with ur.no_grad():
        assert_same_bits(np.asarray(p.run()[0]), np.asarray(y))
    for row in range(B):
        state = p.cell.State(*(np.asarray(s)[row : row + 1] for s in p.state))
        x = p.x.data[row : row + 1]
        alone, _ = one_to_many(p.cell, x, T, state=state, output=p.output, feedback="tanh")
        assert_same_bits(np.asarray(alone)[:, 0], np.asarray(y)[:, row])


def test_fewer_steps_are_the_first_of_more() -> None:
    p = Problem(LSTM)
    whole = np.asarray(p.run()[0])
    for count in range(1, T):
        np.testing.assert_allclose(p.run(steps=count)[0], whole[:count], rtol=1e-13)


@pytest.mark.parametrize("steps", [True, 1, 2])
def test_segments_run_again(steps: Any) -> None:
    p, q = Problem(LSTM), Problem(LSTM, recompute=steps)
    whole, parts = p.gradients(), q.gradients()
    for name in whole:
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-12, atol=1e-13)


def test_options_of_gated_cells(native_calls: list[Any]) -> None:
    p = Problem(LSTM, zoneout_h=0.3, zoneout_c=0.2, gradient_clip=1e3)
    p.run()
    assert names(native_calls) == ["lstm"] * T  # in training every call draws masks of its own
    native_calls.clear()
    p.cell.eval()
    fast, slow = p.run("tanh")[0], p.run(ur.tanh)[0]
    assert names(native_calls) == ["lstm", "lstm+feedback"] + ["lstm"] * T
    np.testing.assert_allclose(fast, slow, rtol=1e-12, atol=1e-13)
    quick, careful = p.gradients("tanh"), p.gradients(ur.tanh)
    for name in quick:
        np.testing.assert_allclose(quick[name], careful[name], rtol=1e-10, atol=1e-12)


def test_a_learned_initial_state_and_an_encoder(native_calls: list[Any]) -> None:
    cell = ur.GRU(I, H, learn_initial_state=True, dtype=np.float64)
    output = ur.Linear(H, I, dtype=np.float64)
    x = np.ones((B, I))
    y, _ = one_to_many(cell, x, T, output=output, feedback="tanh")
    y.sum().backward()
    fast = cell.h0.grad
    cell.zero_grad()
    one_to_many(cell, x, T, output=output, feedback=ur.tanh)[0].sum().backward()
    np.testing.assert_allclose(fast, cell.h0.grad, rtol=1e-11)
    native_calls.clear()
    encoder = ur.GRU(I, H, dtype=np.float64)
    many_to_one_to_many(encoder, cell, np.ones((4, B, I)), x, T, output=output, feedback="identity")
    assert names(native_calls) == ["gru", "gru", "gru+feedback"]


def test_layers_that_are_no_cells_go_step_by_step(native_calls: list[Any]) -> None:
    stack = ur.Stack([ur.GRU(I, 4, dtype=np.float64), ur.LSTM(4, H, dtype=np.float64)])
    output = ur.Sequential(ur.Linear(H, I, dtype=np.float64), ur.tanh)
    x = np.ones((B, I))
    for layer, readout in ((stack, output.layers[0]), (ur.GRU(I, H, dtype=np.float64), output)):
        native_calls.clear()
        named, _ = one_to_many(layer, x, T, output=readout, feedback="tanh")
        assert len(native_calls) in (T, 2 * T)
        given, _ = one_to_many(layer, x, T, output=readout, feedback=ur.tanh)
        assert_same_bits(np.asarray(named), np.asarray(given))


def test_bad_arguments() -> None:
    cell, x = ur.GRU(I, H), np.ones((B, I), np.float32)
    with pytest.raises(ValueError, match="the output has 6 features, expected 2, the input size of the GRU"):
        one_to_many(cell, x, T, feedback="identity")
    with pytest.raises(ValueError, match="one_to_many: feedback is 'softmax', expected one of sigmoid"):
        one_to_many(cell, x, T, output=ur.Linear(H, I), feedback="softmax")
    with pytest.raises(
        ValueError, match=f"output reads {H + 1} features, expected {H}, the output size of the"
    ):
        one_to_many(cell, x, T, output=ur.Linear(H + 1, I), feedback="identity")
    with pytest.raises(TypeError, match="output has dtype float64, expected float32, that of the"):
        one_to_many(cell, x, T, output=ur.Linear(H, I, dtype=np.float64), feedback="identity")
    assert not feedback.can_be_fed_back(ur.Stack([cell]))
