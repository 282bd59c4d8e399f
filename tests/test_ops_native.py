"""Ops of the native table: the same at any number of threads, exact at extremes; bad calls of the table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unrolled import ops
from unrolled._native import core
from unrolled.losses import cross_entropy
from unrolled.tensor import Tensor


def random(*shape: int, dtype: Any = np.float32, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


IDS = np.random.default_rng(2).integers(0, 300, (40, 50))
LABELS = np.random.default_rng(2).integers(0, 501, 700)
CALLS = {
    "tanh": (ops.tanh, (random(301, 499),)),
    "exp": (ops.exp, (random(301, 499),)),
    "softmax": (ops.softmax, (random(700, 501),)),
    "log_softmax": (ops.log_softmax, (random(700, 501),)),
    "linear": (ops.linear, (random(500, 130), random(201, 130), random(201))),
    "matmul": (ops.matmul, (random(130, 500), random(500, 77))),
    "matmul_batch": (ops.matmul, (random(60, 30, 41), random(60, 41, 33))),
    "embedding": (lambda W: ops.embedding(W, IDS), (random(300, 70),)),
    "embedding_rows": (lambda W: ops.embedding(W, IDS), (random(30_000, 70),)),
    "layer_norm": (ops.layer_norm, (random(700, 301), random(301), random(301))),
    "dropout": (lambda x: ops.dropout(x, 0.4, seed=5), (random(301, 499),)),
    "cross_entropy": (lambda x: ops.apply("cross_entropy", x, Tensor(LABELS), None)[0], (random(700, 501),)),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_and_gradients_do_not_depend_on_threads(name: str, dtype: Any, threads: Any) -> None:
    call, arrays = CALLS[name]
    seen = []
    for count in (1, 2, 3, 7):
        threads(count)
        tensors = [Tensor(a.astype(dtype), requires_grad=True) for a in arrays]
        y = call(*tensors)
        y.backward(random(*y.shape, dtype=dtype, seed=1))
        seen.append([y._data, *(t.grad for t in tensors)])
    for other in seen[1:]:
        for a, b in zip(seen[0], other, strict=True):
            np.testing.assert_array_equal(a.view(np.uint8), b.view(np.uint8))


@pytest.mark.parametrize(
    ("rows", "columns", "inputs"), [(3, 50, 9), (700, 33, 2), (1500, 70, 20), (1500, 64, 2)]
)
def test_a_bias_gradient_does_not_depend_on_who_else_wants_one(rows: int, columns: int, inputs: int) -> None:
    arrays, dy = (random(rows, inputs), random(columns, inputs), random(columns)), random(rows, columns)
    made = []
    for weight in (True, False):
        x, W, b = (Tensor(a, requires_grad=k == 2 or (weight and k == 1)) for k, a in enumerate(arrays))
        ops.linear(x, W, b).backward(dy)
        assert b.grad is not None
        made.append(b.grad)
    np.testing.assert_array_equal(*made)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "layer_norm", "linear"])
def test_a_row_does_not_depend_on_the_others(name: str) -> None:
    call, (x, *others) = CALLS[name]
    together = np.asarray(call(x, *others))
    for row in (0, 3, 499):
        np.testing.assert_array_equal(call(x[row : row + 1], *others), together[row : row + 1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activations_at_extremes(dtype: Any) -> None:
    x = np.array([-np.inf, -1e4, -88.0, -0.0, 0.0, 88.6, 1e4, np.inf, np.nan], dtype)
    tiny = float(np.finfo(dtype).tiny)
    with np.errstate(over="ignore"):
        wanted = {
            "exp": np.exp(x.astype(np.float64)).astype(dtype),
            "tanh": np.tanh(x),
            "relu": np.maximum(x, 0),
            "sigmoid": (1 / (1 + np.exp(-x.astype(np.float64)))).astype(dtype),
        }
    for name, values in wanted.items():
        # Results below the smallest normal number may be flushed to 0.
        np.testing.assert_allclose(getattr(ops, name)(x), values, rtol=3e-7, atol=2 * tiny, err_msg=name)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exp_reaches_infinity_where_it_should(dtype: Any) -> None:
    largest = np.log(np.finfo(dtype).max)
    x = np.array([largest - 0.7, largest * (1 - 1e-5), largest * (1 + 1e-5), 2 * largest], dtype)
    with np.errstate(over="ignore"):
        # exp of a large number: half an ULP of the argument is enlarged by the argument (up to 710).
        np.testing.assert_allclose(ops.exp(x), np.exp(x), rtol=1000 * np.finfo(dtype).eps)


def test_softmax_at_extremes() -> None:
    x = np.array(
        [[1e30, 0, -1e30], [-1e30, -1e30, -1e30], [-np.inf, 0, 0], [-200, -200, -np.inf]], np.float32
    )
    wanted = [[1, 0, 0], [1 / 3] * 3, [0, 0.5, 0.5], [0.5, 0.5, 0]]
    np.testing.assert_allclose(ops.softmax(x), wanted, rtol=1e-6)
    np.testing.assert_array_equal(ops.softmax(x)._data == 0, np.array(wanted) == 0)
    for bad in (np.nan, np.inf):
        assert np.isnan(ops.softmax(np.array([0, bad, 1], np.float32))).all()
    small = ops.log_softmax(np.array([0, -1000.0]))
    np.testing.assert_allclose(small, [0, -1000])


def test_embedding_is_the_product_with_one_hot_rows_bit_for_bit() -> None:
    W, dy = random(300, 70), random(40, 50, 70, seed=1)
    table = Tensor(W, requires_grad=True)
    y = ops.embedding(table, IDS)
    np.testing.assert_array_equal(y, W[IDS])
    y.backward(dy)
    wanted = np.zeros_like(W)
    for n, i in enumerate(IDS.reshape(-1)):
        wanted[i] += dy.reshape(-1, 70)[n]
    np.testing.assert_array_equal(table.grad, wanted)


def test_the_gradient_of_a_large_table_is_kept_as_rows() -> None:
    table = Tensor(np.zeros((1_000_000, 4), np.float32), requires_grad=True)
    for ids in ([5, 999_999, 5], [[7], [5]]):
        ops.embedding(table, ids).sum().backward()
    rows = table.row_grad
    assert rows is not None
    assert rows.shape == table.shape
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows.rows, [5, 7, 999_999])
    np.testing.assert_array_equal(rows.values, np.array([[3.0], [1.0], [1.0]]) * np.ones(4))
    dense = table.grad
    assert table.row_grad is None
    assert dense.sum() == 20
    np.testing.assert_array_equal(dense[[5, 7, 999_999]], rows.values)
    ops.embedding(table, [7]).sum().backward()
    np.testing.assert_array_equal(table.grad[7], np.full(4, 2.0))


def test_embedding_of_nothing() -> None:
    for size in (1, 1000):
        table = Tensor(np.ones((size, 3)), requires_grad=True)
        y = ops.embedding(table, np.zeros((0, 2), int))
        assert y.shape == (0, 2, 3)
        y.sum().backward()
        np.testing.assert_array_equal(table.grad, np.zeros((size, 3)))
        assert ops.embedding(table, []).shape == (0, 3)


def philox(counter: list[int], key: list[int]) -> list[int]:
    """Philox 4x32-10 as the paper writes it, one block."""
    (a, b, c, d), (k, m) = counter, key
    for _ in range(10):
        p, q = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = (q >> 32) ^ b ^ k, q & 0xFFFFFFFF, (p >> 32) ^ d ^ m, p & 0xFFFFFFFF
        k, m = (k + 0x9E3779B9) & 0xFFFFFFFF, (m + 0xBB67AE85) & 0xFFFFFFFF
    return [a, b, c, d]


def test_dropout_follows_the_stream_of_seed_counter_and_position() -> None:
    # Known answers of the authors' own tests.
    assert philox([0] * 4, [0] * 2) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert philox([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    seed, counter, p = 0x123456789ABCDEF0, 0x0FEDCBA987654321, 0.3
    numbers = []
    for block in range(75):
        words = [block, 0, counter & 0xFFFFFFFF, counter >> 32]
        numbers += philox(words, [seed & 0xFFFFFFFF, seed >> 32])
    keep = np.array(numbers[:299]) >= p * 2**32
    x = np.arange(1.0, 300.0)
    np.testing.assert_allclose(
        ops.dropout(x, p, seed=seed, counter=counter), np.where(keep, x / (1 - p), 0), rtol=1e-15
    )


def test_dropout_keeps_the_mean_and_gives_the_mask_to_the_gradient() -> None:
    x = Tensor(np.ones(200_000, np.float32), requires_grad=True)
    for p in (0.1, 0.5, 0.9):
        x.grad = None
        y = ops.dropout(x, p, seed=1)
        dropped = float(np.mean(y._data == 0))
        assert abs(dropped - p) < 5 * np.sqrt(p * (1 - p) / 200_000)  # five standard deviations
        y.backward(np.full(200_000, 2, np.float32))
        np.testing.assert_array_equal(x.grad, 2 * y._data)
    assert not ops.dropout(x, 1.0, seed=1)._data.any()
    np.testing.assert_array_equal(ops.dropout(x, 0.0, seed=1), x._data)
    masks = [ops.dropout(x, 0.5, seed=s, counter=c)._data for s, c in ((0, 0), (0, 1), (1, 0), (2**40, 0))]
    for i, mask in enumerate(masks):
        for other in masks[:i]:
            assert 0.48 < np.mean(mask == other) < 0.52  # independent masks agree half of the time


def test_the_table_refuses_what_it_cannot_compute() -> None:
    assert set(core.op_names()) >= {"matmul", "linear", "softmax", "embedding", "cross_entropy", "dropout"}
    x, tanh = random(3, 4), core.op("tanh")
    with pytest.raises(ValueError, match="no op named nothing"):
        core.op("nothing")
    for error, arguments in (
        (TypeError, [[x.astype(np.float16)]]), (TypeError, [["x"]]), (TypeError, [[x.astype(">f4")]]),
        (TypeError, [[None]]), (ValueError, [[x.T]]), (ValueError, [[]]), (ValueError, [[x, x]]),
    ):  # fmt: skip
        with pytest.raises((ValueError, error)):
            tanh.forward(*arguments, {})
    for name, bad in (
        ("matmul", [x, x]), ("matmul", [x, random(4, 2, dtype=np.float64)]), ("matmul", [x[0], x[0]]),
        ("linear", [x, random(2, 3)]), ("linear", [x, random(2, 4), random(3)]),
        ("softmax", [random()]), ("softmax", [random(3, 0)]),
        ("embedding", [x, np.array([3])]), ("embedding", [x, np.array([-1])]), ("layer_norm", [x, random(3)]),
        ("cross_entropy", [x, np.array([0, 1, 4])]), ("cross_entropy", [x, np.array([0])]),
        ("cross_entropy", [x, np.zeros(3, int), random(2)]), ("tanh", [np.zeros(3, int)]),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"needs|embedding|cross_entropy"):
            core.op(name).forward(bad, {})
    with pytest.raises(ValueError, match="attribute p"):
        core.op("dropout").forward([x], {})
    with pytest.raises(ValueError, match="gradient of a result"):
        tanh.vjp([x], {}, [x], [x[:1]], [True])
    with pytest.raises(ValueError, match="output is not what forward gave"):
        tanh.vjp([x], {}, [x[:1]], [x], [True])


def test_ids_and_targets_may_be_overwritten_before_backward() -> None:
    ids = np.array([0, 1, 1])
    table, logits = Tensor(random(9, 2), requires_grad=True), Tensor(random(3, 4), requires_grad=True)
    y, losses = ops.embedding(table, ids), cross_entropy(logits, ids, reduction="none")
    ids[:] = 100
    (y.sum() + losses.sum()).backward()
    np.testing.assert_array_equal(table.grad[:3, 0], [1, 2, 0])
    assert (np.argmin(logits.grad, -1) == [0, 1, 1]).all()
