"""The ways to read and write sequences with one recurrent layer, what each costs, and training through a part of time.

`layer` is a cell, `Stack`, `Residual` or any other layer with the call `y, state = layer(x, state, lengths, ..)`;
`output` is a module or function that is applied to what the layer gives, such as a `Linear`. The cost of a pattern is a
sum of losses l over the steps that have a target:

    one to one        l(y, target)                                  one step, no memory
    many to one       l(y[n-1], target)                             n steps, one output
    one to many       sum over t of l(y[t], target[t])              the input at the first step only, or y fed back
    many to one to many  sum over t of l(y[t], target[t])           an encoder's last state starts a decoder
    many to many      sum over t of l(y[t], target[t])              aligned
    many to many      sum over t of l(y[t + d], target[t])          delayed by d: t + 1 + d inputs seen for target t

`window_cost` is the cost over any window of steps, `last_cost` that over the last n. `truncated_bptt` cuts a long
sequence, so that gradients pass through k2 steps at most.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from unrolled import checks, ops
from unrolled.cells.activations import activate, activation
from unrolled.cells.feedback import can_be_fed_back, run_fed_back
from unrolled.layers.linear import Linear
from unrolled.layers.recurrent import zero_padding
from unrolled.tensor import Tensor, as_tensor
from unrolled.train.truncated import TruncatedPart as TruncatedPart
from unrolled.train.truncated import truncated_bptt as truncated_bptt

Function = Callable[[Any], Any]
Result = tuple[Tensor, Any]


def one_to_one(layer: Any, x: Any, *, state: Any = None, output: Function | None = None) -> Result:
    """One step: x (B, I) -> y (B, O) and the state. Cost l(y, target)."""
    y, state = layer(ops.unsqueeze(as_tensor(x), 0), state)
    return _through(output, y[0]), state


def many_to_one(
    layer: Any, x: Any, *, state: Any = None, lengths: Any = None, output: Function | None = None
) -> Result:
    """The output at the last valid step: x (T, B, I) -> y (B, O) and the state. Cost l(y, target).

    `output` is applied once per row, not once per step. Rows of length 0 give `output` of zeros. The layer may be a
    `Pyramid`, whose output has fewer steps.
    """
    y, state, lengths = _called(layer, x, state, lengths)
    T, B = y.shape[:2]
    if T == 0:
        return _through(output, Tensor(np.zeros(y.shape[1:], y.dtype))), state
    if lengths is None:
        return _through(output, y[-1]), state
    last = np.maximum(np.asarray(lengths, np.int64) - 1, 0)  # y is zero behind the lengths
    return _through(output, y[last, np.arange(B)]), state


def one_to_many(
    layer: Any,
    x: Any,
    steps: int,
    *,
    state: Any = None,
    output: Function | None = None,
    feedback: Function | str | None = None,
) -> Result:
    """One input, many outputs: x (B, I) -> y (steps, B, O) and the state. Cost sum over t of l(y[t], target[t]).

    Without `feedback`, x is the input of the first step and the others get zeros: one call of the layer. With it, input
    t + 1 is the output y[t], after a nonlinearity of this name ("identity": y[t] itself; sigmoid, hard_sigmoid, tanh,
    relu, softsign), or any function of it, such as an embedding of the likeliest symbol. Gradients pass through the
    feedback.

    With a name, the whole loop over time runs in C++, forward and backward, where the layer is a cell and `output` a
    `Linear` or nothing; not for cells in training that draw masks, with layer normalisation, with step lengths, or
    whose output is narrower than their units or not their state, nor for the largest (`RecurrentHighway` deeper than
    3). Those, other layers and functions take one call for each step: the same numbers, but for rounding.
    """
    steps = checks.size("one_to_many", "steps", steps)
    first = ops.unsqueeze(as_tensor(x), 0)
    if feedback is None:
        silence = np.zeros((steps - 1, *first.shape[1:]), first.dtype)
        y, state = layer(ops.concat([first, silence]), state)
        return _through(output, y), state
    if isinstance(feedback, str):
        activation("one_to_many", "feedback", feedback)
        if steps > 1 and can_be_fed_back(layer) and (output is None or type(output) is Linear):
            return _fed_back(layer, first, steps, state, output, feedback)
        name = feedback
        return _step_by_step(layer, first, steps, state, output, lambda y: activate(name, y))
    return _step_by_step(layer, first, steps, state, output, feedback)


def _fed_back(layer: Any, first: Tensor, steps: int, state: Any, output: Any, name: str) -> Result:
    """All steps but the first in one call."""
    W_y = Tensor(np.eye(layer.output_size, dtype=layer.dtype)) if output is None else output.W
    if W_y.dtype != layer.dtype:
        raise TypeError(
            f"one_to_many: output has dtype {W_y.dtype}, expected {layer.dtype}, that of the {type(layer).__name__}"
        )
    if W_y.shape[1] != layer.output_size:
        raise ValueError(
            f"one_to_many: output reads {W_y.shape[1]} features, expected {layer.output_size}, the output size of the "
            f"{type(layer).__name__}"
        )
    if W_y.shape[0] != layer.input_size:
        raise ValueError(
            f"one_to_many: the output has {W_y.shape[0]} features, expected {layer.input_size}, the input size of the "
            f"{type(layer).__name__} that it is fed back to"
        )
    h, state = layer(first, state)
    rest, state = run_fed_back(layer, state, steps - 1, W_y, None if output is None else output.b, name)
    return _through(output, ops.concat([h, rest])), state


def _step_by_step(
    layer: Any, first: Tensor, steps: int, state: Any, output: Function | None, feedback: Function
) -> Result:
    outputs, x_t = [], first
    for t in range(steps):
        h, state = layer(x_t, state)
        outputs.append(_through(output, h[0]))
        if t + 1 < steps:
            x_t = ops.unsqueeze(as_tensor(feedback(outputs[-1])), 0)
    return ops.stack(outputs), state


def many_to_one_to_many(
    encoder: Any,
    decoder: Any,
    x: Any,
    first: Any,
    steps: int | None = None,
    *,
    lengths: Any = None,
    output: Function | None = None,
    feedback: Function | str | None = None,
) -> Result:
    """The encoder's last state starts the decoder: x (T, B, I) -> y (T', B, O) and the decoder's state.

    Cost sum over t of l(y[t], target[t]). The decoder reads `first`: with `steps`, its input at the first step (B, I'),
    then zeros or `feedback` as in `one_to_many`; without, all of its inputs (T', B, I'), as the targets shifted by one
    in training. The states of both must be alike.
    """
    _, state, _ = _called(encoder, x, None, lengths)
    if steps is not None:
        return one_to_many(decoder, first, steps, state=state, output=output, feedback=feedback)
    if feedback is not None:
        raise ValueError("many_to_one_to_many: feedback is given without steps, expected their number")
    y, state = decoder(first, state)
    return _through(output, y), state


def many_to_many(
    layer: Any,
    x: Any,
    *,
    delay: int = 0,
    state: Any = None,
    lengths: Any = None,
    output: Function | None = None,
) -> Result:
    """An output for every input: x (T, B, I) -> y (T, B, O) and the state. Cost sum over t of l(y[t], target[t]).

    With a delay of d, y[t] is what the layer gives d steps later, having seen x up to t + d; behind the end of each
    row it reads d steps of zeros. The cost is d more steps of the layer. `output` is applied to the T outputs kept.
    """
    delay = checks.size("many_to_many", "delay", delay, least=0)
    if delay == 0:
        y, state = layer(x, state, lengths)
        return _through(output, y), state
    x = zero_padding(x, lengths)
    longer = ops.concat([x, np.zeros((delay, *x.shape[1:]), x.dtype)])
    y, state = layer(longer, state, None if lengths is None else np.asarray(lengths, np.int64) + delay)
    return _through(output, zero_padding(y[delay:], lengths)), state


def window_cost(
    loss: Callable[..., Any],
    y: Any,
    targets: Any,
    t_min: int = 0,
    t_max: int | None = None,
    *,
    lengths: Any = None,
    **options: Any,
) -> Any:
    """The loss over steps t_min .. t_max, both counted: loss(y[t_min : t_max + 1], targets[t_min : t_max + 1]).

    Args:
        loss: takes outputs and targets, and `mask=` (steps, B) where there are lengths, as the losses here do.
        y, targets: (T, B, ...).
        t_min, t_max: negative ones count from the end, -1 is the last step; t_max None: the last step.
        lengths: steps from here on do not count. Where t_min or t_max is negative, it counts from the end of the row.
        options: further arguments of `loss`.
    """
    who, T = "window_cost", y.shape[0]
    low = checks.size(who, "t_min", t_min, least=-T)
    high = -1 if t_max is None else checks.size(who, "t_max", t_max, least=-T)
    empty = low > high if (low >= 0) == (high >= 0) else lengths is None and low % T > high % T
    if low >= T or high >= T or empty:
        raise ValueError(
            f"{who}: the window is {t_min} to {t_max}, expected t_min <= t_max < {T}, the number of steps"
        )
    n = checks.lengths(who, lengths, T, y.shape[1])
    if n is None:
        first, last = low % T, high % T
        return loss(y[first : last + 1], targets[first : last + 1], **options)
    t = np.arange(T)[:, None]
    first_of, last_of = (bound if bound >= 0 else n + bound for bound in (low, high))
    return loss(y, targets, mask=(t >= first_of) & (t <= last_of) & (t < n), **options)


def last_cost(
    loss: Callable[..., Any], y: Any, targets: Any, n: int = 1, *, lengths: Any = None, **options: Any
) -> Any:
    """The loss over the last n steps of every row; over all of them, in rows that have no more."""
    n = checks.size("last_cost", "n", n)
    return window_cost(loss, y, targets, max(-n, -y.shape[0]), -1, lengths=lengths, **options)


def _called(layer: Any, x: Any, state: Any, lengths: Any) -> tuple[Any, Any, Any]:
    """y, the state, and the lengths of y: those of x, but of a layer that shortens sequences."""
    y, state, *shorter = layer(x, state, lengths)
    return y, state, shorter[0] if shorter else lengths


def _through(output: Function | None, y: Tensor) -> Any:
    return y if output is None else output(y)
