"""Any cell with any options in any wrappers, called in any way: values, gradients, and the same bits in every way.

`UNROLLED_EXAMPLES=2000` asks for more than the 150 configurations of each property that a run draws.
"""

from __future__ import annotations

import copy
import os
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import unrolled as ur
from random_cases import Config, configs
from reference import TINY, assert_same_bits
from test_layers_wiring import arrays, flat, like

# The same configurations in every run, but where more are asked for.
EXAMPLES = int(os.environ.get("UNROLLED_EXAMPLES", "0"))
often = settings(
    max_examples=EXAMPLES or 150,
    derandomize=not EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def start_of(config: Config, layer: Any, dtype: Any) -> Any:
    """A random state, positive where it must be; None: the layer's own."""
    if not config.started:
        return None
    rng = np.random.default_rng([config.seed, 2])
    start = layer.initial_state(config.shape[1])
    return like(start, ((0.5 + rng.random(a.shape)).astype(dtype) for a in iter(arrays(start))))


def input_of(config: Config, dtype: Any) -> Any:
    return np.random.default_rng([config.seed, 3]).normal(size=config.shape).astype(dtype)


def run(layer: Any, x: Any, state: Any, config: Config) -> tuple[Any, Any]:
    y, last, *_ = layer(x, state, **config.call())
    return y, last


def unknown_where_learned(layer: Any, start: Any) -> Any:
    """`start` as nested tuples, with None where the state is a parameter."""
    if hasattr(layer, "learn_initial_state"):
        return tuple(None for _ in start) if layer.learn_initial_state else start
    if hasattr(layer, "layer"):
        return unknown_where_learned(layer.layer, start)
    inner = getattr(layer, "cells", None)
    if inner is None:
        inner = (layer.forward_cell, layer.backward_cell) if hasattr(layer, "forward_cell") else ()
    return (
        tuple(unknown_where_learned(one, s) for one, s in zip(inner, start, strict=True)) if inner else start
    )


@often
@given(config=configs())
def test_values_and_gradients_are_those_of_the_reference(config: Config) -> None:
    layer, x = config.layer(), input_of(config, np.float64)
    start = start_of(config, layer, np.float64)
    leaves = {"x": x, **{f"state {i}": a for i, a in enumerate(arrays(start) if config.started else [])}}
    tensors = {name: ur.Tensor(a, requires_grad=True) for name, a in leaves.items()}
    state = like(start, (t for name, t in tensors.items() if name != "x")) if config.started else None
    y, last = run(layer, tensors["x"], state, config)
    tensors.update(layer.parameters())
    zeros = unknown_where_learned(layer, layer.initial_state(config.shape[1]))

    def reference(q: dict[str, Any]) -> list[Any]:
        given = like(start, (q[name] for name in leaves if name != "x")) if config.started else zeros
        p = {name: q[name] for name in layer.parameters()}
        wanted, wanted_last = config.node.reference(p, q["x"], given, **config.call())
        return [wanted, *flat(wanted_last)]

    values = {name: np.asarray(t) for name, t in tensors.items()}
    outputs, wanted = [y, *flat(last)], reference(values)
    for ours, theirs in zip(outputs, wanted, strict=True):
        assert ours.shape == theirs.shape
        # Sums of some ten terms; layers normalised over units that hardly differ multiply errors by 300.
        np.testing.assert_allclose(np.asarray(ours), theirs, rtol=1e-9, atol=1e-10)

    rng = np.random.default_rng([config.seed, 4])
    weights = [rng.standard_normal(part.shape) for part in outputs]
    total = ur.Tensor(0.0)
    for part, w in zip(outputs, weights, strict=True):
        total = total + (part * w).sum()
    if total.requires_grad:
        total.backward()
    directions = {name: rng.standard_normal(a.shape) for name, a in values.items()}
    moved = {name: a + 1j * TINY * directions[name] for name, a in values.items()}
    exact = sum((a * w).sum() for a, w in zip(reference(moved), weights, strict=True)).imag / TINY
    parts = [np.zeros(t.shape) if t.grad is None else t.grad * directions[n] for n, t in tensors.items()]
    scale = 1 + sum(np.abs(part).sum() for part in parts)
    assert abs(sum(part.sum() for part in parts) - exact) / scale < 1e-9


def everything(
    config: Config, dtype: Any, rows: Any = slice(None)
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """What belongs to single rows (outputs, last states, gradient of x), and the gradients of the parameters."""
    layer = config.layer(dtype)
    x = ur.Tensor(np.ascontiguousarray(input_of(config, dtype)[:, rows]), requires_grad=True)
    start, given = start_of(config, layer, dtype), config.call()
    if start is not None:
        start = like(start, (np.ascontiguousarray(a[rows]) for a in iter(arrays(start))))
    for name, axis in (("lengths", 0), ("reset", 1)):
        if name in given:
            given[name] = np.ascontiguousarray(given[name][rows] if axis == 0 else given[name][:, rows])
    y, last, *_ = layer(x, start, **given)
    y.backward(np.ones(y.shape, dtype))
    by_row = (np.asarray(y).swapaxes(0, 1), *arrays(last), x.grad.swapaxes(0, 1))
    return by_row, tuple(p.grad for p in layer.parameters().values() if p.grad is not None)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bits_at_any_thread_count_and_of_a_row_alone(dtype: Any, threads: Any) -> None:
    @often
    @given(config=configs())
    def check(config: Config) -> None:
        threads(1)
        whole, gradients = everything(config, dtype)
        for count in (2, 3):
            threads(count)
            assert_same_bits(everything(config, dtype), (whole, gradients), f"{count} threads")
        for b in range(config.shape[1]):
            alone, _ = everything(config, dtype, slice(b, b + 1))
            assert_same_bits(alone, tuple(np.ascontiguousarray(a[b : b + 1]) for a in whole), f"row {b}")

    check()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bits_of_parts_of_steps_and_of_copies(dtype: Any) -> None:
    @often
    @given(config=configs())
    def check(config: Config) -> None:
        layer, x = config.layer(dtype), input_of(config, dtype)
        start, given = start_of(config, layer, dtype), config.call()
        with ur.no_grad():
            y, last, *_ = layer(x, start, **given)
            again, end, *_ = copy.deepcopy(layer)(np.asfortranarray(x), start, **given)
        assert_same_bits((np.asarray(again), *arrays(end)), (np.asarray(y), *arrays(last)), "a copy:")
        if not config.node.streams or given.get("reverse"):
            return
        reset = given.get("reset", np.zeros(x.shape[:2], bool))
        lengths = given.get("lengths", np.full(x.shape[1], len(x)))
        first, state = len(x) // 2, start
        for part in (slice(0, first), slice(first, None)):
            size = np.clip(lengths - (part.start or 0), 0, len(x[part]))
            with ur.no_grad():
                piece, state = layer(x[part], state, lengths=size, reset=reset[part])
            assert_same_bits(np.asarray(piece), np.asarray(y)[part], "a part:")
        assert_same_bits(tuple(arrays(state)), tuple(arrays(last)), "after parts:")
        if "reset" not in given and "lengths" not in given:
            state = layer.initial_state(x.shape[1]) if start is None else start
            for t in range(len(x)):
                y_t, state = layer.step(x[t], state)
                assert_same_bits(y_t, np.asarray(y)[t], f"step {t}:")

    check()
