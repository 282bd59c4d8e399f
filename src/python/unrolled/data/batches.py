"""Batches in an order that follows from (seed, epoch), so that a place in it can be saved and found again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from unrolled import checks
from unrolled.arrays import array_of
from unrolled.data.arrays import dtype_of_all, pad, sequences_of


class Batch(NamedTuple):
    """What a model is trained on in one step. Plain tuples of two to four such items work as well.

    `fit` calls `model(inputs)`, with `lengths=lengths` if there are any, and `loss(output, targets)`, with
    `mask=mask` if there is one.
    """

    inputs: Any
    targets: Any
    lengths: np.ndarray | None = None
    mask: np.ndarray | None = None


class Batches:
    """A data set cut into batches. Every complete pass is an epoch; with `shuffle` each epoch has its own
    order.

    The order depends on a seed drawn from `rng` at construction and on the number of the epoch, nothing else.
    `state_dict` gives seed, epoch and position; after `load_state_dict` the next pass goes on from there.
    """

    carries_state = False  # whether a batch continues the sequences of the batch before

    def __init__(self, *, shuffle: bool = False, rng: np.random.Generator | None = None) -> None:
        self.shuffle = shuffle
        self.seed = int(checks.generator(type(self).__name__, rng).integers(2**63)) if shuffle else 0
        self.epoch = 0
        self.position = 0
        self._start = 0

    def __len__(self) -> int:
        raise NotImplementedError

    def _batches(self, rng: np.random.Generator, start: int) -> Iterator[Any]:
        """The batches of one epoch from number `start` on."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[Any]:
        start, self._start = self._start, 0
        self.position = start
        for batch in self._batches(np.random.default_rng([self.seed, self.epoch]), start):
            self.position += 1
            yield batch
        self.epoch += 1
        self.position = 0

    def state_dict(self) -> dict[str, int]:
        """The place in the order of the batches: seed, epoch and position, and the number of batches."""
        return {"seed": self.seed, "epoch": self.epoch, "position": self.position, "batches": len(self)}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """The next pass goes on from a saved `state_dict` of the same data in batches of the same size."""
        if state["batches"] != len(self):
            raise ValueError(
                f"{type(self).__name__}: the saved position is in a data set of {state['batches']} batches, "
                f"this one has {len(self)}; go on with the same data and the same batch size"
            )
        self.seed, self.epoch, self.position = state["seed"], state["epoch"], state["position"]
        self._start = self.position


