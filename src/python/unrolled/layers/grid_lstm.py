"""Grid LSTM: LSTM cells along time, space and depth."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from unrolled import checks, init, ops
from unrolled.layers.wavefront import (
    check_grid,
    check_lengths,
    check_reverse,
    flip,
    valid_positions,
    wavefront,
    zero_outside,
)
from unrolled.module import Module
from unrolled.ops.prepared import Prepared
from unrolled.tensor import Tensor, as_tensor, no_grad

Array = np.ndarray[Any, Any]


class GridLSTMState(NamedTuple):
    """h, c of all layers side by side: (B, depth * H) each. In three dimensions with one more axis in front."""

    h: Any
    c: Any


class GridLSTM(Module):
    """LSTM cells in a grid whose axes are time (two dimensions) or an image (three), and depth.

    The block at position t of layer l has an LSTM for each of its D axes, all of which read all that comes in:

        P = [h_0[t-1, l], h_d[t, l-1]]                              (three dimensions: [h_0, h_1, h_d])
        i_k, f_k, o_k = sigmoid,  g_k = tanh   of   W_k[l] P + b_k[l]                for each axis k
        c_k = f_k c_k' + i_k g_k,    h_k = o_k tanh(c_k)            c_k': that of the block before, along axis k

    so that depth has memory cells as time has. The input enters below, [h_d; c_d] = W_in x[t] + b_in, and
    y[t] = h_d[t, depth - 1]. Rows of W[l] are ordered by axis, then i f g o, then unit; the depth axis is last.

    In two dimensions it is called as a cell is, `y, state = layer(x, state, lengths, reset)`, and has `step`; the
    state holds h_0 and c_0 of all layers. In three dimensions x is (n0, n1, B, I), `lengths` (B, 2) are the sizes of
    each row, `reverse` may be a flag for each axis, and the state is a pair: what leaves the last rows, h and c
    (n1, B, depth * H), and the last columns, (n0, B, depth * H). All loops run in C++, blocks of a wavefront at once.

    Args:
        input_size: features of x.
        hidden_size: H, units along each axis.
        depth: layers.
        dimensions: D, 2 or 3.
        tied: whether all layers share one W and b.
        forget_bias: initial value of the bias of all f.
        bias: whether there are b and b_in.
        dtype: float32 or float64.
        rng: source of the initial values; None: a new one.

    Attributes:
        W: (depth, or 1 where tied, D * 4 * H, D * H), orthogonal by gate.
        b: (depth or 1, D * 4 * H) or None.
        W_in: (2 * H, I), Glorot uniform.
        b_in: (2 * H,) or None.

    Source: N. Kalchbrenner, I. Danihelka, A. Graves, Grid long short-term memory, ICLR 2016.
    """

    State = GridLSTMState

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        depth: int,
        *,
        dimensions: int = 2,
        tied: bool = False,
        forget_bias: float = 1.0,
        bias: bool = True,
        dtype: Any = np.float32,
        rng: np.random.Generator | None = None,
    ) -> None:
        who = "GridLSTM"
        self.input_size = checks.size(who, "input_size", input_size)
        self.hidden_size = checks.size(who, "hidden_size", hidden_size)
        self.depth = checks.size(who, "depth", depth)
        self.dimensions = checks.size(who, "dimensions", dimensions, least=2)
        if self.dimensions > 3:
            raise ValueError(f"{who}: dimensions is {dimensions}, expected 2 or 3")
        self.tied = checks.flag(who, "tied", tied)
        self.forget_bias = checks.number(who, "forget_bias", forget_bias)
        self.bias = checks.flag(who, "bias", bias)
        self.dtype = checks.float_dtype(who, dtype)
        self._set_parameters(checks.generator(who, rng))
        self._prepared = Prepared()

    def _set_parameters(self, rng: np.random.Generator) -> None:
        D, H, L = self.dimensions, self.hidden_size, 1 if self.tied else self.depth
        made: dict[str, Any] = {"rng": rng, "dtype": self.dtype}
        W = [init.orthogonal_values((D * 4 * H, D * H), blocks=D * 4, **made) for _ in range(L)]
        self.W = Tensor(np.stack(W), requires_grad=True)
        self.W_in = Tensor(
            init.glorot_uniform_values((2 * H, self.input_size), blocks=2, **made), requires_grad=True
        )
        self.b = Tensor(np.zeros((L, D * 4 * H), self.dtype), requires_grad=True) if self.bias else None
        self.b_in = Tensor(np.zeros(2 * H, self.dtype), requires_grad=True) if self.bias else None
        self._set_forget_bias(self.forget_bias)

    def _gate_blocks(self, name: str) -> int:
        return 2 if name == "W_in" else 1

    def _set_forget_bias(self, value: float) -> bool:
        if self.b is None:
            return False
        self.b._data.reshape(-1, 4, self.hidden_size)[:, 1] = value
        self.b.touch()
        return True

    @property
    def output_size(self) -> int:
        """Features of y."""
        return self.hidden_size

    def forward(
        self, x: Any, state: Any = None, lengths: Any = None, reset: Any = None, *, reverse: Any = False
    ) -> tuple[Tensor, Any]:
        """x (T, B, I) -> y (T, B, H) and the last state; (n0, n1, B, I) -> (n0, n1, B, H) in three dimensions."""
        who, axes = "GridLSTM", self.dimensions - 1
        x = check_grid(who, x, axes, self.input_size, self.dtype)
        *sizes, B, _ = x.shape
        starts = self._checked_state(state, tuple(sizes), B)
        valid = valid_positions(check_lengths(who, lengths, sizes, B), sizes, B)
        cuts = self._checked_reset(reset, sizes, B)
        turned = check_reverse(who, reverse, axes)
        if 0 in sizes:
            last = [GridLSTMState(as_tensor(h), as_tensor(c)) for h, c in starts]
            empty = ops.linear(x, self.W_in, self.b_in)[..., : self.hidden_size]  # on the tape, as any output
            return empty, self._state_of(last)
        if turned[0] and cuts is not None:  # the cut between t - 1 and t now comes before t - 1
            cuts = np.concatenate([(cuts & valid)[1:], np.zeros_like(cuts[:1])])
        live = valid.astype(np.int64) if cuts is None else valid * (1 + cuts)
        h, c = self._run(flip(zero_outside(x, valid), turned), starts, flip(live, turned))
        y = h[:, :, -1, :, axes * self.hidden_size :]
        y = zero_outside(flip(ops.reshape(y, (*sizes, B, self.hidden_size)), turned), valid)
        last = [GridLSTMState(self._leaving(h, axis), self._leaving(c, axis)) for axis in range(axes)]
        return y, self._state_of(last)

    def _run(self, x: Tensor, starts: list[Any], live: Array) -> tuple[Tensor, Tensor]:
        """h and c (n0, n1, depth, B, D * H) of all blocks."""
        D, H, L = self.dimensions, self.hidden_size, self.depth
        sizes, B = (*x.shape[:-2], 1)[:2], x.shape[-2]
        entering = ops.reshape(ops.linear(x, self.W_in, self.b_in), (*sizes, 1, B, 2 * H))
        into = []
        for axis, pair in enumerate(starts):
            shape = list(sizes)
            shape[axis] = 1
            for part in pair:  # (.., B, depth * H) -> (n0 or 1, n1 or 1, depth, B, H)
                split = ops.reshape(part, (*shape, B, L, H))
                into.append(ops.transpose(split, (0, 1, 3, 2, 4)))
        into += [entering[..., :H], entering[..., H:]]
        steps = [*((1, 0, 0), (0, 1, 0))[: D - 1], (0, 0, 1)]
        all_live = np.broadcast_to(np.reshape(live, (*sizes, 1, B)), (*sizes, L, B))
        options: dict[str, Any] = {"streams": D, "memories": 1, "prepared": self._prepared}
        return wavefront(steps, (1, 1, 1), all_live, self.W, None, self.b, into, **options)

    def _leaving(self, h: Tensor, axis: int) -> Tensor:
        """What leaves the grid at the end of an axis: (.., B, depth * H)."""
        H = self.hidden_size
        part = (h[-1] if axis == 0 else h[:, -1])[..., axis * H : (axis + 1) * H]  # (other, depth, B, H)
        other, L, B, _ = part.shape
        joined = ops.reshape(ops.transpose(part, (0, 2, 1, 3)), (other, B, L * H))
        return joined[0] if self.dimensions == 2 else joined

    def _state_of(self, last: list[GridLSTMState]) -> Any:
        return last[0] if self.dimensions == 2 else tuple(last)

    def _checked_reset(self, reset: Any, sizes: list[int], batch: int) -> Array | None:
        if reset is not None and self.dimensions == 3:
            raise ValueError(
                "GridLSTM: reset is given, expected None in three dimensions, which have no time"
            )
        return checks.resets("GridLSTM", reset, sizes[0], batch)

    def _checked_state(self, state: Any, sizes: tuple[int, ...], batch: int) -> list[Any]:
        """One (h, c) for each axis but depth."""
        if state is None:
            return list(self._zeros(sizes, batch))
        pairs = [state] if self.dimensions == 2 else state
        wanted = "GridLSTMState(h, c)" if self.dimensions == 2 else "two GridLSTMState(h, c)"
        if not isinstance(pairs, (tuple, list)) or len(pairs) != self.dimensions - 1:
            raise TypeError(f"GridLSTM: state is a {checks.kind_of(state)}, expected {wanted}")
        for axis, pair in enumerate(pairs):
            if not isinstance(pair, tuple) or len(pair) != 2:
                raise TypeError(f"GridLSTM: state holds a {checks.kind_of(pair)}, expected {wanted}")
            shape = (*sizes[:axis], *sizes[axis + 1 :], batch, self.depth * self.hidden_size)
            for name, part in zip("hc", pair, strict=True):
                why = f"{shape}: batch of x, depth={self.depth} times hidden_size={self.hidden_size}"
                checks.floats("GridLSTM", name, part, self.dtype, shape, why)
        return list(pairs)

    def _zeros(self, sizes: tuple[int, ...], batch: int) -> list[GridLSTMState]:
        others = [sizes[:axis] + sizes[axis + 1 :] for axis in range(self.dimensions - 1)]
        shapes = [(*other, batch, self.depth * self.hidden_size) for other in others]
        return [GridLSTMState(np.zeros(s, self.dtype), np.zeros(s, self.dtype)) for s in shapes]

    def initial_state(self, batch_size: int, sizes: tuple[int, int] | None = None) -> Any:
        """Zeros for `batch_size` rows; in three dimensions for images of `sizes` (n0, n1)."""
        batch = checks.size("GridLSTM", "batch_size", batch_size, least=0)
        if self.dimensions == 2:
            return self._zeros((0,), batch)[0]
        if not isinstance(sizes, tuple) or len(sizes) != 2:
            raise ValueError(f"GridLSTM: sizes is {sizes!r}, expected (n0, n1) in three dimensions")
        return tuple(self._zeros(sizes, batch))

    def step(self, x_t: Any, state: Any = None) -> tuple[Array, Any]:
        """x_t (B, I) -> y_t (B, H) and the next state, all plain arrays, without a tape; two dimensions only."""
        if self.dimensions == 3:
            raise TypeError("GridLSTM: there is no step in three dimensions, which have no time")
        array = checks.floats(
            "GridLSTM", "x_t", x_t, self.dtype, (None, self.input_size), f"(batch, {self.input_size})"
        )
        with no_grad():
            y, (h, c) = self.forward(array[None], state)
        return y._data[0], GridLSTMState(h._data, c._data)
