"""LSTMs over images and volumes: multi-dimensional, row and diagonal recurrences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from unrolled import checks, init, ops
from unrolled.layers.wavefront import (
    check_grid,
    check_lengths,
    check_reverse,
    flip,
    padded_shape,
    valid_positions,
    wavefront,
    zero_outside,
)
from unrolled.module import Module
from unrolled.tensor import Tensor

Steps = tuple[tuple[int, int, int], ...]


class GridRecurrent(Module):
    """An LSTM over the positions of a grid: `y = layer(x, lengths)`, x (n0, n1, B, I), y (n0, n1, B, H).

    Subclasses say at which earlier positions a step looks. All loops run in C++, one wavefront after the other; the
    positions of a wavefront are computed at once and shared among threads.

    `lengths` (B, axes) are the sizes of each row of the batch: y is zero outside of them, and nothing outside is
    read. `reverse` turns all axes, or with a tuple each: the recurrence then comes from the other end, within the
    sizes of each row.

    Parameters: `W_ih` (G*H, I) Glorot uniform, `W_hh` (G*H, K*H) for K operands, orthogonal by gate, `b` (G*H,).
    """

    takes_lengths: ClassVar[bool] = True  # as a layer over images, whose call gives y alone
    axes: int
    _steps: ClassVar[Steps]
    _front: ClassVar[tuple[int, int, int]]
    _memories: ClassVar[int] = 1

    b: Tensor | None

    def _build(
        self,
        input_size: Any,
        hidden_size: Any,
        axes: int,
        forget_bias: float,
        bias: Any,
        dtype: Any,
        rng: Any,
    ) -> None:
        who = type(self).__name__
        self.input_size = checks.size(who, "input_size", input_size)
        self.hidden_size = checks.size(who, "hidden_size", hidden_size)
        self.bias = checks.flag(who, "bias", bias)
        self.dtype = checks.float_dtype(who, dtype)
        self.axes = axes
        rng = checks.generator(who, rng)
        G, H = self._memories + 3, self.hidden_size
        made: dict[str, Any] = {"blocks": G, "rng": rng, "dtype": self.dtype}
        self.W_ih = Tensor(init.glorot_uniform_values((G * H, self.input_size), **made), requires_grad=True)
        self.W_hh = Tensor(init.orthogonal_values((G * H, len(self._steps) * H), **made), requires_grad=True)
        self.b = Tensor(np.zeros(G * H, self.dtype), requires_grad=True) if bias else None
        self._set_forget_bias(forget_bias)

    def _gate_blocks(self, name: str) -> int:
        return self._memories + 3 if name in ("W_ih", "W_hh") else 1

    def _set_forget_bias(self, value: float) -> bool:
        if self.b is None:
            return False
        self.b._data.reshape(-1, self.hidden_size)[1 : 1 + self._memories] = value
        self.b.touch()
        return True

    @property
    def output_size(self) -> int:
        """Features of y."""
        return self.hidden_size

    def forward(self, x: Any, lengths: Any = None, *, reverse: bool | Sequence[bool] = False) -> Tensor:
        """x (n0, .., B, I) -> y (n0, .., B, H)."""
        who = type(self).__name__
        x = check_grid(who, x, self.axes, self.input_size, self.dtype)
        turned = check_reverse(who, reverse, self.axes)
        *sizes, batch, _ = x.shape
        valid = valid_positions(check_lengths(who, lengths, sizes, batch), sizes, batch)
        grid = (*padded_shape(sizes), batch)
        a = ops.linear(flip(zero_outside(x, valid), turned), self.W_ih, self.b)
        h, _ = wavefront(
            self._steps,
            self._front,
            np.reshape(flip(valid, turned), grid),
            ops.reshape(self.W_hh, (1, *self.W_hh.shape)),
            ops.reshape(a, (*grid, a.shape[-1])),
            streams=1,
            memories=self._memories,
        )
        y: Tensor = flip(ops.reshape(h, (*sizes, batch, self.hidden_size)), turned)
        return y


class MultiDimensionalLSTM(GridRecurrent):
    """LSTM over images or volumes that looks back by one step along every axis, with a forget gate for each.

        P = [h[p - e_0], .., h[p - e_{n-1}]]                               e_d: one step along axis d
        i, f_0 .. f_{n-1}, o = sigmoid,  g = tanh   of   W_ih x[p] + W_hh P + b
        c[p] = i g + sum over d of f_d c[p - e_d]
        h[p] = o tanh(c[p]),    y[p] = h[p]

    with the blocks i, f_0 .. f_{n-1}, g, o in the rows of W_ih and W_hh. Without the peepholes of the paper. One
    layer reads from one corner; `MultiDirectional` joins several that read from all of them.

    Args:
        input_size: features of x.
        hidden_size: hidden units.
        dimensions: n, 2 or 3.
        forget_bias: initial value of b_f; None: such that each forget gate starts at 1 / n. Their sum multiplies the
            cells at every step: above 1, cells grow exponentially with the size of the image.
        bias: whether there is b.
        dtype: float32 or float64.
        rng: source of the initial values; None: a new one.

    Source: A. Graves, S. Fernandez, J. Schmidhuber, Multi-dimensional recurrent neural networks, ICANN 2007.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        dimensions: int = 2,
        forget_bias: float | None = None,
        bias: bool = True,
        dtype: Any = np.float32,
        rng: np.random.Generator | None = None,
    ) -> None:
        who = "MultiDimensionalLSTM"
        self.dimensions = checks.size(who, "dimensions", dimensions, least=2)
        if self.dimensions > 3:
            raise ValueError(f"{who}: dimensions is {dimensions}, expected 2 or 3")
        chosen = -math.log(self.dimensions - 1) if forget_bias is None else forget_bias
        self.forget_bias = checks.number(who, "forget_bias", chosen)
        self._build(input_size, hidden_size, self.dimensions, self.forget_bias, bias, dtype, rng)

    @property
    def _steps(self) -> Steps:  # type: ignore[override]
        return ((1, 0, 0), (0, 1, 0), (0, 0, 1))[: self.dimensions]

    @property
    def _front(self) -> tuple[int, int, int]:  # type: ignore[override]
        return (1, 1, 1)

    @property
    def _memories(self) -> int:  # type: ignore[override]
        return self.dimensions


