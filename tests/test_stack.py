"""Stack, Bidirectional, Sequential: against their layers called one by one; states, steps, dropout."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import unrolled as ur
from unrolled import ops
from unrolled.cells import GRU, LSTM, RNN
from unrolled.layers import Bidirectional, Linear, Sequential, Stack, final_hidden
from unrolled.tensor import Tensor

T, B, I, H = 5, 3, 4, 6


def rng(seed=0):
    return np.random.default_rng(seed)


def sequence(features=I):
    return rng(9).standard_normal((T, B, features)).astype(np.float32)


def mixed(dropout=0.0):
    r = rng()
    layers = [LSTM(I, H, rng=r), Bidirectional(GRU(H, 2, rng=r), RNN(H, 3, rng=r)), LSTM(5, H, rng=r)]
    return Stack(layers, dropout=dropout, rng=r)


def test_a_stack_is_its_layers_one_after_the_other():
    stack, x = mixed(), sequence()
    lengths = np.array([5, 0, 3])
    reset = rng(1).random((T, B)) < 0.3
    y, state = stack(x, None, lengths, reset)
    below, s0 = stack.cells[0](x, None, lengths, reset)
    middle, s1 = stack.cells[1](below, None, lengths, reset)
    top, s2 = stack.cells[2](middle, None, lengths, reset)
    np.testing.assert_array_equal(np.asarray(y), np.asarray(top))
    for ours, theirs in zip(state, (s0, s1, s2), strict=True):
        assert type(ours) is type(theirs)
    np.testing.assert_array_equal(np.asarray(state[1].backward.h), np.asarray(s1.backward.h))
    assert (stack.input_size, stack.output_size, np.dtype(stack.dtype)) == (I, H, np.float32)


def test_final_hidden_joins_the_states_of_all_layers_and_gives_gradients():
    stack = mixed()
    _, state = stack(sequence())
    joined = ur.final_hidden(state)
    parts = [state[0].h, state[1].forward.h, state[1].backward.h, state[2].h]
    np.testing.assert_array_equal(np.asarray(joined), np.concatenate([np.asarray(p) for p in parts], axis=1))
    joined.backward(np.ones((B, H + 5 + H), np.float32))
    for name, tensor in stack.parameters().items():
        assert tensor.grad is not None and np.abs(tensor.grad).max() > 0, name
    np.testing.assert_array_equal(np.asarray(final_hidden(state[0])), np.asarray(state[0].h))
    with pytest.raises(TypeError, match="state is ndarray"):
        final_hidden(np.zeros(3))
    with pytest.raises(TypeError, match=r"final_hidden: SRUState\(c\) has no h, expected states with one"):
        final_hidden(Stack([ur.GRU(2, 3), ur.SRU(3, 2)])(np.zeros((1, 1, 2), np.float32))[1])


def test_state_goes_on_and_steps_equal_the_call():
    r = rng()
    stack, x = Stack([GRU(I, H, rng=r), LSTM(H, 2, rng=r), RNN(2, 3, rng=r)]), sequence()
    whole, last = stack(x)
    first, state = stack(x[:2])
    second, state = stack(x[2:], state)
    np.testing.assert_array_equal(np.concatenate([np.asarray(first), np.asarray(second)]), np.asarray(whole))
    state = stack.initial_state(B)
    for t in range(T):
        y_t, state = stack.step(x[t], state)
        np.testing.assert_array_equal(y_t, np.asarray(whole)[t])
    np.testing.assert_array_equal(state[1].c, np.asarray(last[1].c))
    np.testing.assert_array_equal(stack.step(x[0])[0], np.asarray(whole)[0])


@pytest.mark.parametrize("merge", ["concat", "sum"])
def test_both_directions(merge):
    r = rng()
    one, two = LSTM(I, H, rng=r), LSTM(I, H, rng=r)
    layer, x = Bidirectional(one, two, merge=merge), sequence()
    lengths = np.array([5, 2, 4])
    y, state = layer(x, lengths=lengths)
    there, s1 = one(x, lengths=lengths)
    back, s2 = two(x, lengths=lengths, reverse=True)
    both = [np.asarray(there), np.asarray(back)]
    np.testing.assert_array_equal(
        np.asarray(y), np.concatenate(both, axis=-1) if merge == "concat" else sum(both)
    )
    np.testing.assert_array_equal(np.asarray(state.backward.h), np.asarray(s2.h))
    np.testing.assert_array_equal(np.asarray(state.forward.c), np.asarray(s1.c))
    assert layer.output_size == y.shape[-1]
    again, _ = layer(x, state, lengths)  # initial states reach their direction
    both = [np.asarray(one(x, s1, lengths)[0]), np.asarray(two(x, s2, lengths, reverse=True)[0])]
    np.testing.assert_array_equal(
        np.asarray(again), np.concatenate(both, axis=-1) if merge == "concat" else sum(both)
    )
    turned, _ = layer(x, lengths=lengths, reverse=True)
    flipped = [np.asarray(one(x, lengths=lengths, reverse=True)[0]), np.asarray(two(x, lengths=lengths)[0])]
    expected = np.concatenate(flipped, axis=-1) if merge == "concat" else sum(flipped)
    np.testing.assert_array_equal(np.asarray(turned), expected)
    assert layer.initial_state(2).backward.h.shape == (2, H)


def test_dropout_acts_between_layers_in_training_only():
    r = rng()
    stack, x = Stack([RNN(I, 50, rng=r), RNN(50, 50, rng=r)], dropout=0.5, rng=r), sequence()
    seen = []
    original = stack.cells[1].forward
    stack.cells[1].forward = lambda y, *rest, **options: (
        seen.append(np.asarray(y)),
        original(y, *rest, **options),
    )[1]
    stack(x)
    stack(x)
    below = np.asarray(stack.cells[0](x)[0])
    for dropped in seen:
        kept = dropped != 0
        assert 0.4 < kept.mean() < 0.6
        np.testing.assert_allclose(dropped[kept], 2 * below[kept], rtol=1e-6)
    assert not np.array_equal(seen[0], seen[1])
    y, _ = stack.eval()(x)
    np.testing.assert_array_equal(seen[2], below)
    np.testing.assert_array_equal(stack.step(x[0])[0], np.asarray(y)[0])


def test_dropout_may_be_set_later():
    stack, x = mixed(0.0), np.ones((50, 3, I), np.float32)
    stack.dropout = 0.5
    assert not np.array_equal(stack(x)[0], stack(x)[0])
    stack.dropout = 0.0
    np.testing.assert_array_equal(stack(x)[0], stack(x)[0])
    with pytest.raises(ValueError, match=r"Stack: dropout is 1, expected a number in \[0, 1\)"):
        stack.dropout = 1


def test_a_layer_behind_those_that_dropout_was_set_for():
    stack, x, top = Stack([RNN(I, H), RNN(H, H)], dropout=0.5), sequence(), RNN(H, 2)
    below = np.asarray(copy.deepcopy(stack).eval()(x)[0])
    stack.cells.append(top)
    with pytest.raises(
        RuntimeError, match="there are 3 layers, but dropout was set for 2; build it of all of them"
    ):
        stack(x)
    np.testing.assert_array_equal(stack.eval()(x, lengths=np.full(B, T))[0], top(below)[0])


def test_sequential_passes_outputs_and_lengths_on():
    r = rng()
    lstm, linear = LSTM(I, H, rng=r), Linear(H, 2, rng=r)
    model, x = (
        Sequential(lstm, Sequential(GRU(H, H, rng=r), ops.tanh), linear),
        sequence(),
    )
    lengths = np.array([5, 2, 4])
    gru = model[1][0]
    expected = linear(Tensor(np.tanh(np.asarray(gru(lstm(x, lengths=lengths)[0], lengths=lengths)[0]))))
    np.testing.assert_allclose(np.asarray(model(x, lengths=lengths)), np.asarray(expected), atol=1e-6)
    assert len(model) == 3 and next(iter(model.parameters())) == "layers.0.W_ih"


@pytest.mark.parametrize("how", ["save", "copy"])
def test_layers_come_back(how, tmp_path):
    model = Sequential(mixed(0.25), Linear(H, 2))
    if how == "save":
        ur.save(model, tmp_path / "m")
        again = ur.load(tmp_path / "m")
    else:
        again = copy.deepcopy(model)
    assert again.config() == model.config() and again[0].dropout == 0.25
    x = sequence()
    np.testing.assert_array_equal(np.asarray(model.eval()(x)), np.asarray(again.eval()(x)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Stack([]), ValueError, "Stack: there are no layers"),
        (lambda: Stack([Linear(2, 2)]), TypeError, "layer 0 is a Linear, expected a recurrent layer"),
        (lambda: Stack([ur.LSTM]), TypeError, r"layer 0 is the class LSTM, expected a layer: LSTM\(..\)"),
        (
            lambda: Stack([ur.GridLSTM(2, 2, 1, dimensions=3)]),
            TypeError,
            "layer 0 is a GridLSTM over images, expected a layer over sequences",
        ),
        (lambda: Stack([RNN(2, 3), RNN(2, 3)]), ValueError, r"layer 1 \(RNN\) has input_size=2, expected 3"),
        (lambda: Stack([RNN(2, 3), RNN(3, 3, dtype=np.float64)]), TypeError, "layer 1 has dtype float64"),
        (
            lambda: Stack([RNN(2, 3)])(np.zeros((1, 1, 2), np.float32), RNN(2, 3).initial_state(1)),
            ValueError,
            "Stack: state is a RNNState",
        ),
        (
            lambda: Stack([RNN(2, 3)])(np.zeros((1, 1, 2), np.float32), (None, None)),
            ValueError,
            "2 states, expected a tuple of 1",
        ),
        (lambda: Stack([RNN(2, 3)], dropout=1.5), ValueError, "1.5"),
        (lambda: Stack([RNN(2, 3)], dropout="a"), TypeError, "Stack: dropout is a str, expected a number"),
        (lambda: Stack(RNN(2, 3)), TypeError, r"cells is RNN, expected a list .*Stack\(\[a, b\]\)"),
        (
            lambda: Stack(RNN(2, 3), RNN(3, 3)),
            TypeError,
            r"cells is RNN, expected a list .*Stack\(\[a, b\]\)",
        ),
        (
            lambda: Stack([RNN(2, 3)], 0.5),
            TypeError,
            "Stack: there are 2 positional arguments, expected one, the list of layers; dropout= and rng=",
        ),
        (lambda: Bidirectional(RNN(2, 3), RNN(3, 3)), ValueError, "input sizes are 2 and 3"),
        (lambda: Bidirectional(RNN(2, 3), RNN(2, 4), merge="sum"), ValueError, "output sizes are 3 and 4"),
        (lambda: Bidirectional(RNN(2, 3), RNN(2, 3), merge="mean"), ValueError, "merge is 'mean'"),
        (
            lambda: Bidirectional(RNN(2, 3), RNN(2, 3), merge=None),
            TypeError,
            "Bidirectional: merge is None, expected",
        ),
        (lambda: Bidirectional(RNN(2, 3), Linear(2, 3)), TypeError, "backward_cell is a Linear"),
        (
            lambda: Bidirectional(RNN(2, 3), RNN(2, 3, dtype=np.float64)),
            TypeError,
            "backward_cell has dtype float64, expected float32",
        ),
        (lambda: Bidirectional(*[RNN(2, 3)] * 2), ValueError, "same object"),
        (
            lambda: Bidirectional(RNN(2, 3), RNN(2, 3)).step(np.zeros((1, 2), np.float32)),
            TypeError,
            "there is no step",
        ),
        (lambda: mixed().step(np.zeros((1, I), np.float32)), TypeError, "Bidirectional: there is no step"),
        (lambda: Sequential(), ValueError, "there are no layers"),
        (lambda: Sequential([]), ValueError, "there are no layers"),
        (lambda: Sequential(3), TypeError, "layer 0 is int"),
        (lambda: Sequential(ops.tanh, [ops.tanh]), TypeError, "layer 1 is list, which cannot be called"),
    ],
)
def test_bad_layers(call, error, message):
    with pytest.raises(error, match=message):
        call()
