"""Initial values: their range, deviation, orthogonality, and that one generator gives one model."""

from __future__ import annotations

import math

import numpy as np
import pytest

import unrolled as ur
from cases import CASES, VARIANTS
from unrolled import init
from unrolled.tensor import Tensor

WITHOUT_FORGET_GATE = ("RNN", "LSTM1997", "Jordan", "LayerNormRNN", "IndRNN", "LeakyRNN", "CTRNN")
NARROW = ("W_ho", "W_hr", "W_gh")  # not made of gates


def test_uniform_sets_a_whole_model():
    model = ur.LSTM(5, 8)
    init.uniform(model, -0.08, 0.08, rng=np.random.default_rng(0))
    for tensor in model.parameters().values():
        assert (
            (np.abs(tensor._data) <= 0.08).all() and np.abs(tensor._data).max() > 0.06 and tensor._version > 0
        )
    twin = ur.LSTM(5, 8)
    init.uniform(twin, -0.08, 0.08, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(model.b._data, twin.b._data)


@pytest.mark.parametrize(("shape", "blocks"), [((8, 8), 1), ((32, 8), 4), ((3, 7), 1), ((20, 6), 2)])
def test_orthogonal_blocks(shape, blocks):
    values = init.orthogonal_values(
        shape, blocks=blocks, gain=2.0, rng=np.random.default_rng(0), dtype=np.float64
    )
    assert_orthogonal(values / 2, blocks)


def assert_orthogonal(matrix, blocks=1):
    for block in np.split(np.asarray(matrix, np.float64), blocks):
        gram = block @ block.T if block.shape[0] <= block.shape[1] else block.T @ block
        rounding = 10 * np.finfo(np.asarray(matrix).dtype).eps  # of products of unit vectors
        np.testing.assert_allclose(gram, np.eye(min(block.shape)), atol=rounding)


@pytest.mark.parametrize("case", CASES + VARIANTS, ids=str)
def test_orthogonal_on_a_cell_takes_gates_apart_and_leaves_biases(case):
    cell = case.make(3, 12, np.float32)
    before = {name: tensor._data.copy() for name, tensor in cell.parameters().items()}
    init.orthogonal(cell, rng=np.random.default_rng(0))
    for name, tensor in cell.parameters().items():
        if tensor.ndim == 2:
            assert_orthogonal(tensor._data, 1 if name in NARROW else tensor.shape[0] // 12)
        else:
            np.testing.assert_array_equal(tensor._data, before[name])


def test_orthogonal_takes_a_matrix_without_gates_as_one():
    tall = Tensor(np.zeros((64, 8)), requires_grad=True)
    init.orthogonal(tall)
    assert_orthogonal(tall)
    linear, jordan = ur.Linear(8, 64), ur.Jordan(2, 4, output_size=8)
    projected = ur.ProjectedLSTM(2, 4, projection_size=8)
    skip = ur.Residual(ur.LSTM(2, 8), projection=True)
    model = ur.Stack([ur.LSTM(3, 2), skip])
    for target in (linear, jordan, projected, model):
        init.orthogonal(target, rng=np.random.default_rng(0))
    for matrix in (linear.W, jordan.W_ho, projected.W_hr, skip.W):
        assert_orthogonal(matrix)
    assert_orthogonal(skip.layer.W_ih, 4)
    init.orthogonal({"W_hh": skip.layer.W_hh}, rng=np.random.default_rng(0))
    assert_orthogonal(skip.layer.W_hh)
    row, grid = ur.RowLSTM(3, 8), ur.GridLSTM(3, 8, 2)
    init.orthogonal({"row": row.W_ih, "grid": grid.W_in}, blocks=2)
    assert_orthogonal(row.W_ih, 2)
    init.orthogonal(row)
    init.orthogonal(grid)
    assert_orthogonal(row.W_ih, 4)
    assert_orthogonal(row.W_hh, 4)
    assert_orthogonal(grid.W_in, 2)


def test_time_constants_are_no_weights():
    model = ur.Sequential(ur.CTRNN(3, 8, tau=2.0), ur.Linear(8, 2))
    x = np.random.default_rng(0).standard_normal((20, 2, 3)).astype(np.float32)
    init.uniform(model, -0.08, 0.08, rng=np.random.default_rng(0))
    assert 0 < np.abs(model(x).data).max() < 1
    init.zeros(model)
    assert not model(x).data.any()
    cell = model[0]
    assert (cell.tau._data == 2).all()
    init.uniform({"tau": cell.tau}, -1, 1, rng=np.random.default_rng(0))
    assert cell.tau._data.min() == np.float32(cell.least_tau) and 0 < cell.tau._data.max() < 1
    init.zeros(cell.tau)
    assert (cell.tau._data == np.float32(cell.least_tau)).all()


def test_a_normaliser_stays_above_its_bound():
    cell = ur.sLSTM(3, 50, learn_initial_state=True)
    init.uniform(cell, -1, 1, rng=np.random.default_rng(0))
    assert cell.n0._data.min() == 0 < cell.n0._data.max() and cell.m0._data.min() < 0
    assert np.isfinite(cell(np.ones((20, 2, 3), np.float32))[0].data).all()


@pytest.mark.parametrize(
    ("name", "options", "deviation"),
    [
        ("glorot_uniform", {}, math.sqrt(2 / 700)),
        ("glorot_uniform", {"blocks": 4}, math.sqrt(2 / 400)),
        ("glorot_normal", {}, math.sqrt(2 / 700)),
        ("glorot_normal", {"blocks": 4, "gain": 3.0}, 3 * math.sqrt(2 / 400)),
        ("he_uniform", {}, math.sqrt(2 / 300)),
        ("he_normal", {}, math.sqrt(2 / 300)),
        ("he_normal", {"gain": 1.0}, math.sqrt(1 / 300)),
    ],
)
def test_deviation(name, options, deviation):
    tensor = Tensor(np.zeros((400, 300), np.float32), requires_grad=True)
    getattr(init, name)(tensor, rng=np.random.default_rng(0), **options)
    values = tensor._data
    # 120,000 draws: the deviation is off by 1/sqrt(240000) = 0.2 % (one sigma); five sigmas
    assert values.std() == pytest.approx(deviation, rel=0.01)
    assert abs(values.mean()) < 5 * deviation / math.sqrt(values.size)
    if "uniform" in name:
        assert np.abs(values).max() <= math.sqrt(3) * deviation * (1 + 1e-6)
    else:
        assert np.abs(values).max() > 3 * deviation
    same = getattr(init, f"{name}_values")((400, 300), rng=np.random.default_rng(0), **options)
    np.testing.assert_array_equal(same, values)


def test_normal_zeros_and_mappings():
    tensors = {
        "a": Tensor(np.ones((200, 100)), requires_grad=True),
        "b": Tensor(np.ones(3), requires_grad=True),
    }
    init.normal(tensors, 0.1, mean=2.0, rng=np.random.default_rng(0))
    assert tensors["a"]._data.mean() == pytest.approx(2.0, abs=0.01)
    assert tensors["a"]._data.std() == pytest.approx(0.1, rel=0.05)
    init.zeros(tensors)
    assert not tensors["a"]._data.any() and not tensors["b"]._data.any()


def kept_share(case, value):
    """What a step keeps of the past where nothing but the forget bias decides."""
    cell = case.new(3, 4, dtype=np.float64)
    init.zeros(cell)
    init.forget_bias(cell, value)
    assert np.count_nonzero(cell.b) == 4
    _, after = cell.step(np.zeros((1, 3)), cell.State(*(s + 0.5 for s in cell.initial_state(1))))
    return after[case.states.index("c" if "c" in case.states else "h")] / 0.5


@pytest.mark.parametrize("case", CASES + VARIANTS, ids=str)
def test_a_high_forget_bias_keeps_the_past(case):
    if case.cell in WITHOUT_FORGET_GATE:
        with pytest.raises(ValueError, match=f"{case.cell} has no cell with a forget gate and a bias"):
            init.forget_bias(case.new(3, 4))
        return
    much, little = kept_share(case, 30.0), kept_share(case, -30.0)
    assert (much > 0.6).all()  # two thirds where the input gate, a half, counts too
    assert (little < much).all()
    with pytest.raises(ValueError, match="has no cell with a forget gate and a bias"):
        init.forget_bias(case.new(3, 4, bias=False))


@pytest.mark.parametrize(
    "make",
    [
        lambda **o: ur.LSTM(3, 2, **o),
        lambda **o: ur.RowLSTM(3, 2, **o),
        lambda **o: ur.DiagonalLSTM(3, 2, **o),
        lambda **o: ur.MultiDimensionalLSTM(3, 2, dimensions=3, **o),
        lambda **o: ur.GridLSTM(3, 2, 2, **o),
        lambda **o: ur.GridLSTM(3, 2, 2, dimensions=3, tied=True, **o),
    ],
)
def test_forget_bias_sets_what_the_constructor_sets(make):
    layer = make()
    version = layer.b._version
    init.forget_bias(layer, 2.5)
    np.testing.assert_array_equal(layer.b._data, make(forget_bias=2.5).b._data)
    assert layer.b._version > version
    with pytest.raises(ValueError, match="has no cell with a forget gate and a bias"):
        init.forget_bias(make(bias=False))


def test_forget_bias_reaches_every_cell_of_a_model():
    model = ur.Stack([ur.LSTM(3, 2), ur.GridLSTM(2, 2, 1), ur.RNN(2, 2), ur.RecurrentHighway(2, 2, depth=2)])
    init.forget_bias(model, 2)
    lstm, grid, _, deep = model.cells
    assert lstm.b._data.tolist() == [0, 0, 2, 2, 0, 0, 0, 0]
    assert grid.b._data.tolist() == [[0, 0, 2, 2, 0, 0, 0, 0] * 2]
    assert deep.b._data.tolist() == deep.b_deep._data.tolist() == [0, 0, -2, -2]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: init.orthogonal_values((4,)), ValueError, r"shape is \(4,\), expected two dimensions"),
        (lambda: init.orthogonal_values((5, 2), blocks=2), ValueError, "5 rows cannot be cut into 2"),
        (lambda: init.uniform(ur.LSTM(5, 8), 1, 0), ValueError, "low is 1, high is 0"),
        (lambda: init.zeros(np.zeros(3)), TypeError, "target is ndarray"),
        (
            lambda: init.forget_bias(ur.LSTM(3, 2), "1"),
            TypeError,
            "forget_bias: value is a str, expected a number",
        ),
    ],
)
def test_bad_targets(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_unfinished_draws_as_many_numbers():
    """What a constructor draws after its matrices does not depend on whether these are made orthogonal."""
    rngs = [np.random.default_rng(0) for _ in range(2)]
    whole = init.orthogonal_values((6, 3), blocks=2, rng=rngs[0])
    with init.unfinished():
        drawn = init.orthogonal_values((6, 3), blocks=2, rng=rngs[1])
    assert not np.array_equal(whole, drawn) and rngs[0].random() == rngs[1].random()
    np.testing.assert_array_equal(
        init.orthogonal_values((6, 3), blocks=2, rng=np.random.default_rng(0)), whole
    )
