"""Stacks and both directions without a tape: one call of the kernels, layers in a pipeline, bits of the long way."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import unrolled as ur


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = ur.get_num_threads()
    ur.set_num_threads(request.param)
    yield request.param
    ur.set_num_threads(before)


def leaves(state: Any) -> list[np.ndarray]:
    if isinstance(state, tuple):
        return [leaf for part in state for leaf in leaves(part)]
    return [state.data if isinstance(state, ur.Tensor) else state]


def assert_same(ours: Any, theirs: Any) -> None:
    for a, b in zip(leaves(ours), leaves(theirs), strict=True):
        np.testing.assert_array_equal(a, b)


def make_stack(dtype: Any = np.float32) -> ur.Stack:
    rng = np.random.default_rng(0)
    sizes = {"dtype": dtype, "rng": rng}
    return ur.Stack(
        [ur.LSTM(20, 90, **sizes), ur.GRU(90, 70, **sizes), ur.SRU(70, 70, **sizes), ur.RNN(70, 80, **sizes)]
    )


def make_both(merge: str) -> ur.Bidirectional:
    rng = np.random.default_rng(0)
    return ur.Bidirectional(ur.LSTM(20, 90, rng=rng), ur.GRU(20, 90, rng=rng), merge=merge)


def inputs(T: int, B: int, dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((T, B, 20)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("T", "B"), [(0, 2), (1, 1), (11, 1), (12, 1), (13, 3), (60, 1), (97, 7), (60, 8), (40, 0)]
)
def test_a_stack_has_the_bits_of_its_layers_one_after_the_other(
    threads: int, T: int, B: int, dtype: Any
) -> None:
    stack, x = make_stack(dtype), inputs(T, B, dtype)
    state, expected = None, []
    for _ in range(2):  # without a state, and on from one
        y: Any = x
        last = []
        for layer, layer_state in zip(stack.cells, state or [None] * 4, strict=True):
            y, layer_state = layer(y, layer_state)  # with a tape
            last.append(layer_state)
        expected.append((y, tuple(last)))
        state = tuple(type(s)(*[t.detach() for t in s]) for s in last)
    with ur.no_grad():
        first = stack(x)
        assert_same(first, expected[0])
        assert_same(stack(x, first[1]), expected[1])


@pytest.mark.parametrize("merge", ["concat", "sum"])
@pytest.mark.parametrize("reverse", [False, True])
def test_both_directions_have_the_bits_of_each(threads: int, merge: str, reverse: bool) -> None:
    layer, x = make_both(merge), inputs(50, 2)
    there = layer.forward_cell(x, reverse=reverse)
    back = layer.backward_cell(x, reverse=not reverse)
    expected = (
        np.concatenate([there[0].data, back[0].data], -1)
        if merge == "concat"
        else there[0].data + back[0].data
    )
    with ur.no_grad():
        y, state = layer(x, reverse=reverse)
        np.testing.assert_array_equal(y.data, expected)
        assert_same(state, (there[1], back[1]))
        again = layer(ur.Tensor(x), state, reverse=reverse)
    assert_same(again, layer(x, state, reverse=reverse))


def test_states_keep_their_names() -> None:
    with ur.no_grad():
        _, state = make_stack()(inputs(30, 1))
        _, both = make_both("sum")(inputs(3, 1))
    assert state[0].c.shape == (1, 90) and state[1].h.shape == (1, 70) and both.forward.c.shape == (1, 90)


def test_new_weights_are_seen() -> None:
    stack, x = make_stack(), inputs(60, 1)
    with ur.no_grad():
        stack(x)
        for cell in stack.cells:
            cell.W_ih.data[...] = 0
            if cell.b is not None:
                cell.b.data[...] = 0
        y, _ = stack(x)
    assert not y.data.any()


@pytest.mark.parametrize("make", [make_stack, lambda: make_both("concat"), lambda: make_both("sum")])
def test_changed_weights_are_packed_again_and_kept(make: Any) -> None:
    """From the second of two long calls in a row, as of one layer alone; and never beyond another change."""
    layer, x = make(), inputs(300, 5)  # more places than what one call packs weights for
    cells = layer.cells if isinstance(layer, ur.Stack) else [layer.forward_cell, layer.backward_cell]
    for scale in (0.5, 0.25):
        for cell in cells:
            cell.W_ih.data[...] *= scale
        expected = copied(layer(x))  # with a tape
        for cell in cells:
            cell.W_ih.data[...] *= 1.0  # as if changed
        with ur.no_grad():
            assert_same(layer(x), expected)
            assert not any(still_packed(cell) for cell in cells)
            for _ in range(3):
                assert_same(layer(x), expected)
                assert all(still_packed(cell) for cell in cells)


def copied(leaf: Any) -> Any:  # a result refers to its weights as long as it lives
    return tuple(map(copied, leaf)) if isinstance(leaf, tuple) else leaf.data.copy()


def still_packed(cell: Any) -> bool:
    return cell._stepper is not None and cell._stepper.unchanged()


def test_weights_that_somebody_may_write_to_are_not_kept() -> None:
    cell, x = ur.GRU(20, 40), inputs(300, 5)
    held = cell.W_ih.data
    with ur.no_grad():
        for scale in (0.5, 0.25, 0.125, 0.0625):
            held[...] *= scale
            y, _ = cell(x)
            other = ur.GRU(20, 40)
            other.load_parameters({name: p.data.copy() for name, p in cell.parameters().items()})
            np.testing.assert_array_equal(y.data, other(x)[0].data)
            assert not still_packed(cell)


def test_weights_are_kept_again_once_nobody_holds_them() -> None:
    cell, x = ur.GRU(20, 40), inputs(300, 5)
    held = cell.W_ih.data
    with ur.no_grad():
        for _ in range(3):
            cell(x)
        assert not still_packed(cell)
        del held
        for _ in range(3):  # tried at the second, the fourth, the eighth call
            cell(x)
        assert still_packed(cell)


def test_an_empty_call_does_not_keep_later_ones_from_packing() -> None:
    cell, x = ur.GRU(20, 40), inputs(300, 5)
    cell.W_ih.data[...] *= 0.5
    with ur.no_grad():
        for call in (x[:0], x[:0], x, x):
            cell(call)
    assert still_packed(cell)


def test_two_threads_come_to_keep_the_weights() -> None:
    cell, x = ur.GRU(20, 40), inputs(300, 5)
    cell.W_ih.data[...] *= 0.5
    before = ur.GRU(20, 40)
    before.load_parameters({name: p.data.copy() for name, p in cell.parameters().items()})
    with ur.no_grad():
        expected = before(x)[0].data

    def serve(_: int) -> bool:
        with ur.no_grad():
            return all(np.array_equal(cell(x)[0].data, expected) for _ in range(50))

    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(serve, range(2)))
    assert serve(0) and still_packed(cell)


def test_dropout_between_layers_is_not_skipped() -> None:
    stack = ur.Stack([ur.RNN(20, 30), ur.RNN(30, 30)], dropout=0.5, rng=np.random.default_rng(0))
    x = inputs(60, 1)
    with ur.no_grad():
        in_training = stack.train()(x)[0].data
        in_evaluation = stack.eval()(x)[0].data
        np.testing.assert_array_equal(stack(x)[0].data, in_evaluation)
    assert not np.array_equal(in_training, in_evaluation)


@pytest.mark.parametrize("make", [make_stack, lambda: make_both("concat")])
def test_wrong_arguments_are_told_as_with_a_tape(make: Any) -> None:
    layer, x = make(), inputs(5, 2)
    for bad, error in [(x[0], ValueError), (x[..., :3], ValueError), (x.astype(np.float64), TypeError)]:
        with ur.no_grad(), pytest.raises(error) as without_tape:
            layer(bad)
        with pytest.raises(error) as with_tape:
            layer(bad)
        assert str(without_tape.value) == str(with_tape.value)
    with ur.no_grad(), pytest.raises(ValueError, match="h has shape"):
        layer(
            x, (None, (np.zeros((3, 3), np.float32),)) + (None,) * (2 if isinstance(layer, ur.Stack) else 0)
        )


@pytest.mark.parametrize("method", ["forward", "__call__"])
def test_a_layer_that_shows_its_calls_is_called(method: str) -> None:
    calls = []

    def loud(self: Any, *arguments: Any, **options: Any) -> Any:
        calls.append(self)
        return getattr(ur.GRU, method)(self, *arguments, **options)

    layer = type("Loud", (ur.GRU,), {method: loud})(30, 30)
    with ur.no_grad():
        ur.Stack([ur.GRU(20, 30), layer])(inputs(30, 1))
    assert calls == [layer]
