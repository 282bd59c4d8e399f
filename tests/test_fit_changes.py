"""Resumed runs go on with all that a model has become: options, state, frozen parameters, layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unrolled as ur
from changing_models import Net, Two, train
from unrolled.io.file import read, write


def annealed(run: Any) -> None:
    cell = run.model.cell
    cell.zoneout_h = max(0.0, cell.zoneout_h - 0.1)
    if run.epoch == 1:
        run.model.heads[0].freeze()


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_resumed_run_goes_on_with_what_callbacks_have_set(cut: int, tmp_path: Any) -> None:
    def run(epochs: int, path: Any, resume: bool = False) -> Net:
        rng = np.random.default_rng(3)
        model = Net(rng=rng)
        model.cell.zoneout_h = 0.2  # off after two epochs, as the constructor has it
        x = rng.standard_normal((5, 12, 3)).astype(np.float32)
        batches = ur.data.ArrayBatches(x, x[..., :2], 4, shuffle=True, rng=rng, target_axis=1)
        ur.fit(
            model,
            batches,
            loss=ur.mean_squared_error,
            epochs=epochs,
            checkpoint=path,
            resume=resume,
            callbacks=[annealed],
            progress=False,
        )
        return model

    whole = run(4, tmp_path / "whole")
    run(cut, tmp_path / "parts")
    parts = run(4, tmp_path / "parts", resume=True)
    for name, tensor in whole.parameters().items():
        np.testing.assert_array_equal(parts.parameters()[name], tensor)
        assert parts.parameters()[name].requires_grad == tensor.requires_grad
    np.testing.assert_array_equal(parts.mean, whole.mean)
    assert (parts.steps, parts.cell.zoneout_h) == (whole.steps, whole.cell.zoneout_h)


def test_a_run_does_not_resume_with_another_layer(tmp_path: Any) -> None:
    model = Net()
    model.heads.append(ur.Linear(2, 3))
    train(model, tmp_path / "c", 3)
    with pytest.raises(ur.CheckpointError, match="heads was another layer there"):
        train(Net(), tmp_path / "c", epochs=2, resume=True)


def test_a_run_of_an_earlier_version_goes_on(tmp_path: Any) -> None:
    class Masked(Two):
        def __init__(self, *, rng: Any = None) -> None:
            super().__init__(rng=rng)
            self.mask = ur.Dropout(0.5, rng=rng)
            self.cell = ur.GRU(3, 3, zoneout_h=0.3, rng=rng)

        def forward(self, x: Any) -> ur.Tensor:
            return self.cell(self.mask(super().forward(x)))[0]

    def run(epochs: int, **options: Any) -> Masked:
        model = Masked(rng=np.random.default_rng(0))
        model.cell.gradient_clip = 2.0
        train(model, tmp_path / "c", 3, epochs=epochs, progress=False, **options)
        return model

    run(2)
    arrays, document = read(tmp_path / "c")
    changes = {(c["module"], c["attribute"]): c["value"] for c in document["model"].pop("changes")}
    del document["model"]["shared"], document["model"]["misfits"]
    document["model"]["settings"] = {"cell": {"zoneout_h": 0.3, "gradient_clip": 2.0}}
    document["training"]["modules"] = {
        name: {key: changes[name, key] for key in ("seed", "counter")} for name in ("mask", "cell")
    }
    write(tmp_path / "old", arrays, document)
    (tmp_path / "old").replace(tmp_path / "c")
    resumed = run(4, resume=True)
    (tmp_path / "c").unlink()
    whole = run(4)
    for name, tensor in whole.parameters().items():
        np.testing.assert_array_equal(resumed.parameters()[name], tensor)
    assert resumed.cell.gradient_clip == 2.0


def test_dropout_that_begins_and_grows_while_training(tmp_path: Any) -> None:
    class Deep(ur.Module):
        def __init__(self, *, rng: Any = None) -> None:
            self.layers = ur.Stack([ur.GRU(3, 4, rng=rng), ur.GRU(4, 3, rng=rng)])
            self.means = np.zeros(3)

        def forward(self, x: Any) -> ur.Tensor:
            return self.layers(x)[0]

    def grow(run: Any) -> None:
        run.model.layers.dropout = 0.1 * run.epoch
        for mask in run.model.layers.masks:
            mask.seed = 3

    def run(epochs: int, path: Any, **options: Any) -> Deep:
        model = Deep(rng=np.random.default_rng(0))
        if options:
            model.means = np.ones(3)  # another one than when the run began
            model.layers.cells[0].zoneout_h = 0.2
        train(model, path, 3, epochs=epochs, callbacks=[grow], progress=False, **options)
        return model

    whole = run(6, tmp_path / "whole")
    run(3, tmp_path / "parts")
    parts = run(6, tmp_path / "parts", resume=True)
    for name, tensor in whole.parameters().items():
        np.testing.assert_array_equal(parts.parameters()[name], tensor)
    assert parts.layers.dropout == whole.layers.dropout
    assert parts.layers.cells[0].zoneout_h == 0.0


def test_a_layer_with_another_option_is_brought_to_it(tmp_path: Any) -> None:
    model = Net()
    model.cell = ur.GRU(3, 4, update="new")
    train(model, tmp_path / "c")
    other = Net()
    train(other, tmp_path / "c", epochs=1, resume=True)
    assert other.cell.update == "new"
