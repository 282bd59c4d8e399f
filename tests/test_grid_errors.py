"""What layers over a grid and their op refuse, and what they start from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unrolled as ur
from unrolled._native import core

X = np.zeros((4, 5, 2, 3), np.float32)
SEQUENCE = X[0]
MD, GRID, GRID3 = ur.MultiDimensionalLSTM(3, 2), ur.GridLSTM(3, 2, 3), ur.GridLSTM(3, 2, 3, dimensions=3)
WHERE = "MultiDirectional"


def directions(count: int = 4, **options: Any) -> Any:
    return [ur.MultiDimensionalLSTM(3, 2, **options) for _ in range(count)]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ur.MultiDimensionalLSTM(0, 2), ValueError, "MultiDimensionalLSTM: input_size is 0"),
        (lambda: ur.MultiDimensionalLSTM(3, 2, dimensions=4), ValueError, "dimensions is 4, expected 2 or 3"),
        (lambda: ur.MultiDimensionalLSTM(3, 2, dimensions=1), ValueError, "dimensions is 1, expected at least 2"),
        (lambda: ur.RowLSTM(3, 2, forget_bias="a"), TypeError, "RowLSTM: forget_bias is a str"),
        (lambda: ur.DiagonalLSTM(3, 2, bias=1), TypeError, "DiagonalLSTM: bias is a int"),
        (lambda: ur.DiagonalLSTM(3, 2, rng=1), TypeError, "DiagonalLSTM: rng is a int"),
        (lambda: MD(SEQUENCE), ValueError, r"x has shape \(5, 2, 3\), expected \(n0, n1, batch, 3\) because"),
        (lambda: MD(X.astype(float)), TypeError, "MultiDimensionalLSTM: x has dtype float64"),
        (lambda: MD(X, [4, 5]), ValueError, r"lengths has shape \(2,\), expected \(2, 2\): the sizes of every row"),
        (lambda: MD(X, [[4, 6], [0, 0]]), ValueError, r"sizes outside of 0 to \(4, 5\)"),
        (lambda: MD(X, [[4.0, 5], [0, 0]]), TypeError, "lengths has dtype float64"),
        (lambda: MD(X, reverse=(True,)), ValueError, "reverse has 1 flags, expected 2"),
        (lambda: MD(X, reverse=1), TypeError, "reverse is a int, expected a bool"),
        (lambda: ur.MultiDirectional(MD), TypeError, f"{WHERE}: layers is MultiDimensionalLSTM, expected a list"),
        (lambda: ur.MultiDirectional([]), ValueError, f"{WHERE}: there are 0 layers, expected 4"),
        (lambda: ur.MultiDirectional(directions(3)), ValueError, "there are 3 layers"),
        (lambda: ur.MultiDirectional([GRID] * 4), TypeError, "layer 0 is GridLSTM, expected a layer over a grid"),
        (lambda: ur.MultiDirectional([MD] * 4), ValueError, "a layer is there twice"),
        (lambda: ur.MultiDirectional(directions(), merge="mean"), ValueError, "merge is 'mean'"),
        (lambda: ur.MultiDirectional(directions(), merge=0), TypeError, f"{WHERE}: merge is a int, expected one of"),
        (lambda: ur.MultiDirectional([*directions(3), ur.RowLSTM(3, 4)]), ValueError, "layer 3 has output_size 4"),
        (lambda: ur.MultiDirectional([*directions(3), *directions(1, dtype=float)]), TypeError, "3 has dtype float64"),
        (lambda: ur.GridLSTM(3, 2, 0), ValueError, "GridLSTM: depth is 0, expected at least 1"),
        (lambda: ur.GridLSTM(3, 2, 1, dimensions=4), ValueError, "GridLSTM: dimensions is 4, expected 2 or 3"),
        (lambda: ur.GridLSTM(3, 2, 1, tied=1), TypeError, "GridLSTM: tied is a int"),
        (lambda: GRID(X), ValueError, r"GridLSTM: x has shape .*expected \(time, batch, 3\) because input_size=3"),
        (lambda: GRID(SEQUENCE, np.zeros(3)), TypeError, "state is a ndarray|state holds a ndarray"),
        (lambda: GRID(SEQUENCE, GRID.initial_state(3)), ValueError, r"h has shape \(3, 6\), expected \(2, 6\)"),
        (lambda: GRID(SEQUENCE, lengths=[6, 0]), ValueError, "lengths has 6, expected 0 to 5"),
        (lambda: GRID(SEQUENCE, reset=np.zeros((4, 2), bool)), ValueError, "reset has shape"),
        (lambda: GRID.step(SEQUENCE), ValueError, r"x_t has shape \(5, 2, 3\), expected \(batch, 3\)"),
        (lambda: GRID3.step(X[0, 0]), TypeError, "no step in three dimensions"),
        (lambda: GRID3(X, GRID.initial_state(2)), TypeError, "state holds a ndarray, expected two GridLSTMState"),
        (lambda: GRID3(X, reset=np.zeros((4, 2), bool)), ValueError, "expected None in three dimensions"),
        (lambda: GRID3.initial_state(2), ValueError, r"sizes is None, expected \(n0, n1\)"),
    ],
)  # fmt: skip
def test_bad_calls(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_initial_values() -> None:
    rng = np.random.default_rng(0)
    for layer, start in (
        (MD, 0.0),
        (ur.MultiDimensionalLSTM(3, 2, dimensions=3), -np.log(2)),
        (ur.RowLSTM(3, 2), 1.0),
    ):
        memories = layer.b.size // 2 - 3
        wanted = np.zeros(layer.b.size)
        wanted[2 : 2 + 2 * memories] = start
        np.testing.assert_allclose(layer.b, wanted, rtol=1e-6)
    grid = ur.GridLSTM(3, 4, 5, forget_bias=2.0, rng=rng, dtype=np.float64)
    np.testing.assert_array_equal(np.asarray(grid.b).reshape(5, 2, 4, 4).mean((0, 1, 3)), [0, 2, 0, 0])
    blocks = np.asarray(grid.W).reshape(5, 8, 4, 8)
    np.testing.assert_allclose(
        blocks @ blocks.swapaxes(-1, -2), np.broadcast_to(np.eye(4), (5, 8, 4, 4)), atol=1e-14
    )
    assert grid.num_parameters == 5 * 32 * 9 + 8 * 4
    tied = ur.GridLSTM(3, 4, 5, tied=True, bias=False)
    assert {name: p.shape for name, p in tied.parameters().items()} == {"W": (1, 32, 8), "W_in": (8, 3)}
    y, _ = tied(SEQUENCE)
    assert y.shape == (5, 2, 4)


STEPS = np.array([[1, 0, 0], [0, 0, 1], [1, 0, 1]])
LIVE = np.ones((3, 1, 2, 4), np.int64)
W = np.zeros((2, 2 * 4 * 5, 2 * 5))


@pytest.mark.parametrize(
    ("inputs", "attributes", "message"),
    [
        ([STEPS[:, :2].copy(), LIVE, W], (2, 1), "steps"),
        ([STEPS, LIVE[0], W], (2, 1), "live"),
        ([STEPS, LIVE.astype(float), W], (2, 1), "live"),
        ([STEPS, LIVE, W.astype(int)], (2, 1), "float32 or float64 weights"),
        ([STEPS[:1], LIVE, W], (2, 1), "1 to 3 operands"),
        ([STEPS * 2, LIVE, W], (2, 1), "steps of -1, 0 or 1"),
        ([-STEPS, LIVE, W], (2, 1), "a front of numbers from 0 to 2"),
        ([STEPS * [[1], [1], [0]], LIVE, W], (2, 1), "from an earlier front"),
        ([STEPS, LIVE, W], (3, 1), "one stream, or one per operand"),
        ([STEPS, LIVE, W], (2, 2), "a memory per operand at most"),
        ([STEPS, LIVE, W], (1, 3), "a memory per operand at most"),
        ([STEPS, LIVE, W[:, 1:].copy()], (2, 1), r"weights \(layers, gates, operands\)"),
        ([STEPS, LIVE, np.concatenate([W, W])], (2, 1), "weights for one layer or for each"),
        ([STEPS, LIVE, W, np.zeros((3, 1, 2, 4, 39))], (2, 1), "input parts"),
        ([STEPS, LIVE, W, None, np.zeros((1, 40))], (2, 1), "biases"),
        ([STEPS, LIVE, W, None, np.zeros((2, 40), np.float32)], (2, 1), "biases"),
        ([STEPS, LIVE, W, None, None, np.zeros((3, 1, 2, 4, 5))], (2, 1), "starts of the shape"),
        ([STEPS, LIVE, W[:, :20].copy(), None, None, np.zeros((1, 1, 2, 4, 5))], (1, 1), "starts where every operand"),
    ],
)  # fmt: skip
def test_the_op_refuses_what_it_cannot_compute(inputs: Any, attributes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"wavefront .*{message}"):
        core.op("wavefront").forward(inputs, {"streams": attributes[0], "memories": attributes[1]})