class ContiguousBatches(Batches):
    """One long sequence as `batch_size` parallel streams, cut every `steps`: truncated back-propagation with
    carried state.

    Stream b is the b-th of `batch_size` equal stretches of the sequence. Row b of a batch goes on where row b
    of the batch before stopped. Yields inputs (T, B) and targets (T, B), T = `steps` or less at the end;
    targets are the following tokens, or the values of `targets` at the same places. Tokens (N,) may also be a
    series (N, F), which gives (T, B, F).
    """

    carries_state = True

    def __init__(self, tokens: Any, batch_size: int, steps: int, *, targets: Any = None) -> None:
        super().__init__()
        checks.size("ContiguousBatches", "batch_size", batch_size)
        checks.size("ContiguousBatches", "steps", steps)
        tokens = array_of("ContiguousBatches", "tokens", tokens)
        if tokens.ndim == 0 or (targets is not None and len(targets) != len(tokens)):
            raise ValueError(
                f"ContiguousBatches: tokens have shape {tokens.shape} and targets {np.shape(targets)}, "
                "expected one sequence of tokens and as many targets, or none"
            )
        following = 1 if targets is None else 0
        length = (len(tokens) - following) // batch_size
        if length < 1:
            raise ValueError(
                f"ContiguousBatches: {len(tokens)} tokens are too few for batch_size={batch_size}, expected "
                f"at least {batch_size + following}"
            )
        self.batch_size, self.steps, self.length = batch_size, steps, length
        self._inputs = _streams(tokens, batch_size, length)
        values = tokens[1:] if targets is None else array_of("ContiguousBatches", "targets", targets)
        self._targets = _streams(values, batch_size, length)

    def __len__(self) -> int:
        return -(-self.length // self.steps)

    def _batches(self, rng: np.random.Generator, start: int) -> Iterator[Any]:
        for first in range(start * self.steps, self.length, self.steps):
            part = slice(first, first + self.steps)
            yield self._inputs[part], self._targets[part]


def _streams(values: np.ndarray, batch_size: int, length: int) -> np.ndarray:
    """(N, ...) -> (length, batch_size, ...), stream b contiguous in the original."""
    if values.dtype.kind in "iu":
        values = values.astype(np.int64, copy=False)
    whole = values[: batch_size * length].reshape(batch_size, length, *values.shape[1:])
    return np.ascontiguousarray(np.swapaxes(whole, 0, 1))


class ArrayBatches(Batches):
    """Rows of whole arrays: inputs (T, N, ...) and targets (N, ...) or (T', N, ...), `batch_size` of the N at
    a time.

    `batch_axis` and `target_axis` say where N is; the target axis is found from the shapes unless both fit.
    """

    def __init__(
        self,
        inputs: Any,
        targets: Any,
        batch_size: int,
        *,
        shuffle: bool = False,
        rng: np.random.Generator | None = None,
        batch_axis: int = 1,
        target_axis: int | None = None,
    ) -> None:
        super().__init__(shuffle=shuffle, rng=rng)
        checks.size("ArrayBatches", "batch_size", batch_size)
        self.inputs = array_of("ArrayBatches", "inputs", inputs)
        self.targets = array_of("ArrayBatches", "targets", targets)
        if self.inputs.ndim <= batch_axis:
            raise ValueError(
                f"ArrayBatches: inputs have shape {self.inputs.shape}, expected the batch on axis "
                f"{batch_axis}"
            )
        self.rows = int(self.inputs.shape[batch_axis])
        if self.rows == 0:
            raise ValueError("ArrayBatches: the batch axis is empty, there is nothing to train on")
        self.batch_size, self.batch_axis = batch_size, batch_axis
        self.target_axis = self._target_axis() if target_axis is None else target_axis
        if self.targets.ndim <= self.target_axis or self.targets.shape[self.target_axis] != self.rows:
            raise ValueError(
                f"ArrayBatches: targets have shape {self.targets.shape}, expected {self.rows} rows on axis "
                f"{self.target_axis}"
            )

    def _target_axis(self) -> int:
        fits = [axis for axis in (0, 1) if self.targets.ndim > axis and self.targets.shape[axis] == self.rows]
        if len(fits) != 1:
            where = "one of axes 0 and 1 only" if fits else "axis 0 or 1"
            raise ValueError(
                f"ArrayBatches: targets have shape {self.targets.shape}, inputs {self.inputs.shape}, expected the "
                f"{self.rows} rows of the inputs on {where}; ur.data.ArrayBatches(inputs, targets, batch_size, "
                "target_axis=..) says which axis has them"
            )
        return int(fits[0])

    def __len__(self) -> int:
        return -(-self.rows // self.batch_size)

    def _batches(self, rng: np.random.Generator, start: int) -> Iterator[Any]:
        order = rng.permutation(self.rows) if self.shuffle else np.arange(self.rows)
        for first in range(start * self.batch_size, self.rows, self.batch_size):
            rows = order[first : first + self.batch_size]
            yield (
                np.ascontiguousarray(np.take(self.inputs, rows, axis=self.batch_axis)),
                np.ascontiguousarray(np.take(self.targets, rows, axis=self.target_axis)),
            )


class BucketBatches(Batches):
    """Sequences of unequal lengths, in batches of similar length, so that little is padded.

    `sequences` is a list of arrays (T_i, ...). `targets` is either a list of arrays (T_i, ...), one value per
    step, or one value per sequence (N, ...). With `shuffle`, sequences are shuffled, sorted by length within
    stretches of `batch_size * batches_per_bucket`, cut into batches, and the batches shuffled; without,
    sorted by length as a whole. Yields inputs (T, B, ...), targets, lengths (B,), and for targets per step a
    mask (T, B) that is True at real steps.
    """

    def __init__(
        self,
        sequences: Sequence[Any],
        targets: Sequence[Any] | np.ndarray,
        batch_size: int,
        *,
        shuffle: bool = False,
        rng: np.random.Generator | None = None,
        batches_per_bucket: int = 50,
    ) -> None:
        super().__init__(shuffle=shuffle, rng=rng)
        checks.size("BucketBatches", "batch_size", batch_size)
        checks.size("BucketBatches", "batches_per_bucket", batches_per_bucket)
        if len(sequences) == 0 or len(sequences) != len(targets):
            raise ValueError(
                f"BucketBatches: there are {len(sequences)} sequences and {len(targets)} targets, expected "
                "as many of both, at least one"
            )
        self.sequences = sequences_of("BucketBatches", sequences)
        dtype_of_all("BucketBatches", self.sequences)
        self.lengths = np.array([len(sequence) for sequence in self.sequences], np.int64)
        self.per_step = not isinstance(targets, np.ndarray) and np.ndim(targets[0]) > 0
        if self.per_step:
            each = sequences_of("BucketBatches, targets", targets)
            dtype_of_all("BucketBatches, targets", each)
            for index, (length, target) in enumerate(zip(self.lengths, each, strict=True)):
                if len(target) != length:
                    raise ValueError(
                        f"BucketBatches: targets {index} have {len(target)} steps, sequence {index} has "
                        f"{length}; one target per sequence goes into an array (N, ...)"
                    )
        self.targets: Any = each if self.per_step else array_of("BucketBatches", "targets", targets)
        self.batch_size, self.bucket = batch_size, batch_size * batches_per_bucket

    def __len__(self) -> int:
        return -(-len(self.sequences) // self.batch_size)

    def _batches(self, rng: np.random.Generator, start: int) -> Iterator[Any]:
        count = len(self.sequences)
        order = rng.permutation(count) if self.shuffle else np.arange(count)
        bucket = self.bucket if self.shuffle else count
        stretches = [order[first : first + bucket] for first in range(0, count, bucket)]
        order = np.concatenate([part[np.argsort(self.lengths[part], kind="stable")] for part in stretches])
        batches = [order[first : first + self.batch_size] for first in range(0, count, self.batch_size)]
        for number in (rng.permutation(len(batches)) if self.shuffle else np.arange(len(batches)))[start:]:
            yield self._batch(batches[number])

    def _batch(self, rows: np.ndarray) -> Batch:
        inputs, lengths = pad([self.sequences[row] for row in rows])
        if not self.per_step:
            return Batch(inputs, self.targets[rows], lengths)
        targets, _ = pad([self.targets[row] for row in rows])
        return Batch(inputs, targets, lengths, np.arange(len(inputs))[:, None] < lengths)
