"""Cells over rows of a table: made once per row of the table, with the bits of a call over the rows themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unrolled as ur
from cases import CASES, Case
from reference import assert_same_bits

DTYPES = [np.float32, np.float64]
T, B, I, H, SYMBOLS = 9, 12, 5, 37, 11
rng = np.random.default_rng(3)
IDS = rng.integers(1, SYMBOLS, (T, B))  # symbol 0 never occurs
LENGTHS = rng.integers(0, T + 1, B)
RESET = rng.random((T, B)) < 0.2
Options = dict[str, Any]
OPTIONS: list[Options] = [{}, {"lengths": LENGTHS, "reset": RESET}, {"lengths": LENGTHS, "reverse": True}]
pytestmark = pytest.mark.usefixtures("two_threads")


def table(dtype: type) -> ur.Embedding:
    return ur.Embedding(SYMBOLS, I, dtype=dtype, rng=np.random.default_rng(4))


def run(cell: Any, embedding: ur.Embedding, options: Options, fused: bool) -> dict[str, np.ndarray]:
    """Outputs, last states and gradients; `fused`: by way of the table."""
    parameters = {"table": embedding.W, **cell.parameters()}
    for parameter in parameters.values():
        parameter.grad = None
    x = embedding(IDS) if fused else embedding(IDS) * 1.0
    y, state = cell(x, **options)
    weights = np.random.default_rng(5).standard_normal(y.shape).astype(y.dtype)
    last = [(s * 0.3).sum() for s in state]
    ((y * weights).sum() + sum(last[1:], last[0])).backward()
    states = {f"state {k}": np.array(s) for k, s in enumerate(state)}
    return {"y": np.array(y), **states, **{f"d{name}": p.grad.copy() for name, p in parameters.items()}}


def is_fused(x: ur.Tensor, cell: Any) -> bool:
    from unrolled.cells.call import prepare

    return prepare(cell, x, None, None, None, False).arguments.ids is not None


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_equals_the_call_over_the_rows(case: Case, dtype: type) -> None:
    cell, embedding = case.make(I, H, dtype), table(dtype)
    assert is_fused(embedding(IDS), cell) != cell._makes_input  # which needs more than a row of the table
    tolerance = 1e-12 if dtype is np.float64 else 3e-5
    for options in OPTIONS:
        ours = run(cell, embedding, options, fused=True)
        plain = run(cell, embedding, options, fused=False)
        for name, value in plain.items():
            if name.startswith("d"):  # summed in another order
                scale = max(1.0, float(np.abs(value).max()))
                np.testing.assert_allclose(ours[name], value, rtol=0, atol=tolerance * scale, err_msg=name)
            else:
                np.testing.assert_array_equal(ours[name], value, err_msg=name)
        assert not ours["dtable"][0].any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_one_thread_equals_many(case: Case, dtype: type) -> None:
    cell, embedding = case.make(I, H, dtype), table(dtype)
    for options in OPTIONS:
        ur.set_num_threads(1)
        wanted = run(cell, embedding, options, fused=True)
        for count in (2, 3):
            ur.set_num_threads(count)
            assert_same_bits(run(cell, embedding, options, fused=True), wanted, f"{count} threads:")


def test_only_where_nothing_has_changed() -> None:
    cell, embedding = ur.LSTM(I, H), table(np.float32)
    x = embedding(IDS)
    x.data[...] *= 2
    assert not is_fused(x, cell)
    x = embedding(IDS)
    before = np.array(cell(embedding(IDS))[0])
    embedding.W.data[...] = 0
    assert not is_fused(x, cell)
    np.testing.assert_array_equal(np.array(cell(x)[0]), before)


def test_only_where_it_saves_work() -> None:
    cell, embedding = ur.LSTM(I, H), table(np.float32)
    assert not is_fused(embedding(IDS[:1]), cell)
    cell.recompute = 3
    assert not is_fused(embedding(IDS), cell)


def test_a_frozen_table_and_rows_made_without_a_tape() -> None:
    cell, embedding = ur.LSTM(I, H), table(np.float32)
    with ur.no_grad():
        x = embedding(IDS)
    cell(x)[0].sum().backward()
    assert embedding.W.grad is None and cell.W_ih.grad is not None
    wanted = cell.W_ih.grad.copy()
    cell.W_ih.grad = None
    embedding.freeze()
    cell(embedding(IDS))[0].sum().backward()
    assert embedding.W.grad is None
    np.testing.assert_array_equal(cell.W_ih.grad, wanted)


def test_both_directions_and_a_table_that_is_read_twice() -> None:
    embedding = table(np.float64)
    pair = ur.Bidirectional(ur.LSTM(I, 4, dtype=np.float64), ur.GRU(I, 6, dtype=np.float64))
    gradients = []
    for fused in (True, False):
        embedding.W.grad = None
        x = embedding(IDS) if fused else embedding(IDS) * 1.0
        (pair(x)[0].sum() + (x * x).sum()).backward()
        gradients.append(embedding.W.grad.copy())
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=0, atol=1e-12)
