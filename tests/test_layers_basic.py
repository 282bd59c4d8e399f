"""Linear, Embedding, Dropout and LayerNorm as modules: shapes, initial values, modes, copies, errors."""

from __future__ import annotations

import copy
import pickle
import pkgutil
import types
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unrolled as ur
from unrolled.io import load, save
from unrolled.layers import Dropout, Embedding, LayerNorm, Linear
from unrolled.tensor import Tensor, no_grad

FLOATS = [np.float32, np.float64]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(), (5,), (3, 5), (0, 5)])
def test_linear(dtype: Any, shape: tuple[int, ...]) -> None:
    layer = Linear(7, 4, dtype=dtype, rng=rng())
    assert {name: p.shape for name, p in layer.parameters().items()} == {"W": (4, 7), "b": (4,)}
    x = rng(1).standard_normal((*shape, 7)).astype(dtype)
    y = layer(x)
    assert y.dtype == dtype
    # Seven products of size one, rounded at every step.
    np.testing.assert_allclose(y, x @ layer.W._data.T, atol=10 * np.finfo(dtype).eps)
    y.backward(np.ones(y.shape, dtype))
    np.testing.assert_array_equal(layer.b.grad, np.full(4, np.prod(shape, dtype=int)))


def test_linear_without_bias_starts_within_glorots_bound() -> None:
    layer = Linear(100, 60, bias=False, rng=rng())
    assert layer.b is None
    assert list(layer.parameters()) == ["W"]
    bound = np.sqrt(6 / 160)
    assert bound * 0.99 < np.abs(layer.W._data).max() <= bound
    np.testing.assert_array_equal(Linear(100, 60, rng=rng()).W, layer.W)
    assert (Linear(100, 60).W != Linear(100, 60).W).any()


def test_embedding() -> None:
    layer = Embedding(1000, 64, rng=rng())
    assert {name: p.shape for name, p in layer.parameters().items()} == {"W": (1000, 64)}
    assert np.linalg.norm(layer.W._data, axis=1).mean() == pytest.approx(1, rel=0.05)
    ids = np.array([[3, 999], [3, 0]], np.int32)
    for given in (ids, ids.tolist(), Tensor(ids), np.asfortranarray(ids), ids.astype(np.uint8) * 0 + ids):
        np.testing.assert_array_equal(layer(given), layer.W._data[ids])
    layer(ids).sum().backward()
    np.testing.assert_array_equal(np.flatnonzero(layer.W.grad.any(1)), [0, 3, 999])


def test_a_tied_table_collects_both_gradients() -> None:
    table = Embedding(50, 8, dtype=np.float64, rng=rng())
    output = Linear(8, 50, dtype=np.float64, rng=rng())
    output.W = table.W
    x = table([4, 4, 7])
    output(x).sum().backward()
    wanted = np.broadcast_to(x._data.sum(0), (50, 8)).copy()
    for i in (4, 4, 7):
        wanted[i] += table.W._data.sum(0)
    np.testing.assert_allclose(table.W.grad, wanted, rtol=1e-13)


@pytest.mark.parametrize("dtype", FLOATS)
def test_layer_norm(dtype: Any) -> None:
    layer = LayerNorm(33, dtype=dtype)
    assert {name: p.shape for name, p in layer.parameters().items()} == {"gain": (33,), "bias": (33,)}
    x = rng().standard_normal((4, 5, 33)).astype(dtype) * 3 + 100
    y = np.asarray(layer(x), np.float64)
    # A mean of 100 costs two digits; eps makes the variance 1e-6 too small.
    np.testing.assert_allclose(y.mean(-1), 0, atol=1e3 * np.finfo(dtype).eps)
    np.testing.assert_allclose(y.var(-1), 1, atol=1e-5 + 1e3 * np.finfo(dtype).eps)
    layer.gain.data[...] = 2
    layer.bias.data[...] = 1
    np.testing.assert_allclose(layer(x), 2 * y + 1, rtol=1e-5, atol=1e-5)
    assert LayerNorm(3, bias=False).bias is None


def test_layer_norm_of_a_constant_row_is_its_bias() -> None:
    layer = LayerNorm(5)
    x = Tensor(np.full((2, 5), 7, np.float32), requires_grad=True)
    np.testing.assert_array_equal(layer(x), np.zeros((2, 5)))
    layer(x).sum().backward()
    assert np.isfinite(x.grad).all()


def test_dropout_works_in_training_only() -> None:
    layer = Dropout(0.5, rng=rng())
    x = Tensor(np.ones((100, 100), np.float32))
    first, second = layer(x), layer(x)
    assert set(np.unique(first)) == {0, 2}
    assert (first != second).any()
    np.testing.assert_array_equal(layer.eval()(x), x)
    layer.train()
    with no_grad():
        assert (layer(x)._data == 0).any()
    np.testing.assert_array_equal(Dropout(0.0)(x), x)
    assert not Dropout(1.0)(x)._data.any()


