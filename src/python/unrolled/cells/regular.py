"""What every gated cell takes: zoneout, dropout of what recurs, bounded gradients, a learned initial state."""

from __future__ import annotations

import zlib
from typing import Any, ClassVar, TypedDict

import numpy as np

from unrolled import checks, ops
from unrolled.cells.base import Recurrent
from unrolled.tensor import Tensor

RATES = ("zoneout_h", "zoneout_c", "recurrent_dropout", "weight_dropout")
_SEEDS = 2**53  # whole numbers below it pass to the native cell as they are


class GatedOptions(TypedDict, total=False):
    """Options of `Gated`, by keyword."""

    zoneout_h: float
    zoneout_c: float
    recurrent_dropout: float
    weight_dropout: float
    gradient_clip: float | None
    learn_initial_state: bool
    recompute: bool | int


class Gated(Recurrent):
    """A cell with gates. Beside its own options it takes:

    Args:
        zoneout_h: probability that a unit keeps h[t-1] for h[t]; in evaluation the mean of both acts (Krueger et al.
            2017).
        zoneout_c: the same for c, in cells that have it; the h of the same step is made of the new c (in
            `FullPeepholeLSTM` and `LayerNormLSTM`, of what is kept).
        recurrent_dropout: dropout of h[t-1] where a matrix multiplies it, one mask for each row of a call (Gal and
            Ghahramani 2016); not of r * h[t-1] and the like.
        weight_dropout: dropout of the recurrent matrices, one mask for each call: DropConnect (Merity et al. 2018).
            Neither of the two where the cell has no such matrix.
        gradient_clip: bound of the gradient of every gate's sum inside backward (Graves 2013); None: none.
        learn_initial_state: whether the state that a call starts from where none is given, and to which a reset goes
            back, is a parameter, `h0` (and `c0`, ...), zeros at first.
        recompute: whether training keeps only a part of the steps at a time, see `Recurrent`.

    All but `learn_initial_state` may be set later, too. Masks are drawn in training mode, in calls over sequences;
    `step` and evaluation mode use what they are on average. They are functions of `seed`, `counter` (of the calls), the
    time, the row and the unit alone.
    """

    _least_starts: ClassVar[dict[str, float]] = {}  # bounds of learned initial states

    # Set: calls repeat parts of an earlier one, from this time of it on, with the masks it drew.
    _replayed_from: int | None = None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        zoneout_h: float = 0.0,
        zoneout_c: float = 0.0,
        recurrent_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        gradient_clip: float | None = None,
        learn_initial_state: bool = False,
        bias: bool = True,
        dtype: Any = np.float32,
        rng: np.random.Generator | None = None,
        recompute: bool | int = False,
    ) -> None:
        who, names = type(self).__name__, self.State._fields
        self.zoneout_h, self.zoneout_c = zoneout_h, zoneout_c
        self.recurrent_dropout, self.weight_dropout = recurrent_dropout, weight_dropout
        self.gradient_clip = gradient_clip
        self.learn_initial_state = checks.flag(who, "learn_initial_state", learn_initial_state)
        rng = checks.generator(who, rng)
        self.seed = self.counter = 0
        super().__init__(input_size, hidden_size, bias=bias, dtype=dtype, rng=rng, recompute=recompute)
        if self.learn_initial_state:
            for name, size in zip(names, self._state_sizes(), strict=True):
                start = self._vector(size)
                if name in self._least_starts:
                    start._least = self._least_starts[name]
                setattr(self, f"{name}0", start)
        if self._random:
            self.seed = int(rng.integers(_SEEDS))

    def __setattr__(self, name: str, value: Any) -> None:
        if name in RATES:
            value = self._checked_rate(name, value)
        elif name == "gradient_clip" and value is not None:
            value = checks.positive(type(self).__name__, name, value)
        elif name == "learn_initial_state" and "W_ih" in vars(self):
            raise AttributeError(f"{type(self).__name__}: {name} is set when the cell is made")
        super().__setattr__(name, value)
        if name in RATES and value and "W_ih" in vars(self) and not self.seed:
            # No masks were to be drawn when the cell was made. Cells of different weights draw different ones.
            self.seed = zlib.crc32(self.W_ih._data.tobytes())

    def _checked_rate(self, name: str, value: Any) -> float:
        who = type(self).__name__
        rate = checks.fraction(who, name, value)
        if rate and name.startswith("zoneout_") and name[-1] not in self.State._fields:
            raise ValueError(f"{who}: {name} is given, expected 0 because its state has no {name[-1]}")
        if rate and name.endswith("_dropout") and not self.matrices:
            raise ValueError(f"{who}: {name} is given, expected 0 because no matrix multiplies its past")
        return rate

    @property
    def _random(self) -> bool:
        """Whether calls in training draw masks."""
        return max(self.zoneout_h, self.zoneout_c, self.recurrent_dropout, self.weight_dropout) > 0

    def _quick(self) -> bool:
        return not (self.learn_initial_state or (self.training and self._random))

    def _regular(self, training: bool) -> list[float]:
        clip = self.gradient_clip or 0.0
        if not max(self.zoneout_h, self.zoneout_c, self.recurrent_dropout, clip) > 0:
            return []
        first = float(self._replayed_from or 0)
        seed = (self.seed + self.counter * 0x9E3779B97F4A7C15) % _SEEDS
        kinds = [self.zoneout_h, self.zoneout_c, self.recurrent_dropout, clip]
        return [*kinds, float(seed), float(training and self.training), first]

    def _call_weights(self) -> list[Tensor | None]:
        weights = self._weights()
        if not (self.weight_dropout and self.training):
            return weights
        last = 1 + len(self.matrices)
        dropped = [
            ops.dropout(w, self.weight_dropout, seed=self.seed, counter=self.counter * last + k)
            if name in self.recurrent_matrices
            else w
            for k, (name, w) in enumerate(zip(self.matrices, weights[1:last], strict=True))
        ]
        return [weights[0], *dropped, *weights[last:]]

    @property
    def recurrent_matrices(self) -> tuple[str, ...]:
        """Names of the matrices that multiply what comes from the step before."""
        return self.matrices

    def _called(self) -> None:
        if self.training and self._random and self._replayed_from is None:
            self.counter += 1

    def _started(self, state: Any, batch: int) -> Any:
        if state is not None or not self.learn_initial_state:
            return state
        zeros = self._zero_state(batch)
        return self.State(*(z + getattr(self, f"{n}0") for n, z in zeros._asdict().items()))

    def _starts(self) -> list[Tensor]:
        return [getattr(self, f"{n}0") for n in self.State._fields] if self.learn_initial_state else []

    def initial_state(self, batch_size: int) -> Any:
        """Zeros, or the learned initial state, for `batch_size` rows, as a named tuple of arrays."""
        zeros = super().initial_state(batch_size)
        if not self.learn_initial_state:
            return zeros
        return self.State(*(z + getattr(self, f"{n}0")._data for n, z in zeros._asdict().items()))

    def _zero_state(self, batch: int) -> Any:
        return self.State(*(Tensor(z) for z in super().initial_state(batch)))
