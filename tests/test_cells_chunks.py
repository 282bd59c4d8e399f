"""Gradients of long batches, whose backward goes chunk by chunk: those of their rows, each too short for two chunks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unrolled as ur

T, B, H = 150, 9, 7
LENGTHS = np.array([150, 3, 0, 150, 149, 77, 150, 1, 120])
CELLS = [ur.RNN, ur.LSTM, ur.GRU, ur.GRUResetBefore, ur.LayerNormLSTM, ur.Jordan, ur.MGU, ur.GRUD]

Gradients = dict[str, np.ndarray[Any, Any]]


def gradients(cell: Any, x: Any, dy: Any, lengths: Any, reverse: bool) -> tuple[Gradients, Any]:
    """Of all parameters, and of x."""
    source = ur.Tensor(x, requires_grad=True)
    for tensor in cell.parameters().values():
        tensor.grad = None
    y, _ = cell(source, lengths=lengths, reverse=reverse)
    y.backward(dy)
    return {name: tensor.grad.copy() for name, tensor in cell.parameters().items()}, source.grad


def made(cell_type: Any, features: int, dtype: Any) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(features)
    cell = cell_type(features, H, dtype=dtype, rng=rng)
    x = rng.standard_normal((T, B, features)).astype(dtype)
    return cell, x, rng.standard_normal((T, B, cell.output_size)).astype(dtype)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("features", [1, 4, 5])
@pytest.mark.parametrize("cell_type", CELLS)
def test_gradients_are_the_sums_over_rows(cell_type: Any, features: int, reverse: bool) -> None:
    cell, x, dy = made(cell_type, features, np.float64)
    whole, dx = gradients(cell, x, dy, LENGTHS, reverse)
    sums = {name: np.zeros_like(gradient) for name, gradient in whole.items()}
    for row in range(B):
        at = slice(row, row + 1)
        part, dx_row = gradients(cell, x[:, at].copy(), dy[:, at].copy(), LENGTHS[at], reverse)
        np.testing.assert_array_equal(dx[:, at], dx_row)
        for name, gradient in part.items():
            sums[name] += gradient
    for name, gradient in whole.items():
        scale = max(1.0, float(np.abs(sums[name]).max()))
        np.testing.assert_allclose(gradient, sums[name], rtol=0, atol=1e-11 * scale, err_msg=name)


@pytest.mark.parametrize("features", [1, 5])
@pytest.mark.parametrize("cell_type", CELLS)
def test_chunks_are_the_same_for_any_number_of_threads(cell_type: Any, features: int, threads: Any) -> None:
    cell, x, dy = made(cell_type, features, np.float32)
    results = []
    for count in (1, 2, 3):
        threads(count)
        results.append(gradients(cell, x, dy, LENGTHS, False))
    for parameters, dx in results[1:]:
        np.testing.assert_array_equal(dx, results[0][1])
        for name, gradient in parameters.items():
            np.testing.assert_array_equal(gradient, results[0][0][name], err_msg=name)


def test_a_chunk_of_few_places_beside_a_large_one(threads: Any) -> None:
    B = 20_000
    rng = np.random.default_rng(0)
    cell = ur.RNN(4, 4, rng=rng)
    x = rng.standard_normal((2, B, 4)).astype(np.float32)
    dy = np.ones((2, B, 4), np.float32)
    lengths = np.ones(B, int)
    lengths[:3] = 2
    threads(1)
    alone, _ = gradients(cell, x, dy, lengths, False)
    threads(2)
    for _ in range(5):
        together, _ = gradients(cell, x, dy, lengths, False)
        for name, gradient in together.items():
            np.testing.assert_array_equal(gradient, alone[name], err_msg=name)


@pytest.mark.parametrize("cell_type", [ur.LSTM, ur.GRU])
def test_layers_in_a_pipeline_have_the_bits_of_layers_one_by_one(cell_type: Any, two_threads: None) -> None:
    rng = np.random.default_rng(0)
    cells = [cell_type(16, 16, rng=rng) for _ in range(3)]
    x = rng.standard_normal((600, 2, 16)).astype(np.float32)
    dy = rng.standard_normal((600, 2, 16)).astype(np.float32)
    results = []
    for together in (True, False):
        for tensor in (tensor for cell in cells for tensor in cell.parameters().values()):
            tensor.grad = None
        y = ur.Tensor(x, requires_grad=True)
        for layer in [ur.Stack(cells)] if together else cells:
            y = layer(y)[0]
        y.backward(dy)
        results.append([tensor.grad.copy() for cell in cells for tensor in cell.parameters().values()])
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_table_of_few_symbols_gives_the_gradients_of_its_rows() -> None:
    rng = np.random.default_rng(0)
    cell = ur.LSTM(6, H, dtype=np.float64, rng=rng)
    table = ur.Embedding(11, 6, dtype=np.float64, rng=rng)
    tokens = rng.integers(0, 11, (T, B))
    dy = rng.standard_normal((T, B, H))
    y, _ = cell(table(tokens), lengths=LENGTHS)
    y.backward(dy)
    looked_up = {name: tensor.grad.copy() for name, tensor in cell.parameters().items()}
    dense, dx = gradients(cell, table.W.data[tokens], dy, LENGTHS, False)
    for name, gradient in dense.items():
        np.testing.assert_allclose(looked_up[name], gradient, rtol=1e-10, atol=1e-11, err_msg=name)
    of_table = np.zeros_like(table.W.data)
    np.add.at(of_table, tokens, dx)
    np.testing.assert_allclose(np.asarray(table.W.grad), of_table, rtol=1e-10, atol=1e-11)
