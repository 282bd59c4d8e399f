"""Bad arguments of ops and tensors: one clear sentence each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from unrolled import ops
from unrolled.tensor import Tensor, no_grad

A = Tensor(np.zeros((2, 3), np.float32), requires_grad=True)
D = Tensor(np.zeros((2, 3)))
I = np.zeros((2, 3), int)
Call = Callable[[], Any]

CASES: list[tuple[Call, type[Exception], str]] = [
    (lambda: A + D, TypeError, "add: the operands have dtypes float32 and float64; convert one"),
    (lambda: A * np.zeros(3), TypeError, "multiply: the operands have dtypes"),
    (
        lambda: A + np.zeros(2, np.float32),
        ValueError,
        r"add: the shapes \(2, 3\) and \(2,\) cannot be broadcast",
    ),
    (lambda: Tensor(np.ma.masked_less([1.0, 2.0], 2)), TypeError, "Tensor: data is a masked array"),
    (lambda: ops.tanh(np.ma.masked_less(np.float32([1, 2]), 2)), TypeError, "tanh: x is a masked array"),
    (lambda: A + "text", TypeError, "received dtype <U4, expected float32, float64"),
    (lambda: A * None, TypeError, "received dtype object"),
    (lambda: A * 1j, TypeError, "received dtype complex128"),
    (lambda: ops.where(I, A, A), TypeError, "where: the condition has dtype int64, expected bool"),
    (lambda: ops.tanh(I), TypeError, "tanh: x has dtype int64, expected float32 or float64"),
    (lambda: ops.log(I), TypeError, "log: x has dtype int64"),
    (lambda: ops.clip(A, 2, 1), ValueError, "clip: received low=2 and high=1"),
    (lambda: ops.softmax(A, 2), ValueError, "softmax: axis=2, expected -2 <= axis < 2"),
    (
        lambda: ops.softmax(A[0, 0]),
        ValueError,
        r"softmax: axis=-1, but the tensor has no axes: its shape is \(\)",
    ),
    (lambda: ops.softmax(A, 1.0), TypeError, "softmax: axis is 1.0, expected an int"),
    (lambda: ops.softmax(A[:, :0]), ValueError, "softmax: x has shape .* at least one element along axis 1"),
    (lambda: A @ A, ValueError, r"matmul: the shapes are \(2, 3\) and \(2, 3\), expected as many columns"),
    (lambda: A @ D.T, TypeError, "matmul: b has dtype float64, expected float32"),
    (lambda: A @ 2, TypeError, "matmul: b has dtype int64"),
    (lambda: A @ np.float32(2), ValueError, "at least one axis each"),
    (
        lambda: ops.matmul(np.zeros((2, 3, 4)), np.zeros((3, 4, 5))),
        ValueError,
        "leading axes .* cannot be broadcast",
    ),
    (
        lambda: ops.linear(A, A[0]),
        ValueError,
        r"linear: weight has shape \(3,\), expected \(outputs, inputs\)",
    ),
    (lambda: ops.linear(A, A.T), ValueError, r"linear: x has shape \(2, 3\), expected \(..., 2\)"),
    (lambda: ops.linear(A, A, A[0]), ValueError, r"linear: bias has shape \(3,\), expected \(2,\)"),
    (lambda: ops.linear(A, D), TypeError, "linear: weight has dtype float64, expected float32"),
    (lambda: ops.embedding(A, [0, 2]), ValueError, "embedding: ids hold 2, expected values from 0 to 1"),
    (lambda: ops.embedding(A, [-1]), ValueError, "embedding: ids hold -1"),
    (
        lambda: ops.embedding(A, [0.5]),
        TypeError,
        "embedding: ids have dtype float64, expected an integer type",
    ),
    (lambda: ops.embedding(A, [True]), TypeError, "embedding: ids have dtype bool"),
    (lambda: ops.embedding(A[0], [0]), ValueError, r"embedding: weight has shape \(3,\)"),
    (lambda: ops.layer_norm(A, A[0, :2]), ValueError, r"layer_norm: gain has shape \(2,\), expected \(3,\)"),
    (lambda: ops.layer_norm(A, None, D[0]), TypeError, "layer_norm: bias has dtype float64"),
    (lambda: ops.layer_norm(A, eps=0), ValueError, "layer_norm: eps is 0, expected a number above 0"),
    (lambda: ops.layer_norm(A, eps="x"), TypeError, "layer_norm: eps is a str, expected a number"),
    (lambda: ops.layer_norm(A[:, :0]), ValueError, "layer_norm: x has shape .* at least one element"),
    (lambda: ops.dropout(A, 1.5, seed=0), ValueError, "dropout: p=1.5, expected 0 <= p <= 1"),
    (lambda: ops.dropout(A, float("nan"), seed=0), ValueError, "dropout: p=nan"),
    (lambda: ops.dropout(A, "half", seed=0), TypeError, "dropout: p is 'half', expected a number"),
    (lambda: ops.dropout(A, 0.5, seed=-1), ValueError, "dropout: seed=-1"),
    (lambda: ops.dropout(A, 0.5, seed=2**63), ValueError, "dropout: seed="),
    (lambda: A.sum(2), ValueError, "sum: axis=2, expected"),
    (lambda: A.sum((0, 0)), ValueError, "sum: .* names an axis twice"),
    (lambda: A[:0].mean(), ValueError, "mean: x has shape .* at least one element"),
    (lambda: A[:0].max(0), ValueError, "max: x has shape .* at least one element"),
    (lambda: A.reshape(4), ValueError, r"reshape: a tensor of shape \(2, 3\) cannot become 4"),
    (lambda: A.transpose(0, 0), ValueError, "transpose: .* every axis"),
    (lambda: ops.squeeze(A, 0), ValueError, "squeeze: x has shape .* expected size 1 along axis 0"),
    (lambda: ops.broadcast_to(A, (4, 3)), ValueError, "broadcast_to: a tensor of shape"),
    (lambda: ops.concat([]), ValueError, "concat: received no tensors"),
    (lambda: ops.concat(A), TypeError, "concat: received Tensor, expected a list or tuple"),
    (lambda: ops.concat([A, D]), TypeError, "concat: the tensors have dtypes float32 and float64"),
    (lambda: ops.concat([A, A.T]), ValueError, "concat: the shapes"),
    (lambda: ops.stack([A, A[0]]), ValueError, "stack: the tensors have shapes"),
    (lambda: ops.split(A, 2, 1), ValueError, "split: 3 elements along axis 1 cannot make 2"),
    (lambda: ops.split(A, [1, 1], 1), ValueError, r"split: sizes=\[1, 1\], expected a sum of 3"),
    (lambda: ops.split(A, [4, -1], 1), ValueError, "split: sizes"),
    (lambda: ops.split(A, [1.5, 1.5], 1), TypeError, "'float' object cannot be interpreted as an integer"),
    (lambda: A[2], IndexError, r"Tensor of shape \(2, 3\): .*out of bounds"),
    (lambda: A[0, 0, 0], IndexError, "too many indices"),
    (lambda: A["a"], IndexError, "Tensor of shape"),
    (lambda: ops.take_along_axis(A, [0], 0), ValueError, r"take_along_axis: indices have shape \(1,\)"),
    (lambda: ops.take_along_axis(A, [[2, 0, 0]], 0), IndexError, "out of bounds"),
    (lambda: A.astype(np.float16), TypeError, "received dtype float16"),
    (lambda: Tensor(np.zeros(2, np.float16)), TypeError, "received dtype float16, expected float32, float64"),
    (lambda: Tensor(["a"]), TypeError, "received dtype <U1"),
    (lambda: Tensor([[1], [1, 2]]), ValueError, "cannot make an array of this list"),
    (lambda: Tensor([1, 2], requires_grad=True), TypeError, "int64 with requires_grad=True"),
    (lambda: setattr(Tensor(I), "data", D), TypeError, "Tensor.data: received dtype float64, expected int64"),
    (lambda: setattr(Tensor(I), "data", I[0]), ValueError, r"Tensor.data: received shape \(3,\), expected"),
    (lambda: setattr(A, "grad", 1.0), TypeError, "Tensor.grad: received float, expected"),
    (lambda: setattr(A, "grad", D._data), TypeError, "Tensor.grad: received dtype float64, expected"),
    (lambda: setattr(A, "grad", A._data[0]), ValueError, r"Tensor.grad: received shape \(3,\)"),
    (lambda: (A * 2).backward(), ValueError, r"backward: the tensor has shape \(2, 3\); a gradient"),
    (
        lambda: (A * 2).backward(np.ones((2, 3))),
        TypeError,
        "backward: grad has dtype float64, expected float32",
    ),
    (lambda: (A * 2).backward(A._data[0]), ValueError, r"backward: grad has shape \(3,\)"),
    (lambda: D.sum().backward(), RuntimeError, "does not depend on any tensor with requires_grad=True"),
    (lambda: no_grad()(A.sum)().backward(), RuntimeError, "or was computed under no_grad"),
    (lambda: A.item(), ValueError, "Tensor.item: the shape is"),
    (lambda: float(A), TypeError, "expected a single element"),
    (lambda: bool(A), ValueError, "ambiguous"),
    (lambda: [1, 2][A[0, 0]], TypeError, "a float32 Tensor is no index"),
    (lambda: A.__setitem__(0, 1), TypeError, "elements cannot be assigned"),
    (lambda: len(A.sum()), TypeError, "without axes"),
    (lambda: np.sin(A), TypeError, "numpy.sin of a Tensor would lose the gradient"),
    (lambda: np.concatenate([A, A]), TypeError, "numpy.concatenate of a Tensor would lose .*; use ur.concat"),
    (lambda: np.stack([D, A], axis=1), TypeError, "numpy.stack of a Tensor would lose .*; use ur.stack"),
    (lambda: np.where(True, A, 0), TypeError, "numpy.where of a Tensor would lose .*; use ur.where"),
    (lambda: np.dot(a=D, b=A.T), TypeError, "numpy.dot of a Tensor would lose .*; use ur.matmul"),
    (lambda: iter(A.sum()), TypeError, "iteration over a Tensor without axes"),
    (lambda: np.add.reduce(A), TypeError, "numpy.add.reduce of a Tensor would lose the gradient"),
    (lambda: np.add(I, 1, out=Tensor(I)), TypeError, "a Tensor cannot be written into"),
    (lambda: np.sum(A, dtype=np.float64), TypeError, "Tensor.sum: received dtype="),
    (lambda: A.sum(0, keep=True), TypeError, "Tensor.sum: there is no option keep"),
]


@pytest.mark.parametrize(("call", "error", "message"), CASES, ids=[message[:40] for _, _, message in CASES])
def test_bad_arguments(call: Call, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_sizes_beyond_memory_say_so() -> None:
    x = Tensor(np.zeros((1, 1)))
    with pytest.raises((MemoryError, ValueError)):
        ops.broadcast_to(x, (2**40, 2**21))
    with pytest.raises(MemoryError):
        ops.linear(np.zeros((2**24, 0)), np.zeros((2**24, 0)))


def test_rows_without_columns_are_sums_of_nothing() -> None:
    y = ops.linear(np.zeros((3, 0)), np.zeros((2, 0)), np.array([1.0, 2.0]))
    np.testing.assert_array_equal(y, [[1, 2]] * 3)
