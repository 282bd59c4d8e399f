"""A new cell is warm: its weights are packed before the first call, and that call has the bits of any other."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unrolled as ur
from cases import CASES, Case


def packed(cell: Any) -> Any:
    return vars(cell)["_stepper"]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_first_call_finds_packed_weights_and_leaves_no_trace(case: Case) -> None:
    cell = case.new(5, 7, rng=np.random.default_rng(0))
    makes_more = cell._kernel == "gru_d"  # of its weights after those of its base
    assert (packed(cell) is None) == makes_more
    before = packed(cell)
    x = np.random.default_rng(1).standard_normal((3, 2, 5)).astype(np.float32)
    with ur.no_grad():
        first = np.array(cell(x)[0])
        assert makes_more or packed(cell) is before
        np.testing.assert_array_equal(np.array(cell(x)[0]), first)
    assert all(p.grad is None for p in cell.parameters().values())


def test_not_where_packing_takes_long_or_masks_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unrolled.cells.warm_up.MOST_WEIGHTS", 100)
    assert packed(ur.RNN(4, 5)) is not None and packed(ur.RNN(10, 10)) is None
    monkeypatch.undo()
    dropped = ur.LSTM(4, 4, recurrent_dropout=0.5)
    assert packed(dropped) is None and dropped.counter == 0


def test_a_new_cell_has_trained_and_left_nothing() -> None:
    with ur.no_grad():
        cell = ur.LSTM(3, 4)
    assert vars(cell)["_recorder"] is not None
    assert all(p.grad is None for p in cell.parameters().values())


def test_a_loaded_model_has_not_trained(tmp_path: Path) -> None:
    cell = ur.LSTM(3, 4)
    cell.freeze()
    ur.save(cell, tmp_path / "model.safetensors")
    assert vars(ur.load(tmp_path / "model.safetensors"))["_recorder"] is None


def test_a_loaded_model_is_warm(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    ur.save(ur.Stack([ur.LSTM(3, 4), ur.GRU(4, 5, zoneout_h=0.1)]), path)
    for cell in ur.load(path).cells:
        assert packed(cell).unchanged()


def test_new_values_are_seen() -> None:
    cell = ur.LSTM(4, 4, rng=np.random.default_rng(0))
    cell.W_hh.data[...] = 0
    cell.W_ih.data[...] = 0
    cell.b.data[...] = 0
    y, _ = cell.step(np.ones((1, 4), np.float32))
    assert not y.any()


@pytest.mark.parametrize(
    ("input_size", "hidden_size", "kept"), [(3, 9, True), (1 << 19, 9, False), (1, 2060, False)]
)
def test_training_gives_the_memory_of_many_weights_back(
    input_size: int, hidden_size: int, kept: bool
) -> None:
    cell = ur.RNN(input_size, hidden_size)
    x = np.ones((1, 1, input_size), np.float32)
    assert packed(cell) is not None
    y, _ = cell(x)
    assert (packed(cell) is not None) == kept
    with ur.no_grad():
        np.testing.assert_array_equal(cell(x)[0].data, y.data)


def test_a_class_may_have_its_own_parameters() -> None:
    class Extended(ur.LSTM):
        def __init__(self, input_size: int, hidden_size: int) -> None:
            super().__init__(input_size, hidden_size)
            self.extra = ur.Tensor(np.ones(3, np.float32), requires_grad=True)

        def parameters(self) -> dict[str, ur.Tensor]:
            return {**super().parameters(), "mine": self.extra}

    assert "mine" in Extended(3, 4).parameters()


def test_a_class_may_freeze_what_it_makes() -> None:
    class Frozen(ur.LSTM):
        def _make_parameters(self, rng: np.random.Generator) -> None:
            super()._make_parameters(rng)
            self.freeze()

    assert not any(p.requires_grad for p in Frozen(2, 3).parameters().values())


def test_a_shared_weight_keeps_its_gradient() -> None:
    shared = ur.Tensor(np.eye(4, dtype=np.float32), requires_grad=True)
    (shared * 2.0).sum().backward()
    before = shared.grad

    class Sharing(ur.RNN):
        def _make_parameters(self, rng: np.random.Generator) -> None:
            super()._make_parameters(rng)
            self.W_hh = shared

    assert Sharing(3, 4).W_hh is shared
    assert shared.grad is before
    np.testing.assert_array_equal(before, np.full((4, 4), 2, np.float32))


def test_the_second_training_call_with_the_same_weights_packs_them() -> None:
    cell, x = ur.LSTM(4, 5), np.ones((3, 2, 4), np.float32)
    cell.W_hh.data[...] = 0.1
    first = cell(x)[0].data.copy()  # and its graph, which holds the parameters, is gone
    assert packed(cell) is None
    second = cell(x)[0].data.copy()
    assert packed(cell).unchanged()
    np.testing.assert_array_equal(first, second)
    cell.W_hh.data[...] = 0.2
    third = cell(x)[0].data.copy()
    assert packed(cell) is None
    assert not np.array_equal(second, third)


@pytest.mark.parametrize("rows", [3, 300])
@pytest.mark.parametrize("stacked", [False, True])
def test_one_call_on_rows_of_a_table_packs_nothing_to_be_kept(rows: int, stacked: bool) -> None:
    embedding, cells = ur.Embedding(rows, 4), [ur.LSTM(4, 5), ur.LSTM(5, 5)]
    layer = ur.Stack(cells) if stacked else cells[0]
    for value in (0.1, 0.2):
        for cell in cells:
            cell.W_hh.data[...] = value
        layer(embedding(np.ones((3, 4), np.int64)))
        assert [packed(cell) for cell in (cells if stacked else cells[:1])] == [None] * (1 + stacked)


def test_weights_that_somebody_holds_are_packed_by_every_call() -> None:
    cell, x = ur.LSTM(4, 5), np.ones((3, 2, 4), np.float32)
    held = cell.W_hh.data
    results = []
    for value in (0.1, 0.2, 0.3, 0.4):  # written without the cell's knowledge
        held[...] = value
        results.append(cell(x)[0].data.copy())
        assert packed(cell) is None
    assert all(not np.array_equal(a, b) for a, b in itertools.pairwise(results))


def test_a_forward_of_the_object_s_own_is_not_run_by_the_constructor() -> None:
    class Own(ur.LSTM):
        def __init__(self) -> None:
            self.forward = self.refuse  # type: ignore[method-assign]
            super().__init__(3, 4)

        def refuse(self, *args: Any, **options: Any) -> Any:
            raise AssertionError

    assert packed(Own()).unchanged()


def test_a_cell_from_a_state_without_packed_weights() -> None:
    cell = ur.RNN(3, 4)
    state = cell.__getstate__()
    state.pop("_seen")
    other = ur.RNN.__new__(ur.RNN)
    vars(other).update(state)
    x = np.ones((2, 1, 3), np.float32)
    np.testing.assert_array_equal(other(x)[0].data, cell(x)[0].data)


@pytest.mark.parametrize("bad", [None, ur.Tensor(np.float32(3), requires_grad=True)])
def test_what_is_wrong_with_weights_is_said_at_every_call(bad: Any) -> None:
    cell, x = ur.RNN(3, 4), np.ones((2, 1, 3), np.float32)
    cell.W_hh = bad
    messages = set()
    for _ in range(4):
        with pytest.raises((TypeError, ValueError)) as raised:
            cell(x)
        messages.add(str(raised.value))
    assert len(messages) == 1
