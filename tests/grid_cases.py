"""The table of layers over a grid, each with an independent NumPy reference for one image, position by position."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

import unrolled as ur
from cases import randomized
from steps import Array, Parameters, sigmoid
from wiring_cases import inside, lstm_block

Offsets = tuple[tuple[int, ...], ...]


def back(position: tuple[int, ...], offset: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(p - o for p, o in zip(position, offset, strict=True))


def image_lstm(operands: Offsets, memories: int) -> Callable[..., Array]:
    """Graves et al. (2007), van den Oord et al. (2016): what each position sees, and which of it carries memory."""

    def reference(p: Parameters, x: Array) -> Array:
        H = p["W_hh"].shape[1] // len(operands)
        h: dict[tuple[int, ...], Array] = {}
        c: dict[tuple[int, ...], Array] = {}
        y = np.zeros((*x.shape[:-1], H), np.result_type(x, *p.values()))
        for position in product(*map(range, x.shape[:-1])):
            seen = [h.get(back(position, o), np.zeros(H)) for o in operands]
            z = p["W_ih"] @ x[position] + p["W_hh"] @ np.concatenate(seen) + p.get("b", 0.0)
            i, *f, g, o = np.split(z, 3 + memories)
            c[position] = sigmoid(i) * np.tanh(g)
            for gate, offset in zip(f, operands[:memories], strict=True):
                c[position] = c[position] + sigmoid(gate) * c.get(back(position, offset), np.zeros(H))
            y[position] = h[position] = sigmoid(o) * np.tanh(c[position])
        return y

    return reference


def grid_lstm_3d(p: Parameters, x: Array, starts: Any = None) -> Any:
    """Kalchbrenner et al. (2016): a grid of rows, columns and depth; also gives what leaves at both ends.

    `starts`: (h, c) per axis, each (other axis, depth, H).
    """
    H, L = p["W"].shape[2] // 3, 4
    n0, n1 = x.shape[:2]
    zeros = [(np.zeros((n, L, H)),) * 2 for n in (n1, n0)]
    down, right = zeros if starts is None else starts
    dtype = np.result_type(x, *p.values(), *down, *right)
    down, right = ([[list(row) for row in part] for part in side] for side in (down, right))
    y = np.zeros((n0, n1, H), dtype)
    for r, q in product(range(n0), range(n1)):
        h_depth, m_depth = np.split(p["W_in"] @ x[r, q] + p["b_in"], 2)
        for layer in range(L):
            W, b = (p[name][layer if len(p[name]) > 1 else 0] for name in ("W", "b"))
            z = (W @ np.concatenate([down[0][q][layer], right[0][r][layer], h_depth]) + b)[None]
            blocks = np.split(z, 3, axis=1)
            before = (down[1][q][layer], right[1][r][layer], m_depth)
            (new, right_new, depth_new) = (
                [a[0] for a in lstm_block(block, m[None])] for block, m in zip(blocks, before, strict=True)
            )
            down[0][q][layer], down[1][q][layer] = new
            right[0][r][layer], right[1][r][layer] = right_new
            h_depth, m_depth = depth_new
        y[r, q] = h_depth
    return y, [np.array(part) for part in (*down, *right)]


def all_directions(inner: Callable[..., Array], axes: int, merge: str) -> Callable[..., Array]:
    def reference(p: Parameters, x: Array) -> Array:
        outputs = []
        for number, turned in enumerate(product((1, -1), repeat=axes)):
            flip = tuple(slice(None, None, direction) for direction in turned)
            outputs.append(inner(inside(p, f"layers.{number}"), x[flip])[flip])
        return np.concatenate(outputs, axis=-1) if merge == "concat" else sum(outputs[1:], outputs[0])

    return reference


@dataclass(frozen=True)
class GridCase:
    name: str
    make: Callable[..., Any]
    reference: Callable[..., Array]  # of one image
    axes: int = 2
    turns: bool = True  # takes `reverse`

    def layer(self, dtype: Any = np.float64, seed: int = 0) -> Any:
        return randomized(self.make, dtype, seed)

    def run(self, p: Parameters, x: Array, lengths: Any = None, reverse: Any = False) -> Array:
        """The reference on every image of a batch, cut to its sizes and turned."""
        sizes, B = x.shape[: self.axes], x.shape[self.axes]
        turned = np.broadcast_to(reverse, self.axes)
        flip = tuple(slice(None, None, -1 if flag else 1) for flag in turned)
        y: Any = None
        for b in range(B):
            part = tuple(slice(0, n) for n in (sizes if lengths is None else lengths[b]))
            image = self.reference(p, x[(*part, b)][flip])[flip]
            y = np.zeros((*sizes, B, image.shape[-1]), np.result_type(x, *p.values())) if y is None else y
            y[(*part, b)] = image
        return y

    def __str__(self) -> str:
        return self.name


PLANE, SPACE = ((1, 0), (0, 1)), ((1, 0, 0), (0, 1, 0), (0, 0, 1))
CASES = [
    GridCase("MD2", lambda **m: ur.MultiDimensionalLSTM(5, 3, **m), image_lstm(PLANE, 2)),
    GridCase("MD2-wide", lambda **m: ur.MultiDimensionalLSTM(5, 18, bias=False, **m), image_lstm(PLANE, 2)),
    GridCase("MD3", lambda **m: ur.MultiDimensionalLSTM(5, 3, dimensions=3, **m), image_lstm(SPACE, 3), axes=3),
    GridCase("Row", lambda **m: ur.RowLSTM(5, 4, **m), image_lstm(((1, 0), (1, 1), (1, -1)), 1)),
    GridCase("Diagonal", lambda **m: ur.DiagonalLSTM(5, 4, **m), image_lstm(((0, 1), (1, 0)), 1)),
    GridCase("Grid3", lambda **m: ur.GridLSTM(5, 3, 4, dimensions=3, **m), lambda p, x: grid_lstm_3d(p, x)[0]),
    GridCase(
        "Grid3-tied", lambda **m: ur.GridLSTM(5, 3, 4, dimensions=3, tied=True, **m),
        lambda p, x: grid_lstm_3d(p, x)[0],
    ),
    GridCase(
        "Directions",
        lambda **m: ur.MultiDirectional([ur.MultiDimensionalLSTM(5, 2, **m) for _ in range(4)]),
        all_directions(image_lstm(PLANE, 2), 2, "concat"), turns=False,
    ),
    GridCase(
        "Directions-sum",
        lambda **m: ur.MultiDirectional(
            [ur.MultiDimensionalLSTM(5, 2, dimensions=3, **m) for _ in range(8)], merge="sum"
        ),
        all_directions(image_lstm(SPACE, 3), 3, "sum"), axes=3, turns=False,
    ),
]  # fmt: skip
