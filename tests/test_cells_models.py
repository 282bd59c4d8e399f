"""A cell as a model: parameters, initial values, copies, pickles, files."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unrolled as ur
from cases import CASES, Case
from reference import assert_same_bits, forward, problem


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_names_shapes_and_order_of_parameters(case: Case, bias: bool) -> None:
    cell = case.new(7, 5, bias=bias)
    shapes = {name: p.shape for name, p in cell.parameters().items()}
    assert shapes == case.shapes(7, 5, bias)
    assert all(p.dtype == np.float32 and p.requires_grad for p in cell.parameters().values())
    assert all(getattr(cell, name) is p for name, p in cell.parameters().items())
    assert (cell.input_size, cell.hidden_size, cell.output_size) == (7, 5, case.output(5))
    assert cell.dtype == np.float32
    assert cell.gates == case.gates
    assert cell.State._fields == case.states
    assert isinstance(cell, ur.Module)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_initial_values(case: Case) -> None:
    I, H = 40, 24
    cell = case.new(I, H, dtype=np.float64, rng=np.random.default_rng(0))
    for name, shape in case.shapes(I, H).items():
        for block in np.split(np.asarray(cell.parameters()[name]), shape[0] // min(shape[0], H)):
            if name == "W_hh":  # orthogonal in every gate, to the rounding of a QR decomposition
                gram = block @ block.T if shape[1] == H else block.T @ block
                np.testing.assert_allclose(gram, np.eye(len(gram)), rtol=0, atol=1e-12)
    W_ih = np.asarray(cell.W_ih)
    row = case.rows * I
    limits = [np.sqrt(6 / (row + H)), np.sqrt(6 / (row + len(case.gates) * H))]  # Glorot per gate or for all
    assert any(0.9 * limit < np.abs(W_ih).max() <= limit for limit in limits)
    starts = {"f": 1 if "LSTM" in case.cell and case.cell != "MinimalLSTM" else 0, "t": -2}
    wanted = np.repeat([starts.get(gate, 0) for gate in case.gates], H)
    np.testing.assert_array_equal(np.asarray(cell.b), wanted)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_forget_bias_may_be_chosen(case: Case) -> None:
    if "f" not in case.gates or not hasattr(case.new(3, 4), "forget_bias"):
        assert case.cell in ("MGU", "MinimalLSTM", "SRU", "QRNN") or "f" not in case.gates
        return
    b = np.asarray(case.new(3, 4, forget_bias=-2.5).b).reshape(-1, 4)
    assert [set(block) for block in b] == [{-2.5 if gate == "f" else 0.0} for gate in case.gates]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_seed_decides_the_initial_values(case: Case, dtype: type) -> None:
    def make(seed: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(seed)
        cell = case.new(3, 4, dtype=dtype, rng=rng)
        return {name: np.asarray(p) for name, p in cell.parameters().items()}

    assert_same_bits(make(1), make(1))
    assert np.abs(make(1)["W_ih"] - make(2)["W_ih"]).max() > 0.01


def by_copying(cell: Any, folder: Path) -> Any:
    return copy.deepcopy(cell)


def by_pickling(cell: Any, folder: Path) -> Any:
    return pickle.loads(pickle.dumps(cell))


def by_a_file(cell: Any, folder: Path) -> Any:
    ur.save(cell, folder / "cell.safetensors")
    return ur.load(folder / "cell.safetensors")


@pytest.mark.parametrize("stepped", [False, True], ids=["fresh", "after steps"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("way", [by_copying, by_pickling, by_a_file], ids=lambda f: f.__name__)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_copy_computes_the_same_and_is_its_own(
    case: Case, bias: bool, way: Any, dtype: type, stepped: bool, tmp_path: Path
) -> None:
    p = problem(case, (4, 3, 5, 9), dtype, bias=bias)
    state = p.cell.State(*p.state)
    wanted = forward(p)
    if stepped:
        p.cell.step(p.x[0], state)
    other = way(p.cell, tmp_path)
    assert type(other) is type(p.cell)
    assert other.dtype == p.cell.dtype
    with ur.no_grad():
        y, after = other(p.x, state)
    assert_same_bits((np.asarray(y), tuple(map(np.asarray, after))), wanted)
    assert_same_bits(other.step(p.x[0], state)[0], wanted[0][0])
    other.W_ih.data[...] = 0
    assert_same_bits(forward(p), wanted, "the copy shares its parameters:")
    assert_same_bits(p.cell.step(p.x[0], state)[0], wanted[0][0], "the copy shares its parameters:")
    assert np.abs(other.step(p.x[0], state)[0] - wanted[0][0]).max() > 1e-3


@pytest.mark.parametrize("case", CASES, ids=str)
def test_repr_says_what_it_is(case: Case) -> None:
    cell = case.make(7, 5, np.float32)
    text = repr(cell)
    assert case.cell in text
    count = sum(np.asarray(p).size for p in cell.parameters().values())
    assert str(count) in text.replace(",", "").replace("_", "")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_train_and_eval_change_nothing_in_a_plain_cell(case: Case) -> None:
    p = problem(case, (3, 2, 4, 5), np.float32)
    p.cell.eval()
    wanted = forward(p)
    p.cell.train()
    assert_same_bits(forward(p), wanted)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_cell_documents_its_equations_and_source(case: Case) -> None:
    text = getattr(ur, case.cell).__doc__
    assert text
    assert any(str(year) in text for year in range(1980, 2027)), "no source with a year"