class _ImageLSTM(GridRecurrent):
    """LSTM over images with one forget gate."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        forget_bias: float = 1.0,
        bias: bool = True,
        dtype: Any = np.float32,
        rng: np.random.Generator | None = None,
    ) -> None:
        self.forget_bias = checks.number(type(self).__name__, "forget_bias", forget_bias)
        self._build(input_size, hidden_size, 2, self.forget_bias, bias, dtype, rng)


class RowLSTM(_ImageLSTM):
    """LSTM down the rows of an image; each position looks at three of the row above.

        P = [h[r-1, q], h[r-1, q-1], h[r-1, q+1]]
        i, f, o = sigmoid,  g = tanh   of   W_ih x[r, q] + W_hh P + b
        c[r, q] = f c[r-1, q] + i g
        h[r, q] = o tanh(c[r, q]),    y = h

    with the blocks i, f, g, o. A row is computed at once; a position sees a triangle above itself.

    Args:
        input_size: features of x.
        hidden_size: hidden units.
        forget_bias: initial value of b_f.
        bias: whether there is b.
        dtype: float32 or float64.
        rng: source of the initial values; None: a new one.

    Source: A. van den Oord, N. Kalchbrenner, K. Kavukcuoglu, Pixel recurrent neural networks, ICML 2016.
    """

    _steps = ((1, 0, 0), (1, 1, 0), (1, -1, 0))
    _front = (1, 0, 0)


class DiagonalLSTM(_ImageLSTM):
    """LSTM over an image whose memory runs along the rows, fed by the position above too.

        P = [h[r, q-1], h[r-1, q]]
        i, f, o = sigmoid,  g = tanh   of   W_ih x[r, q] + W_hh P + b
        c[r, q] = f c[r, q-1] + i g
        h[r, q] = o tanh(c[r, q]),    y = h

    with the blocks i, f, g, o: one direction of the Diagonal BiLSTM, whose skewed image is our wavefront. A position
    sees everything above it and to its left.

    Args:
        input_size: features of x.
        hidden_size: hidden units.
        forget_bias: initial value of b_f.
        bias: whether there is b.
        dtype: float32 or float64.
        rng: source of the initial values; None: a new one.

    Source: A. van den Oord, N. Kalchbrenner, K. Kavukcuoglu, Pixel recurrent neural networks, ICML 2016.
    """

    _steps = ((0, 1, 0), (1, 0, 0))
    _front = (1, 1, 0)
