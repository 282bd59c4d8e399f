"""`recompute` as a setting: of every cell's constructor, of the cells inside a layer, and in files."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import unrolled as ur
from cases import CASES, Case


def segments(calls: list[Any]) -> list[int]:
    """Steps kept at a time by each call of a cell."""
    return [call.segment_steps for call in calls]


def run(layer: Any) -> None:
    layer(ur.Tensor(np.zeros((9, 1, layer.input_size), np.dtype(layer.dtype)), requires_grad=True))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_cell_takes_it(case: Case, native_calls: list[Any]) -> None:
    cell = case.make(3, 4)
    again = case.new(3, 4, recompute=5)
    assert (cell.recompute, again.recompute) == (False, 5)
    run(again)
    assert segments(native_calls) == [5]


LAYERS = {
    "Stack": lambda: ur.Stack([ur.GRU(3, 4), ur.LSTM(4, 3)]),
    "Bidirectional": lambda: ur.Bidirectional(ur.GRU(3, 4), ur.GRU(3, 4)),
    "stacked directions": lambda: ur.Stack([ur.Bidirectional(ur.RNN(3, 2), ur.GRU(3, 2)), ur.LSTM(4, 3)]),
    "Residual": lambda: ur.Residual(ur.Stack([ur.GRU(3, 4), ur.LSTM(4, 3)])),
    "Highway": lambda: ur.Highway(ur.GRU(3, 3)),
    "Pyramid": lambda: ur.Pyramid([ur.GRU(3, 4), ur.LSTM(8, 3)]),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_set_the_cells_inside(name: str, native_calls: list[Any]) -> None:
    layer = LAYERS[name]()
    cells = [m for m in layer.modules().values() if isinstance(m, ur.Recurrent)]
    assert layer.recompute is False
    layer.recompute = 2
    assert layer.recompute == 2 and [c.recompute for c in cells] == [2] * len(cells)
    run(layer)
    assert segments(native_calls) == [2] * len(cells)
    layer.recompute = True
    assert layer.recompute is True
    cells[0].recompute = 1  # equal to True, but not the same
    assert layer.recompute == (1 if len(cells) == 1 else None)


def test_whole_models_set_the_cells_inside() -> None:
    class Reader(ur.Module):
        def __init__(self) -> None:
            self.recompute = "as I mean it"  # before there are cells
            self.cell = ur.LSTM(2, 3)

    model = ur.Sequential(Reader(), ur.Stack([ur.GRU(3, 3)]), ur.Linear(3, 2))
    assert (model[0].recompute, model[0].cell.recompute) == ("as I mean it", False)
    model[0].recompute = True
    assert model[0].cell.recompute is True
    model[0].cell.recompute = False
    assert model[0].recompute is False
    model.recompute = 4
    assert (model[0].cell.recompute, model[1].cells[0].recompute) == (4, 4)
    language = ur.models.LanguageModel(ur.CharVocabulary("ab"), hidden_size=3)
    language.recompute = True
    assert all(m.recompute is True for m in language.modules().values() if isinstance(m, ur.Recurrent))


def test_a_layer_without_cells_says_so() -> None:
    stack = ur.Stack([ur.GridLSTM(2, 2, 1)])
    assert stack.recompute is None
    with pytest.raises(ValueError, match="Stack: recompute is set, but no cell inside can recompute"):
        stack.recompute = True


class Model(ur.Module):
    def __init__(self, *, rng: Any = None) -> None:
        self.layers = [LAYERS["stacked directions"](), ur.GRU(3, 4, recompute=7)]
        self.plain = ur.RNN(2, 2, recompute=True)


def settings(model: ur.Module) -> list[bool | int]:
    return [m.recompute for m in model.modules().values() if isinstance(m, ur.Recurrent)]


def test_files_and_copies_keep_it(tmp_path: Any) -> None:
    model = Model()
    model.layers[0].recompute = True
    model.plain.recompute = False  # in spite of its constructor
    wanted = [True, True, True, 7, False]
    assert settings(model) == wanted
    ur.save(model, tmp_path / "model")
    for again in (ur.load(tmp_path / "model"), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert settings(again) == wanted
        assert [type(s) for s in settings(again)] == [type(s) for s in wanted]


def test_of_a_model() -> None:
    model = Model()
    assert model.recompute is None
    model.recompute = True
    assert settings(model) == [True] * 5
    assert model.recompute is True
    with pytest.raises(ValueError, match="Linear: recompute is set, but no cell inside can recompute"):
        ur.Linear(2, 3).recompute = True


def test_files_of_earlier_versions(tmp_path: Any) -> None:
    from unrolled.io.file import read, write

    ur.save(ur.LSTM(2, 3, recompute=3), tmp_path / "model")
    arrays, document = read(tmp_path / "model")
    assert document["model"].pop("changes") == []
    write(tmp_path / "old", arrays, document)
    assert ur.load(tmp_path / "old").recompute == 3
    document["model"]["settings"] = {"": {"recompute": 5}}
    write(tmp_path / "older", arrays, document)
    assert ur.load(tmp_path / "older").recompute == 5


def test_options_of_earlier_versions_that_are_off(tmp_path: Any) -> None:
    from unrolled.io.file import read, write

    cells = [
        ur.GRU(2, 3, zoneout_h=0.3, gradient_clip=1.0, recompute=True),
        ur.GRU(3, 3, zoneout_h=0.3),
        ur.RNN(3, 3),
    ]
    ur.save(ur.Stack(cells, dropout=0.5), tmp_path / "model")
    arrays, document = read(tmp_path / "model")
    del document["model"]["changes"]
    document["model"]["settings"] = {"cells.1": {"zoneout_h": 0.2}}
    write(tmp_path / "old", arrays, document)
    again = ur.load(tmp_path / "old")
    assert (again.dropout, again.masks[0].p) == (0.0, 0.0)
    first, second, _ = again.cells
    assert (first.zoneout_h, first.gradient_clip, first.recompute, second.zoneout_h) == (
        0.0,
        None,
        False,
        0.2,
    )
