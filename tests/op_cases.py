"""Every op of `unrolled.ops` in one table: how it is called, and the same in plain NumPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from unrolled import ops

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class OpCase:
    """`reference(*arrays)` is `call(*tensors)` in NumPy. `positive`: the op needs arguments away from 0."""

    name: str
    call: Callable[..., Any]
    reference: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    positive: bool = False

    def arrays(self, dtype: Any, seed: int = 0) -> list[Array]:
        """Random arguments, no two elements equal and none near 0, where some derivatives jump."""
        rng = np.random.default_rng(seed)
        arrays = []
        for shape in self.shapes:
            values = rng.uniform(0.3, 2.0, shape)
            if not self.positive:
                values = values * rng.choice([-1.0, 1.0], shape)
            arrays.append(values.astype(dtype))
        return arrays


def softmax(x: Array, axis: int = -1) -> Array:
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def layer_norm(x: Array, gain: Any = 1, bias: Any = 0) -> Array:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * gain + bias


ROWS = np.array([[4, 0, 4], [1, 1, 4]])
MASK = np.random.default_rng(1).random((3, 4)) < 0.5
ALONG = np.array([[1, 1, 0, 2], [0, 2, 2, 1]])

CASES = [
    OpCase("add", lambda a, b: a + b, np.add, ((3, 4), (3, 4))),
    OpCase("add_row", lambda a, b: a + b, np.add, ((2, 3, 4), (4,))),
    OpCase("add_column", lambda a, b: a + b, np.add, ((3, 1), (2, 1, 4))),
    OpCase("add_nothing", lambda a, b: a + b, np.add, ((0, 4), (1, 4))),
    OpCase("add_number", lambda a: 2 + a + 1.5, lambda a: a + 3.5, ((5,),)),
    OpCase("subtract", lambda a, b: a - b, np.subtract, ((3, 4), (1,))),
    OpCase("subtract_from", lambda a: 1 - a, lambda a: 1 - a, ((3, 4),)),
    OpCase("multiply", lambda a, b: a * b, np.multiply, ((3, 4), ())),
    OpCase("multiply_self", lambda a: a * a * a, lambda a: a**3, ((3, 4),)),
    OpCase("divide", lambda a, b: a / b, np.divide, ((3, 4), (3, 1))),
    OpCase("divide_number", lambda a: 2 / a / 3, lambda a: 2 / a / 3, ((4,),)),
    OpCase("power", lambda a, b: a**b, np.power, ((3, 4), (4,)), positive=True),
    OpCase("power_number", lambda a: a**3, lambda a: a**3, ((3, 4),)),
    OpCase("power_zero", lambda a: a**0, lambda a: a**0, ((3, 4),)),
    OpCase("number_power", lambda a: 2**a, lambda a: 2**a, ((3, 4),)),
    OpCase("negative", lambda a: -a, np.negative, ((3, 4),)),
    OpCase("absolute", abs, np.abs, ((3, 4),)),
    OpCase("square", lambda a: a**2, np.square, ((3, 4),)),
    OpCase("sqrt", ops.sqrt, np.sqrt, ((3, 4),), positive=True),
    OpCase("log", ops.log, np.log, ((3, 4),), positive=True),
    OpCase("maximum", ops.maximum, np.maximum, ((3, 4), (4,))),
    OpCase("minimum", ops.minimum, np.minimum, ((3, 4), (3, 1))),
    OpCase("clip", lambda a: ops.clip(a, -0.9, 1.1), lambda a: np.clip(a, -0.9, 1.1), ((30,),)),
    OpCase("clip_below", lambda a: ops.clip(a, low=0.5), lambda a: np.maximum(a, 0.5), ((30,),)),
    OpCase("where", lambda a, b: ops.where(MASK, a, b), lambda a, b: np.where(MASK, a, b), ((3, 4), (4,))),
    OpCase("where_wide", lambda a: ops.where(MASK, a, 0), lambda a: np.where(MASK, a, 0), ((1, 4),)),
    OpCase("exp", ops.exp, np.exp, ((5, 37),)),
    OpCase("sigmoid", ops.sigmoid, lambda a: 1 / (1 + np.exp(-a)), ((5, 37),)),
    OpCase("tanh", ops.tanh, np.tanh, ((5, 37),)),
    OpCase("tanh_number", ops.tanh, np.tanh, ((),)),
    OpCase("relu", ops.relu, lambda a: np.maximum(a, 0), ((5, 37),)),
    OpCase("softmax", ops.softmax, softmax, ((3, 2, 19),)),
    OpCase("softmax_axis", lambda a: ops.softmax(a, axis=0), lambda a: softmax(a, 0), ((7, 2, 3),)),
    OpCase("softmax_one", ops.softmax, softmax, ((3, 1),)),
    OpCase("log_softmax", ops.log_softmax, lambda a: np.log(softmax(a)), ((4, 33),)),
    OpCase(
        "log_softmax_axis", lambda a: ops.log_softmax(a, 1), lambda a: np.log(softmax(a, 1)), ((2, 5, 3),)
    ),
    OpCase("matmul", lambda a, b: a @ b, np.matmul, ((5, 7), (7, 18))),
    OpCase("matmul_left", lambda a, b: a @ b, np.matmul, ((7,), (7, 3))),
    OpCase("matmul_right", lambda a, b: a @ b, np.matmul, ((2, 4, 7), (7,))),
    OpCase("matmul_dot", lambda a, b: a @ b, np.matmul, ((7,), (7,))),
    OpCase("matmul_rows", lambda a, b: a @ b, np.matmul, ((2, 4, 7), (7, 3))),
    OpCase("matmul_batch", lambda a, b: a @ b, np.matmul, ((3, 4, 7), (3, 7, 5))),
    OpCase("matmul_repeat", lambda a, b: a @ b, np.matmul, ((2, 1, 4, 7), (3, 7, 5))),
    OpCase("matmul_left_batch", lambda a, b: a @ b, np.matmul, ((7,), (3, 7, 5))),
    OpCase("matmul_no_depth", lambda a, b: a @ b, np.matmul, ((3, 0), (0, 5))),
    OpCase("matmul_no_rows", lambda a, b: a @ b, np.matmul, ((0, 3), (3, 5))),
    OpCase("linear", ops.linear, lambda x, W, b: x @ W.T + b, ((3, 4, 9), (17, 9), (17,))),
    OpCase("linear_plain", ops.linear, lambda x, W: x @ W.T, ((70, 9), (17, 9))),
    OpCase("linear_vector", ops.linear, lambda x, W, b: x @ W.T + b, ((9,), (17, 9), (17,))),
    OpCase("linear_nothing", ops.linear, lambda x, W, b: x @ W.T + b, ((0, 9), (17, 9), (17,))),
    OpCase("embedding", lambda W: ops.embedding(W, ROWS), lambda W: W[ROWS], ((5, 3),)),
    OpCase("embedding_few", lambda W: ops.embedding(W, ROWS), lambda W: W[ROWS], ((50, 3),)),
    OpCase(
        "embedding_used_twice", lambda W: ops.embedding(W, ROWS) @ W.T, lambda W: W[ROWS] @ W.T, ((50, 3),)
    ),
    OpCase("layer_norm", ops.layer_norm, layer_norm, ((70, 19), (19,), (19,))),
    OpCase("layer_norm_plain", ops.layer_norm, layer_norm, ((2, 3, 40),)),
    OpCase("sum", lambda a: a.sum(), np.sum, ((3, 4),)),
    OpCase("sum_axis", lambda a: a.sum(1), lambda a: a.sum(1), ((3, 4, 2),)),
    OpCase(
        "sum_axes",
        lambda a: a.sum((0, -1), keepdims=True),
        lambda a: a.sum((0, -1), keepdims=True),
        ((3, 4, 2),),
    ),
    OpCase("sum_nothing", lambda a: a.sum(0), lambda a: a.sum(0), ((0, 4),)),
    OpCase("mean", lambda a: a.mean(), np.mean, ((3, 4),)),
    OpCase("mean_axis", lambda a: a.mean(0, keepdims=True), lambda a: a.mean(0, keepdims=True), ((3, 4),)),
    OpCase("mean_number", lambda a: a.mean(), np.mean, ((),)),
    OpCase("var", lambda a: a.var(-1), lambda a: a.var(-1), ((3, 4),)),
    OpCase("max", lambda a: a.max(), np.max, ((3, 4),)),
    OpCase("max_axis", lambda a: a.max(1), lambda a: a.max(1), ((3, 4),)),
    OpCase(
        "min_axes",
        lambda a: a.min((0, 2), keepdims=True),
        lambda a: a.min((0, 2), keepdims=True),
        ((3, 4, 2),),
    ),
    OpCase("reshape", lambda a: a.reshape(2, -1), lambda a: a.reshape(2, -1), ((3, 4),)),
    OpCase("reshape_tuple", lambda a: a.reshape((6, 2)), lambda a: a.reshape(6, 2), ((3, 4),)),
    OpCase("transpose", lambda a: a.transpose(2, 0, 1), lambda a: a.transpose(2, 0, 1), ((2, 3, 4),)),
    OpCase("transpose_all", lambda a: a.T * 2, lambda a: a.T * 2, ((3, 4),)),
    OpCase("swapaxes", lambda a: ops.swapaxes(a, 0, -1), lambda a: a.swapaxes(0, -1), ((2, 3, 4),)),
    OpCase("squeeze", lambda a: ops.squeeze(a, 1), lambda a: a.squeeze(1), ((2, 1, 4),)),
    OpCase("unsqueeze", lambda a: ops.unsqueeze(a, -1), lambda a: a[..., None], ((2, 4),)),
    OpCase(
        "broadcast_to",
        lambda a: ops.broadcast_to(a, (2, 3, 4)),
        lambda a: np.broadcast_to(a, (2, 3, 4)),
        ((3, 1),),
    ),
    OpCase(
        "concat", lambda *a: ops.concat(a, axis=1), lambda *a: np.concatenate(a, 1), ((2, 3), (2, 0), (2, 5))
    ),
    OpCase("stack", lambda *a: ops.stack(a, axis=-1), lambda *a: np.stack(a, -1), ((2, 3), (2, 3))),
    OpCase("stack_same", lambda a: ops.stack([a, a]), lambda a: np.stack([a, a]), ((2, 3),)),
    OpCase("split", lambda a: ops.split(a, (1, 0, 3), 1)[2], lambda a: a[:, 1:], ((2, 4),)),
    OpCase(
        "split_equal", lambda a: ops.multiply(*ops.split(a, np.int64(2))), lambda a: a[:2] * a[2:], ((4, 3),)
    ),
    OpCase("unstack", lambda a: ops.unstack(a, 1)[1], lambda a: a[:, 1], ((2, 3),)),
    OpCase("iterate", lambda a: ops.concat(list(a)[::-1]), lambda a: a[::-1].reshape(-1), ((2, 3),)),
    OpCase("take_row", lambda a: a[1], lambda a: a[1], ((3, 4),)),
    OpCase("take_slices", lambda a: a[::-2, None, ..., 1:3], lambda a: a[::-2, None, ..., 1:3], ((5, 2, 4),)),
    OpCase(
        "take_all_steps",
        lambda a: ops.stack([a[t] * t for t in range(3)]),
        lambda a: a * [[0], [1], [2]],
        ((3, 4),),
    ),
    OpCase("take_rows", lambda a: a[ROWS], lambda a: a[ROWS], ((5, 2),)),
    OpCase("take_list", lambda a: a[[0, -1, 0]], lambda a: a[[0, -1, 0]], ((5, 2),)),
    OpCase("take_points", lambda a: a[[0, 2, 0], [1, 1, 1]], lambda a: a[[0, 2, 0], [1, 1, 1]], ((3, 4),)),
    OpCase("take_mask", lambda a: a[MASK], lambda a: a[MASK], ((3, 4),)),
    OpCase(
        "take_along_axis",
        lambda a: ops.take_along_axis(a, ALONG, 0),
        lambda a: np.take_along_axis(a, ALONG, 0),
        ((3, 4),),
    ),
    OpCase("astype", lambda a: a.astype(np.float64) * 2, lambda a: a.astype(np.float64) * 2, ((3, 4),)),
]
