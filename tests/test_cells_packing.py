"""Weights packed for inference: made once after each change, and neither the owner nor the property of a cell."""

from __future__ import annotations

import pickle
import weakref

import numpy as np

import unrolled as ur
from reference import assert_same_bits


def test_steps_pack_once_after_a_change() -> None:
    cell = ur.LSTM(3, 4)
    x_t, state = np.ones((2, 3), np.float32), cell.initial_state(2)
    cell.step(x_t, state)
    for _ in range(3):
        cell.W_hh.data[...] += 1
        cell.step(x_t, state)
        stepper = cell._stepper
        assert stepper.unchanged()
        cell.step(x_t, state)
        assert cell._stepper is stepper


def test_packed_weights_neither_keep_a_cell_nor_need_it() -> None:
    cell = ur.LSTM(3, 4)
    x_t, state = np.ones((2, 3), np.float32), cell.initial_state(2)
    wanted, _ = cell.step(x_t, state)
    step, gone = cell._step, weakref.ref(cell)
    del cell
    assert gone() is None  # at once, without the collector of rings
    assert_same_bits(step(x_t, state)[0], wanted)


def test_long_results_do_not_count_as_changes() -> None:
    """They lie in memory of ours, which is no view of a parameter."""
    cell = ur.LSTM(3, 32)
    x, lengths = np.ones((100, 8, 3), np.float32), np.full(8, 100)
    with ur.no_grad():
        y, _ = cell(x, lengths=lengths)
        assert y.data.base is not None
        before = cell._stepper
        cell(x, lengths=lengths)
    assert cell._stepper is before and before.unchanged()


def test_an_unpickled_cell_packs_once() -> None:
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        cell = pickle.loads(pickle.dumps(ur.LSTM(3, 4), protocol=protocol))
        cell.step(np.ones((2, 3), np.float32))
        before = cell._stepper
        cell.step(np.ones((2, 3), np.float32))
        assert cell._stepper is before and before.unchanged()


def test_a_parameter_may_lie_in_the_memory_of_a_result() -> None:
    cell = ur.LSTM(4, 128)
    with ur.no_grad():
        _, last = ur.RNN(3, 128)(np.ones((1, 512, 3), np.float32))
    cell.W_hh.data = last.h.data
    x_t = np.ones((2, 4), np.float32)
    state = cell.initial_state(2)
    cell.step(x_t, state)
    assert not cell._stepper.unchanged()  # `last` has the array too
    del last
    cell.step(x_t, state)
    before = cell._stepper
    cell.step(x_t, state)
    assert cell._stepper is before and before.unchanged()
