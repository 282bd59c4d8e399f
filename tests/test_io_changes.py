"""Files of models that have changed since they were made: options, layers, and state beside the parameters."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import unrolled as ur
from unrolled.io.file import read, write

X = np.linspace(-1, 1, 5 * 2 * 3).reshape(5, 2, 3).astype(np.float32)


def train(model: ur.Module, path: Any, columns: int = 2, **options: Any) -> None:
    y = np.zeros((*X.shape[:2], columns), np.float32)
    ur.fit(
        model,
        ur.data.ArrayBatches(X, y, 2, target_axis=1),
        loss=ur.mean_squared_error,
        checkpoint=path,
        **options,
    )


class Net(ur.Module):
    def __init__(self, classes: int = 2, *, rng: Any = None) -> None:
        self.cell = ur.GRU(3, 4, rng=rng)
        self.heads = [ur.Linear(4, classes, rng=rng)]
        self.mean = np.zeros(3, np.float32)
        self.steps = 0
        self.offset = ur.Tensor(np.zeros(3, np.float32))

    def forward(self, x: Any) -> ur.Tensor:
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * np.asarray(x).mean(axis=(0, 1))
            self.steps += 1
        y: Any = self.cell(x - self.mean - self.offset)[0]
        for head in self.heads:
            y = head(y)
        return y


def outputs(layer: Any) -> np.ndarray:
    layer.eval()
    with ur.no_grad():
        y = layer(X)
    return np.asarray(y[0] if isinstance(y, tuple) else y)


def saved(model: ur.Module, path: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ur.save(model, path)
    return ur.load(path)


@pytest.mark.parametrize(
    ("layer", "name", "value"),
    [
        (lambda: ur.RNN(3, 4), "nonlinearity", "relu"),
        (lambda: ur.IndRNN(3, 4), "nonlinearity", "tanh"),
        (lambda: ur.CTRNN(3, 4), "method", "exponential"),
        (lambda: ur.Jordan(3, 4, output_size=2), "output_nonlinearity", "sigmoid"),
        (lambda: ur.LSTM(3, 4), "cell_clip", 0.01),
        (lambda: ur.GRU(3, 4), "update", "new"),
        (lambda: ur.QRNN(3, 4), "pooling", "f"),
        (lambda: ur.LSTM(3, 4, zoneout_h=0.3), "zoneout_h", 0.0),
        (lambda: ur.LayerNorm(3), "eps", 0.5),
        (lambda: ur.Bidirectional(ur.GRU(3, 4), ur.GRU(3, 4)), "merge", "sum"),
    ],
)
def test_what_acts_in_a_model_acts_in_the_loaded_one(
    layer: Any, name: str, value: Any, tmp_path: Any
) -> None:
    model = layer()
    before = outputs(model)
    setattr(model, name, value)
    after = outputs(model)
    assert before.shape != after.shape or (before != after).any()
    again = saved(model, tmp_path / "m")
    assert getattr(again, name) == value
    np.testing.assert_array_equal(outputs(again), after)


def test_state_beside_the_parameters(tmp_path: Any) -> None:
    model = Net()
    for _ in range(3):
        model(X)
    model.offset = ur.Tensor(np.ones(3, np.float32))
    model.note = {"trained on": ["this", 1, None]}  # type: ignore[attr-defined]
    model._scratch = object()  # type: ignore[attr-defined]
    again = saved(model, tmp_path / "m")
    assert again.steps == 3
    assert again.note == {"trained on": ["this", 1, None]}
    np.testing.assert_array_equal(again.mean, model.mean)
    assert again.mean.dtype == np.float32
    assert not again.offset.requires_grad
    assert again.mean.flags.writeable
    np.testing.assert_array_equal(outputs(again), outputs(model))
    twice = saved(again, tmp_path / "again")
    np.testing.assert_array_equal(outputs(twice), outputs(model))


def test_exchanged_and_added_layers(tmp_path: Any) -> None:
    model = Net()
    model.cell = ur.GRU(3, 4, update="new")  # shapes that fit, another meaning
    model.cell.zoneout_h = 0.2
    model.heads.append(ur.Linear(2, 5))
    model.heads[1].freeze()
    again = saved(model, tmp_path / "m")
    assert again.cell.update == "new"
    assert again.cell.zoneout_h == 0.2
    assert [head.output_size for head in again.heads] == [2, 5]
    assert not again.heads[1].W.requires_grad
    assert again.heads[0].W.requires_grad
    np.testing.assert_array_equal(outputs(again), outputs(model))


def test_an_exchanged_layer_that_is_tied(tmp_path: Any) -> None:
    model = Net()
    model.heads = [ur.Linear(4, 4), ur.Linear(4, 4)]
    model.heads[1].W = model.heads[0].W
    again = saved(model, tmp_path / "m")
    assert again.heads[1].W is again.heads[0].W
    np.testing.assert_array_equal(outputs(again), outputs(model))


def test_what_a_file_cannot_hold_is_named(tmp_path: Any) -> None:
    model = Net()
    model.scaler = object()  # type: ignore[attr-defined]
    with pytest.warns(UserWarning, match=r"does not hold scaler \(object\)"):
        ur.save(model, tmp_path / "m")
    np.testing.assert_array_equal(outputs(ur.load(tmp_path / "m")), outputs(model))


def test_a_model_that_cannot_be_built_again_is_named_and_keeps_its_weights(tmp_path: Any) -> None:
    model = Net()
    model.cell.W_ih = ur.Tensor(np.ones((12, 5), np.float32), requires_grad=True)
    with pytest.warns(
        UserWarning, match=r"cell.W_ih is float32 \(12, 5\), the constructor makes it float32 \(12, 3\)"
    ):
        ur.save(model, tmp_path / "m")
    with pytest.raises(ur.CheckpointError, match=r"cell.W_ih is float32"):
        ur.load(tmp_path / "m")
    assert read(tmp_path / "m")[0]["cell.W_ih"].shape == (12, 5)
    with pytest.raises(ValueError, match=r"cell.W_ih is float32"):
        train(model, tmp_path / "c")
    assert not (tmp_path / "c").exists()


class Failing(ur.Module):
    built = 0

    def __init__(self) -> None:
        type(self).built += 1
        if self.built > 1:
            raise RuntimeError("only once")
        self.output = ur.Linear(3, 2)

    def forward(self, x: Any) -> ur.Tensor:
        return self.output(x)


def test_a_constructor_that_fails_is_named(tmp_path: Any) -> None:
    model = Failing()
    with pytest.warns(UserWarning, match="Failing cannot be built again from its arguments: only once"):
        ur.save(model, tmp_path / "m")
    assert "output.W" in read(tmp_path / "m")[0]


class Drawing(ur.Module):
    def __init__(self) -> None:
        self.fixed = np.random.standard_normal((3, 3)).astype(np.float32)  # noqa: NPY002
        self.output = ur.Linear(3, 2)

    def forward(self, x: Any) -> ur.Tensor:
        return self.output(ur.matmul(x, self.fixed))


def test_numbers_that_a_constructor_drew(tmp_path: Any) -> None:
    model = Drawing()
    state = np.random.get_state()[1].copy()  # type: ignore[index,union-attr]  # noqa: NPY002
    again = saved(model, tmp_path / "m")
    np.testing.assert_array_equal(outputs(again), outputs(model))
    Drawing()
    np.random.set_state(("MT19937", state, 624))  # noqa: NPY002
    ur.save(model, tmp_path / "m")
    assert (np.random.get_state()[1] == state).all()  # type: ignore[index]  # noqa: NPY002


def test_a_file_may_not_set_what_is_private(tmp_path: Any) -> None:
    ur.save(ur.RNN(2, 3), tmp_path / "m")
    arrays, document = read(tmp_path / "m")
    document["model"]["changes"] = [{"module": "", "attribute": "__class__", "value": 1}]
    write(tmp_path / "m", arrays, document)
    with pytest.raises(ur.CheckpointError, match="__class__"):
        ur.load(tmp_path / "m")


def test_a_class_that_is_defined_again(tmp_path: Any) -> None:
    def define(size: int) -> Any:
        class Again(ur.Module):
            def __init__(self) -> None:
                self.output = ur.Linear(3, size)

            def forward(self, x: Any) -> ur.Tensor:
                return self.output(x)

        return Again()

    for size in (2, 3):
        assert saved(define(size), tmp_path / "m").output.output_size == size


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
