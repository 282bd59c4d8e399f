"""Weights packed for inference: made once after each change, and neither the owner nor the property of a cell."""

from __future__ import annotations

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
