"""The models that recipes share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import unrolled as ur
from unrolled.tape import Array
from unrolled.tensor import Tensor

Make = Callable[[int, int, int, np.random.Generator], Any]  # input size, hidden size, steps to remember, rng


class Reader(ur.Module):
    """A recurrent layer and a linear one: an answer at every step, or one from the last state.

    Args:
        cell: a recurrent layer.
        output_size: numbers in an answer.
        last: whether there is one answer, after the last step.
        direct: whether the answer at every step sees the input of that step, too.
        rng: source of the initial values of the linear layers.
    """

    def __init__(
        self,
        cell: Any,
        output_size: int,
        *,
        last: bool = False,
        direct: bool = False,
        rng: np.random.Generator | None = None,
    ) -> None:
        self.cell = cell
        self.last = last
        self.output = ur.Linear(cell.output_size, output_size, dtype=cell.dtype, rng=rng)
        self.direct = (
            ur.Linear(cell.input_size, output_size, bias=False, dtype=cell.dtype, rng=rng) if direct else None
        )

    def forward(self, x: Any, lengths: Any = None, state: Any = None, **options: Any) -> tuple[Tensor, Any]:
        """x (T, B, I) -> logits (T, B, O), or (B, O) after the last step, and the state."""
        y, state = self.cell(x, state, lengths, **options)
        logits = self.output(ur.final_hidden(state) if self.last else y)
        return (logits if self.direct is None else logits + self.direct(x)), state


def plain(cell: Any) -> Make:
    """A cell of this class as it starts by itself."""
    return lambda input_size, hidden_size, steps, rng: cell(input_size, hidden_size, rng=rng)


def chrono_lstm(
    input_size: int, hidden_size: int, steps: int, rng: np.random.Generator, **options: Any
) -> ur.LSTM:
    """An LSTM whose forget biases start at log U(1, T) and input biases at minus that.

    Its units keep what they have for 1 to T steps, and take in as little at every step as they lose (C. Tallec,
    Y. Ollivier, Can recurrent neural networks warp time?, ICLR 2018). T = `steps`; `options` are those of `LSTM`.
    """
    cell = ur.LSTM(input_size, hidden_size, rng=rng, **options)
    biases = _biases(cell)
    biases["f"][...] = np.log(rng.uniform(1, steps, hidden_size))
    biases["i"][...] = -biases["f"]
    return cell


def chrono_gru(input_size: int, hidden_size: int, steps: int, rng: np.random.Generator) -> ur.GRU:
    """The same for a GRU: its z, which keeps the past, starts with biases log U(1, T)."""
    cell = ur.GRU(input_size, hidden_size, rng=rng)
    _biases(cell)["z"][...] = np.log(rng.uniform(1, steps, hidden_size))
    return cell


def _biases(cell: Any) -> dict[str, Array]:
    """The bias of every gate, to be written to."""
    return dict(zip(cell.gates, np.split(cell.b.data, len(cell.gates)), strict=True))
