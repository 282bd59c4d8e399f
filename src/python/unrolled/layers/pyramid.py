"""Recurrent layers, each of which reads pairs of steps of the one below."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from unrolled import checks, ops
from unrolled.layers.recurrent import with_dt, zero_padding
from unrolled.layers.stack import Stack
from unrolled.tensor import Tensor, as_tensor

Array = np.ndarray[Any, Any]


def join_pairs(x: Any, lengths: Any = None) -> tuple[Tensor, Array]:
    """Joins steps 2j and 2j + 1 to one: x (T, B, F) -> (ceil(T / 2), B, 2 F), and lengths ceil(lengths / 2).

    y[j] = [x[2j], x[2j + 1]]; the last step of an odd length is paired with zeros.
    """
    x = as_tensor(x, "join_pairs", "x")
    if x.ndim != 3:
        raise ValueError(f"join_pairs: x has shape {x.shape}, expected (time, batch, features)")
    T, B, F = x.shape
    sizes = checks.lengths("join_pairs", lengths, T, B)
    x = zero_padding(x, sizes)
    if T % 2:
        x = ops.concat([x, np.zeros((1, B, F), x.dtype)])
    half = (T + 1) // 2
    pairs = ops.transpose(ops.reshape(x, (half, 2, B, F)), (0, 2, 1, 3))
    return ops.reshape(pairs, (half, B, 2 * F)), np.full(B, half) if sizes is None else (sizes + 1) // 2


class Pyramid(Stack):
    """Recurrent layers, each at half of the rate of the one below (the listener of Listen, Attend and Spell).

        y[0] = layers[0](x)
        y[l] = layers[l](p),    p[j] = [y[l-1][2j], y[l-1][2j+1]]

    With L layers, T steps become ceil(T / 2^(L-1)), and so does every length; an odd last step is paired with
    zeros. The call gives `y, state, lengths`: one more than other layers, since what follows needs the new
    lengths (`Sequential` passes them on). The state is a tuple with the state of every layer, bottom first.
    There is no `step`: outputs come after every 2^(L-1)-th input only.

        pyramid = ur.Pyramid([ur.Bidirectional(ur.LSTM(40, 64), ur.LSTM(40, 64)),
                              ur.Bidirectional(ur.LSTM(256, 64), ur.LSTM(256, 64))])
        y, state, lengths = pyramid(x, lengths=lengths)    # y (ceil(T / 2), B, 128)

    Args:
        cells: cells, `Bidirectional`s or `Stack`s; each but the first has twice the output size of the one
            below as its input size.
        dropout: probability of zeroing between layers, in [0, 1).
        rng: source of the dropout masks.

    Source: W. Chan et al., Listen, attend and spell, ICASSP 2016.
    """

    _steps_joined = 2

    def forward(  # type: ignore[override]
        self,
        x: Any,
        state: Any = None,
        lengths: Any = None,
        reset: Any = None,
        *,
        reverse: bool = False,
        dt: Any = None,
    ) -> tuple[Tensor, tuple[Any, ...], Array]:
        """x (T, B, I) -> y (T', B, H) of the top layer, the last state of every layer, and the lengths of y.

        `reset` may be set only where a pair begins in every layer, at multiples of 2^(L-1): elsewhere a pair
        would hold steps of two sequences. The dt of a pair is the sum of those of its steps.
        """
        states = self._states(state)
        times = with_dt("Pyramid", self.cells, dt)
        y, last = self._layer(0, x, states[0], lengths, reset, reverse, times[0])
        after = [last]
        sizes = np.full(y.shape[1], y.shape[0]) if lengths is None else np.asarray(lengths, np.int64)
        for number in range(1, len(self.cells)):
            if dt is not None:
                dt = _sums_of_pairs(dt, y.shape[:2], sizes)
                times = with_dt("Pyramid", self.cells, dt)
            y, sizes = join_pairs(y, sizes)
            reset = _pairs_of(reset)
            y, last = self._layer(number, y, states[number], sizes, reset, reverse, times[number])
            after.append(last)
        return y, tuple(after), sizes

    def step(self, x_t: Any, state: Any = None, dt: Any = None) -> NoReturn:
        """Not possible; raises TypeError."""
        raise TypeError("Pyramid: there is no step, because it has not one output for every input")

    def joined_dt(self, dt: Any, shape: tuple[int, ...], lengths: Any = None) -> Any:
        """The dt of y, from that of x, whose steps and rows are `shape`: None, or (T', B)."""
        sizes = None if lengths is None else np.asarray(lengths)
        for _ in self.cells[1:]:
            if dt is not None:
                dt = _sums_of_pairs(dt, shape, sizes)
            shape = ((shape[0] + 1) // 2, shape[1])
            sizes = None if sizes is None else (sizes + 1) // 2
        return dt

    def joined_reset(self, reset: Any) -> Any:
        """The resets of y, from those of x: (T, B) -> (T', B)."""
        for _ in self.cells[1:]:
            reset = _pairs_of(reset)
        return reset


def _sums_of_pairs(dt: Any, shape: tuple[int, ...], lengths: Any) -> Any:
    """dt (number, (T,) or (T, B)) -> (ceil(T / 2), B): the time that both steps of a pair take."""
    T, B = shape
    times = as_tensor(dt, "Pyramid", "dt")
    times = times if isinstance(dt, Tensor) else ops.astype(times, np.float64)
    times = ops.broadcast_to(ops.unsqueeze(times, 1) if times.ndim == 1 else times, (T, B))
    sums = ops.sum(join_pairs(ops.unsqueeze(times, 2), lengths)[0], axis=2)
    return sums if isinstance(dt, Tensor) else sums._data


def _pairs_of(reset: Any) -> Any:
    if reset is None:
        return None
    reset = np.asarray(reset)
    wrong = np.argwhere(reset[1::2])
    if len(wrong):
        raise ValueError(
            f"Pyramid: reset is set between the two steps of pair {wrong[0][0]} of row {wrong[0][1]}, expected "
            "only where pairs begin in every layer"
        )
    return reset[::2]