def test_dropout_goes_on_from_where_it_was_copied_or_saved(tmp_path: Path) -> None:
    layer = Dropout(0.5, rng=rng())
    x = np.ones(1000, np.float32)
    layer(x)
    save(layer, tmp_path / "layer")
    others = [load(tmp_path / "layer").train(), copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))]
    for _ in range(3):
        wanted = np.asarray(layer(x))
        for other in others:
            np.testing.assert_array_equal(other(x), wanted)
    np.testing.assert_array_equal(Dropout(0.5, rng=rng())(x), Dropout(0.5, rng=rng())(x))


@pytest.mark.parametrize(
    "layer", [Linear(3, 2), Embedding(5, 2), LayerNorm(3), Dropout(0.3)], ids=lambda m: type(m).__name__
)
def test_layers_copy_pickle_and_print(layer: Any) -> None:
    ids = np.array([0, 1, 2])
    x = ids if isinstance(layer, Embedding) else ids.astype(np.float32)
    other, third = copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))
    wanted = np.asarray(layer(x))
    np.testing.assert_array_equal(other(x), wanted)
    np.testing.assert_array_equal(third(x), wanted)
    assert type(layer).__name__ in repr(layer)


X = np.zeros((2, 3), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Linear(0, 2), ValueError, "Linear: input_size is 0, expected at least 1"),
        (lambda: Linear(2, 2.0), TypeError, "Linear: output_size is a float, expected an int"),
        (lambda: Linear(2, True), TypeError, "Linear: output_size is a bool"),
        (
            lambda: Linear(2, 2, dtype=np.float16),
            TypeError,
            "Linear: dtype is float16, expected native float32 or float64",
        ),
        (
            lambda: Linear(2, 2, dtype="real"),
            TypeError,
            "Linear: dtype is 'real', expected float32 or float64",
        ),
        (lambda: Linear(2, 2, rng=3), TypeError, "Linear: rng is a int, expected a numpy.random.Generator"),
        (
            lambda: Linear(3, 2)(X.astype(float)),
            TypeError,
            "Linear: x has dtype float64, expected float32, the dtype of the layer",
        ),
        (
            lambda: Linear(4, 2)(X),
            ValueError,
            r"Linear: x has shape \(2, 3\), expected \(..., 4\) because input_size=4",
        ),
        (lambda: Linear(4, 2)(np.float32(1)), ValueError, r"Linear: x has shape \(\)"),
        (lambda: Embedding(0, 2), ValueError, "Embedding: num_embeddings is 0"),
        (lambda: Embedding(5, 2)([5]), ValueError, "embedding: ids hold 5, expected values from 0 to 4"),
        (lambda: Embedding(5, 2)(X), TypeError, "embedding: ids have dtype float32"),
        (lambda: LayerNorm(0), ValueError, "LayerNorm: size is 0"),
        (lambda: Linear(2, 3, bias="no"), TypeError, "Linear: bias is a str, expected a bool"),
        (lambda: LayerNorm(3, bias=1), TypeError, "LayerNorm: bias is a int, expected a bool"),
        (lambda: LayerNorm(3, eps=-1), ValueError, "LayerNorm: eps is -1, expected a number above 0"),
        (lambda: LayerNorm(3, eps="x"), TypeError, "LayerNorm: eps is a str, expected a number"),
        (lambda: LayerNorm(3, eps=np.inf), ValueError, "LayerNorm: eps is inf, expected a finite number"),
        (lambda: LayerNorm(4)(X), ValueError, r"LayerNorm: x has shape \(2, 3\), expected \(..., 4\)"),
        (lambda: LayerNorm(3)(X.astype(float)), TypeError, "LayerNorm: x has dtype float64"),
        (lambda: Dropout(-0.1), ValueError, "Dropout: p=-0.1, expected 0 <= p <= 1"),
        (lambda: Dropout("a"), TypeError, "Dropout: p is 'a', expected a number"),
        (lambda: Dropout(0.5)(np.zeros(2, int)), TypeError, "dropout: x has dtype int64"),
    ],
)
def test_bad_arguments(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_public_methods_are_explained() -> None:
    names = [f"{p.__name__}.{m.name}" for p in (ur.layers, ur.data) for m in pkgutil.iter_modules(p.__path__)]
    modules = [import_module(name) for name in names]
    classes = {
        c for m in modules for c in vars(m).values() if isinstance(c, type) and c.__module__ == m.__name__
    }
    assert {Linear, Dropout, ur.Stack, ur.data.Batches} <= classes
    for cls in classes:
        for name, member in vars(cls).items():
            if not name.startswith("_") and isinstance(member, (types.FunctionType, property)):
                assert member.__doc__, f"{cls.__name__}.{name} has no docstring"
