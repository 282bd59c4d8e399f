"""Initial values: their range, deviation, orthogonality, and that one generator gives one model."""

from __future__ import annotations

import math

import numpy as np
import pytest

from unrolled import init
from unrolled.module import Module
from unrolled.tensor import Tensor


class Cell(Module):
    gates = ("i", "f", "g", "o")

    def __init__(self, bias=True):
        self.W_ih = Tensor(np.full((32, 5), 9.0, np.float32), requires_grad=True)
        self.W_hh = Tensor(np.full((32, 8), 9.0, np.float32), requires_grad=True)
        self.b = Tensor(np.full(32, 9.0, np.float32), requires_grad=True) if bias else None


def test_uniform_sets_a_whole_model():
    model = Cell()
    init.uniform(model, -0.08, 0.08, rng=np.random.default_rng(0))
    for tensor in model.parameters().values():
        assert (
            (np.abs(tensor._data) <= 0.08).all() and np.abs(tensor._data).max() > 0.06 and tensor._version > 0
        )
    twin = Cell()
    init.uniform(twin, -0.08, 0.08, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(model.b._data, twin.b._data)


@pytest.mark.parametrize(("shape", "blocks"), [((8, 8), 1), ((32, 8), 4), ((3, 7), 1), ((20, 6), 2)])
def test_orthogonal_blocks(shape, blocks):
    values = init.orthogonal_values(
        shape, blocks=blocks, gain=2.0, rng=np.random.default_rng(0), dtype=np.float64
    )
    for block in np.split(values / 2, blocks):
        gram = block @ block.T if block.shape[0] <= block.shape[1] else block.T @ block
        np.testing.assert_allclose(gram, np.eye(min(block.shape)), atol=1e-13)


def test_orthogonal_on_a_cell_takes_gates_apart_and_leaves_biases():
    cell = Cell()
    init.orthogonal(cell, rng=np.random.default_rng(0))
    for block in np.split(cell.W_hh._data, 4):
        np.testing.assert_allclose(block @ block.T, np.eye(8), atol=1e-5)
    assert (cell.b._data == 9).all()


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


def test_forget_bias_sets_one_gate():
    model = Cell()
    init.zeros(model)
    init.forget_bias(model, 2.0)
    assert model.b._data.tolist() == [0] * 8 + [2] * 8 + [0] * 16
    with pytest.raises(ValueError, match="Cell has no cell with a forget gate and a bias"):
        init.forget_bias(Cell(bias=False))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: init.orthogonal_values((4,)), ValueError, r"shape is \(4,\), expected two dimensions"),
        (lambda: init.orthogonal_values((5, 2), blocks=2), ValueError, "5 rows cannot be cut into 2"),
        (lambda: init.uniform(Cell(), 1, 0), ValueError, "low is 1, high is 0"),
        (lambda: init.zeros(np.zeros(3)), TypeError, "target is ndarray"),
    ],
)
def test_bad_targets(call, error, message):
    with pytest.raises(error, match=message):
        call()
