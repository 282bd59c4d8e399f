"""Files of models that have changed since they were made: options, layers, and state beside the parameters."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

import unrolled as ur
from changing_models import Net, Two, X, outputs, saved, train
from unrolled.io.file import read, write


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


def double(x: Any) -> Any:
    return 2 * x


class Acting(Two):
    def __init__(self) -> None:
        super().__init__()
        self.act: Any = ur.tanh
        self.more: Any = {1}


@pytest.mark.parametrize(
    ("name", "value"), [("act", ur.relu), ("act", double), ("act", lambda x: x), ("more", {2}), ("more", 2j)]
)
def test_another_object_of_the_same_type_is_named(name: str, value: Any, tmp_path: Any) -> None:
    model = Acting()
    saved(model, tmp_path / "m")
    setattr(model, name, value)
    with pytest.warns(UserWarning, match=rf"does not hold {name} \("):
        ur.save(model, tmp_path / "m")


class Plain(ur.Module):
    def __init__(self) -> None:
        self.W = ur.Tensor(np.ones((2, 3), np.float32), requires_grad=True)

    def forward(self, x: Any) -> ur.Tensor:
        return ur.matmul(x, self.W.T)


def test_a_model_that_cannot_be_built_again_is_named_and_keeps_its_weights(tmp_path: Any) -> None:
    model = Plain()
    model.W = ur.Tensor(np.ones((5, 3), np.float32), requires_grad=True)
    message = r"W is float32 \(5, 3\), the constructor makes it float32 \(2, 3\)"
    with pytest.warns(UserWarning, match=message):
        ur.save(model, tmp_path / "m")
    with pytest.raises(ur.CheckpointError, match=message):
        ur.load(tmp_path / "m")
    assert read(tmp_path / "m")[0]["W"].shape == (5, 3)
    with pytest.warns(UserWarning, match=message):
        train(model, tmp_path / "c", 5)
    assert read(tmp_path / "c")[0]["W"].shape == (5, 3)


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


def cyclic() -> Any:
    made: list[Any] = []
    made.append(made)
    return made


class Pair(NamedTuple):
    x: Any
    y: Any


@pytest.mark.parametrize(
    "value",
    [
        np.ma.masked_array([1.0, 2.0], [False, True]),
        {"@array": np.ones(1)},
        {"@tuple": np.ones(1)},
        {"a/b": np.ones(1), "a": {"b": np.zeros(1)}},
        {1: np.ones(1), "1": np.zeros(1)},
        Pair(1, 2),
        [Pair(np.ones(1), 2)],
        cyclic(),
        np.array([object()]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_would_come_back_changed_is_not_kept(value: Any, tmp_path: Any) -> None:
    model = Two()
    model.extra = value  # type: ignore[attr-defined]
    with pytest.warns(UserWarning, match=r"does not hold extra"):
        ur.save(model, tmp_path / "m")
    assert not hasattr(ur.load(tmp_path / "m"), "extra")


def test_arrays_in_other_orders_of_bytes_and_in_trees(tmp_path: Any) -> None:
    model = Two()
    model.big = np.arange(3, dtype=">f4")  # type: ignore[attr-defined]
    model.tree = {"a": [np.ones(2), 1.5], "b": ()}  # type: ignore[attr-defined]
    again = saved(model, tmp_path / "m")
    np.testing.assert_array_equal(again.big, model.big)
    np.testing.assert_array_equal(again.tree["a"][0], np.ones(2))
    assert (again.tree["a"][1], again.tree["b"]) == (1.5, ())


def test_a_constructor_that_has_changed_meanwhile(tmp_path: Any) -> None:
    size = 3

    class Sized(ur.Module):
        def __init__(self) -> None:
            self.output = ur.Linear(3, size)

        def forward(self, x: Any) -> ur.Tensor:
            return self.output(x)

    for size in (3, 5):
        assert saved(Sized(), tmp_path / "m").output.output_size == size


def test_a_layer_that_cannot_be_built_again(tmp_path: Any) -> None:
    Failing.built = 0
    model = Two()
    model.b = Failing()  # type: ignore[assignment]
    with pytest.warns(UserWarning, match="b cannot be built again: only once"):
        ur.save(model, tmp_path / "m")
    with pytest.raises(ur.CheckpointError, match="only once"):
        ur.load(tmp_path / "m")
