"""Back-propagation through a part of time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from unrolled import checks, ops
from unrolled.layers.bidirectional import Bidirectional
from unrolled.module import Module
from unrolled.train.trees import detach


class TruncatedPart(NamedTuple):
    """One part of a long sequence.

    loss: of steps `first` to `last`, both counted; `backward` reaches back to step `start`.
    y: outputs of those steps. state: after step `last`, cut from the tape.
    """

    loss: Any
    y: Any
    state: Any
    start: int
    first: int
    last: int


def truncated_bptt(
    layer: Any,
    x: Any,
    targets: Any,
    loss: Callable[..., Any],
    *,
    k1: int,
    k2: int,
    state: Any = None,
    lengths: Any = None,
    reset: Any = None,
    output: Callable[[Any], Any] | None = None,
) -> Iterator[TruncatedPart]:
    """BPTT(k2; k1): after every k1 steps the loss of these k1 steps, with gradients through the last k2 steps.

        for part in ur.patterns.truncated_bptt(model, x, targets, loss, k1=5, k2=20):
            optimizer.zero_grad()
            part.loss.backward()
            optimizer.step()

    Part j has the losses of steps j k1 .. (j + 1) k1 - 1 (fewer at the end), each step in one part. It runs from
    k2 - k1 steps before the first of them on, from the state which the part before reached there, cut from the tape:
    with k2 = k1 the parts follow each other, with k2 > k1 they overlap, and the steps of the overlap run again with the
    parameters as they are now. A pass costs k2 / k1 of one over the whole sequence in time, and k2 / T in memory.

    Args:
        layer: a recurrent layer or a model with the call `y, state = layer(x, state=, lengths=, reset=)`; lengths and
            reset only where they are given.
        x, targets: (T, B, ...).
        loss: takes outputs and targets of k1 steps, and `mask=` where there are lengths.
        k1: steps from one part to the next.
        k2: steps that gradients pass through, at least k1.
        state: to start from, cut from what made it, as the states between the parts are; a leaf of the tape, such as a
            learned initial state, gets its gradient from the parts that start at step 0.
        lengths, reset, output: as in the other patterns.

    Source: R. J. Williams, J. Peng, An efficient gradient-based algorithm for on-line training of recurrent network
    trajectories, Neural Computation 2, 1990.
    """
    who = "truncated_bptt"
    k1, k2 = checks.size(who, "k1", k1), checks.size(who, "k2", k2)
    if k2 < k1:
        raise ValueError(f"{who}: k2 is {k2}, expected at least k1={k1}, or some losses would reach no step")
    _check_steps(who, layer)
    T, B = np.shape(x)[:2]
    if len(targets) != T:
        raise ValueError(f"{who}: targets have {len(targets)} steps, expected {T} as x has")
    sizes = checks.lengths(who, lengths, T, B)
    cuts = checks.resets(who, reset, T, B)

    def run(begin: int, end: int, state: Any) -> tuple[Any, Any]:
        given: dict[str, Any] = {}
        if sizes is not None:
            given["lengths"] = np.clip(sizes - begin, 0, end - begin)
        if cuts is not None:
            given["reset"] = cuts[begin:end]
        y, after = layer(x[begin:end], state=state, **given)
        return y, after

    parts = [(first, min(first + k1, T)) for first in range(0, T, k1)]
    return _parts(run, parts, k2 - k1, detach(state, leaves=False), output, targets, loss, sizes)


def _check_steps(who: str, layer: Any) -> None:
    """The layer must read forward, and give an output for every step."""
    name, parts = type(layer).__name__, layer.modules().values() if isinstance(layer, Module) else [layer]
    if any(isinstance(part, Bidirectional) for part in parts):
        raise TypeError(
            f"{who}: {name} reads both ways, expected a layer that reads forward: the backward direction of a part "
            "would start where the sequence has not ended"
        )
    if any(hasattr(part, "joined_reset") for part in parts):
        raise TypeError(
            f"{who}: {name} joins steps, expected a layer with an output for every step, which the parts are cut by"
        )


def _parts(
    run: Any,
    parts: list[tuple[int, int]],
    overlap: int,
    state: Any,
    output: Any,
    targets: Any,
    loss: Any,
    sizes: Any,
) -> Iterator[TruncatedPart]:
    start = 0
    for first, end in parts:
        next_start = max(0, end - overlap)
        kept = state if next_start == start else None
        now, outputs = state, []
        stops = sorted({start, first, next_start, end})
        for begin, stop in pairwise(stops):
            y, now = run(begin, stop, now)
            if begin >= first:
                outputs.append(y)
            if stop == next_start:
                kept = detach(now)
        y = outputs[0] if len(outputs) == 1 else ops.concat(outputs)
        y = y if output is None else output(y)
        options = {} if sizes is None else {"mask": np.arange(first, end)[:, None] < sizes}
        cost = loss(y, targets[first:end], **options)
        yield TruncatedPart(cost, y, detach(now), start, first, end - 1)
        start, state = next_start, kept
