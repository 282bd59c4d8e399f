"""The op under layers over a grid, where nothing will go back: what it keeps, and how often it packs weights."""

from __future__ import annotations

import copy
import pickle
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import unrolled as ur
from reference import assert_same_bits
from unrolled.ops import prepared

T, B, I, H, DEPTH = 60, 4, 5, 16, 3
GATES = T * DEPTH * B * 2 * 4 * H * 4  # bytes of all gates in float32


def grid(seed: int = 0, **options: Any) -> ur.GridLSTM:
    return ur.GridLSTM(I, H, DEPTH, rng=np.random.default_rng(seed), **options)


def inputs(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def peak_of(call: Callable[[], Any]) -> int:
    call()
    tracemalloc.start()
    result = call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    del result
    return peak


def test_inference_keeps_nothing_for_backward() -> None:
    layer, x = grid(), inputs(T, B, I)
    image = ur.MultiDimensionalLSTM(I, H, rng=np.random.default_rng(0))
    network = ur.HighwayNetwork(H, 40, rng=np.random.default_rng(0))
    pixels, rows = inputs(12, 10, B, I), inputs(200, H)
    for call, kept in (
        (lambda: layer(x), GATES),
        (lambda: image(pixels), 12 * 10 * B * 5 * H * 4),
        (lambda: network(rows), 40 * 200 * 3 * H * 4),
    ):
        training = peak_of(call)
        with ur.no_grad():
            assert peak_of(call) < training - 0.95 * kept


def test_inference_has_the_bits_of_training() -> None:
    layer, x = grid(), inputs(T, B, I)
    state = ur.GridLSTMState(inputs(B, DEPTH * H), inputs(B, DEPTH * H))
    given = {"lengths": np.array([60, 0, 31, 1]), "reset": np.arange(T)[:, None] % 7 == np.arange(B)}
    y, last = layer(x, state, **given)
    with ur.no_grad():
        again, last_again = layer(x, state, **given)
    assert_same_bits(np.asarray(again), np.asarray(y))
    assert_same_bits(np.asarray(last_again.c), np.asarray(last.c))


@pytest.fixture
def packings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for every time that weights are packed to be kept."""
    made: list[str] = []
    native = prepared.core.PreparedOp

    class Counted:
        @staticmethod
        def PreparedOp(op: Any, *arguments: Any) -> Any:
            made.append(op.name)
            return native(op, *arguments)

    monkeypatch.setattr(prepared, "core", Counted)
    return made


def test_steps_pack_once(packings: list[str]) -> None:
    layer, x = grid(), inputs(T, B, I)
    with ur.no_grad():
        y, _ = layer(x)
    state = None
    for t in range(T):
        y_t, state = layer.step(x[t], state)
        assert_same_bits(y_t, np.asarray(y)[t])
    assert packings == ["wavefront"]
    layer(x)  # training packs for itself
    assert packings == ["wavefront"]


def by_assignment(layer: Any, values: np.ndarray) -> None:
    layer.W.data[...] = values


def by_another_tensor(layer: Any, values: np.ndarray) -> None:
    layer.W = ur.Tensor(values, requires_grad=True)


def in_the_dictionary(layer: Any, values: np.ndarray) -> None:
    vars(layer)["W"] = ur.Tensor(values, requires_grad=True)


def by_loading(layer: Any, values: np.ndarray) -> None:
    layer.load_parameters({"W": values}, strict=False)


def by_an_optimizer(layer: Any, values: np.ndarray) -> None:
    layer.W.grad = np.asarray(layer.W) - values
    ur.SGD({"W": layer.W}, lr=1.0).step()


@pytest.mark.parametrize(
    "change", [by_assignment, by_another_tensor, in_the_dictionary, by_loading, by_an_optimizer]
)
def test_steps_use_the_weights_of_the_moment(change: Any, packings: list[str]) -> None:
    layer, other, x_t = grid(), grid(7), inputs(B, I)
    before, _ = layer.step(x_t)
    change(layer, np.asarray(other.W).copy())
    after, _ = layer.step(x_t)
    layer.step(x_t)
    assert len(packings) == 2
    twin = grid()
    twin.W.data[...] = np.asarray(layer.W)
    assert np.abs(before - after).max() > 1e-3
    assert_same_bits(after, twin.step(x_t)[0])


def test_a_reference_that_somebody_holds_is_never_trusted() -> None:
    layer, x_t = grid(), inputs(B, I)
    held = layer.W.data
    before, _ = layer.step(x_t)
    held *= -1
    after, _ = layer.step(x_t)
    del held
    assert np.abs(before - after).max() > 1e-3
    assert_same_bits(layer.step(x_t)[0], after)


def test_copies_pack_for_themselves() -> None:
    layer, x_t = grid(), inputs(B, I)
    wanted, _ = layer.step(x_t)
    for again in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), copy.copy(layer)):
        assert_same_bits(again.step(x_t)[0], wanted)
    changed = copy.deepcopy(layer)
    changed.W.data[...] *= -1
    assert np.abs(changed.step(x_t)[0] - wanted).max() > 1e-3
    assert_same_bits(layer.step(x_t)[0], wanted)
