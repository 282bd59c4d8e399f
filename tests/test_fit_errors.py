"""predict, and what fit, evaluate and predict say about bad arguments and data."""

from __future__ import annotations

import numpy as np
import pytest

import unrolled as ur
from training import (
    TOKENS,
    VOCABULARY,
    Classifier,
    Log,
    batches,
    classes,
    classification,
    language,
    run,
    speller,
)


def test_predict_gives_what_the_model_gives():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 7, 2)).astype(np.float32)
    cell = ur.LSTM(2, 3, rng=rng)
    expected = np.asarray(cell(x)[0])
    np.testing.assert_array_equal(ur.predict(cell, x), expected)
    np.testing.assert_array_equal(ur.predict(cell, x, batch_size=2), expected)
    np.testing.assert_array_equal(
        ur.predict(cell, x[:, :5], batch_size=5), expected[:, :5]
    )  # T equal to the rows
    model = Classifier(rng=rng)
    np.testing.assert_array_equal(ur.predict(model, x, batch_size=3), np.asarray(model(x)))
    last = ur.predict(lambda part: cell(part)[0][-1], x, batch_size=3)
    np.testing.assert_array_equal(last, expected[-1])
    np.testing.assert_array_equal(ur.predict(cell, x[:, :0]), expected[:, :0])
    assert cell.W_ih.grad is None


def test_predict_takes_lists_of_sequences():
    cell = ur.GRU(2, 3)
    sequences, _ = classes(9)
    outputs = ur.predict(cell, sequences, batch_size=4)
    assert [len(y) for y in outputs] == [len(x) for x in sequences]
    for x, y in zip(sequences, outputs, strict=True):
        np.testing.assert_array_equal(y, np.asarray(cell(x[:, None])[0])[:, 0])


def test_predict_with_named_axes():
    x = np.arange(12.0).reshape(4, 3)
    doubled = ur.predict(lambda rows: 2 * rows, x, batch_axis=0, batch_size=3)
    np.testing.assert_array_equal(doubled, 2 * x)
    square = np.arange(16.0).reshape(4, 4)
    turned = ur.predict(lambda part: part + 1, square, batch_size=4, output_axis=1)
    np.testing.assert_array_equal(turned, square + 1)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ur.predict(speller(), TOKENS), ValueError, "expected the rows on axis 1"),
        (lambda: ur.predict(speller(), []), ValueError, "the list of sequences is empty"),
        (
            lambda: ur.predict(speller(), TOKENS[:4].reshape(2, 2), batch_size=0),
            ValueError,
            "batch_size is 0",
        ),
        (lambda: ur.predict(speller(), np.zeros((2, 2)), batch_axis=-1), ValueError, "rows on axis -1"),
        (lambda: ur.predict(lambda x: "y", TOKENS[:4].reshape(2, 2)), TypeError, "the model gave a str"),
        (
            lambda: ur.predict(lambda x: x[:1, :1], np.zeros((3, 2))),
            ValueError,
            r"output of shape \(1, 1\); say",
        ),
        (lambda: ur.evaluate(speller(), [], ur.cross_entropy), ValueError, "no positions to evaluate"),
        (lambda: ur.evaluate(speller(), 3, ur.cross_entropy), TypeError, "data is int"),
        (
            lambda: ur.evaluate(speller(), batches(), ur.cross_entropy, batch_size=3),
            ValueError,
            "in batches already",
        ),
        (lambda: ur.evaluate(speller(), [3], ur.cross_entropy), TypeError, "a batch is a int"),
        (lambda: ur.evaluate(speller(), [(1,)], ur.cross_entropy), TypeError, "a batch is 1 items"),
        (
            lambda: ur.evaluate(speller(), [TOKENS], ur.cross_entropy),
            TypeError,
            r"a batch is a ndarray, .*; whole data go in as a tuple of two NumPy arrays",
        ),
        (
            lambda: ur.evaluate(ur.Embedding(30, 30), batches(), ur.cross_entropy),
            TypeError,
            "state",
        ),
    ],
)
def test_bad_evaluation(call, error, message):
    with pytest.raises(error, match=message):
        call()


class Unstorable(ur.Module):
    def __init__(self, function):
        self.W = ur.Tensor(np.zeros(3), requires_grad=True)


def fit(model=None, data=None, **options):
    model = speller() if model is None else model
    ur.fit(
        model, batches() if data is None else data, **{"loss": ur.cross_entropy, "progress": False, **options}
    )


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"model": print}, TypeError, "Adam: parameters is builtin"),
        (
            {"model": print, "optimizer": ur.SGD(speller())},
            TypeError,
            "fit: model is builtin_function_or_method",
        ),
        ({"optimizer": 3}, TypeError, "optimizer is int"),
        ({"schedule": [3]}, TypeError, "schedule is int"),
        ({"schedule": ur.StepLR(ur.SGD(speller()), 2)}, ValueError, "schedule is of another optimizer"),
        ({"optimizer": ur.SGD(speller())}, ValueError, "no parameter of the model; was it made for another"),
        ({"model": speller().freeze()}, ValueError, "all parameters that the optimizer has are frozen"),
        ({"loss": lambda y, t: 1.0}, TypeError, "loss gave a float, expected a Tensor"),
        (
            {"loss": lambda y, t: ur.cross_entropy(y, t, reduction="none")},
            ValueError,
            r"loss gave a Tensor of shape \(9, 4\), expected a single element",
        ),
        ({"epochs": 1.5}, TypeError, "epochs is a float, expected an int"),
        ({"epochs": 0}, ValueError, "epochs is 0"),
        ({"patience": 0, "validation": batches()}, ValueError, "patience is 0"),
        ({"patience": 2}, ValueError, "patience needs validation data"),
        ({"checkpoint_every": 2}, ValueError, "need checkpoint"),
        ({"resume": True}, ValueError, "need checkpoint"),
        ({"data": iter(()), "epochs": 2}, ValueError, "data is an iterator, which gives one epoch only"),
        ({"data": []}, ValueError, "the data gave no batches"),
        ({"data": 3}, TypeError, "data is int"),
        ({"data": [("x",)]}, TypeError, "a batch is 1 items"),
        ({"batch_size": 3}, ValueError, "in batches already"),
        (
            {"data": ([[1]] * 20, [1] * 20), "batch_size": 3},
            TypeError,
            r"fit: data is a tuple of list and list, .* a pair of arrays: a tuple of two NumPy arrays \(inputs, ",
        ),
        ({"data": ([[1, 2]] * 3, [0, 1, 1])}, TypeError, "fit: data is a tuple of list and list, expected"),
        (
            {"data": [TOKENS, TOKENS]},
            TypeError,
            "fit: data is a list of ndarray and ndarray, expected batches",
        ),
        ({"validation": (TOKENS, [1])}, TypeError, "fit, validation: data is a tuple of ndarray and list"),
        ({"checkpoint": "/nowhere/at/all"}, ur.CheckpointError, "there is no folder /nowhere/at"),
        ({"checkpoint": "/"}, ur.CheckpointError, "it is a folder|read-only"),
        (
            {"checkpoint": "x", "model": Unstorable(print)},
            TypeError,
            "Unstorable: argument 'function' is of type",
        ),
        ({"clip_norm": -1.0}, ValueError, "fit: clip_norm is -1.0"),
        ({"clip_norm": "1"}, TypeError, "fit: clip_norm is a str"),
        ({"clip_value": float("nan")}, ValueError, "fit: clip_value is nan"),
        ({"min_delta": float("nan"), "validation": batches()}, ValueError, "fit: min_delta is nan"),
        ({"restore_best": 1}, TypeError, "fit: restore_best is a int"),
        ({"resume": "no", "checkpoint": "x"}, TypeError, "fit: resume is a str"),
        ({"loss": None}, TypeError, "fit: loss is None, expected a function"),
        ({"callbacks": print}, TypeError, "fit: callbacks is builtin_function_or_method, expected a list"),
        ({"callbacks": [3]}, TypeError, "fit: a callback is int"),
        ({"callbacks": [ur.Callback]}, TypeError, "fit: a callback is the class Callback"),
    ],
)
def test_bad_training(options, error, message):
    with pytest.raises(error, match=message):
        fit(**options)


def test_a_parameter_that_the_optimizer_does_not_hold():
    model = speller()
    optimizer = ur.Adam(model)
    old = model.output.W
    model.output.W = ur.Tensor(old.data * 0.1, requires_grad=True)
    with pytest.raises(ValueError, match=r"the model has another tensor as 'output\.W' than the optimizer"):
        fit(model, optimizer=optimizer)
    model.freeze("output.W")  # not to be trained
    fit(model, optimizer=optimizer)
    model.output.W = old
    fit(model, optimizer=ur.Adam({"W": model.embedding.W, "output.W": old}))  # some, under any names
    whole = ur.Sequential(ur.Linear(2, 2), ur.Linear(2, 2))
    x = np.ones((2, 3, 2), np.float32)
    named = {"W": whole[0].W, "b": whole[0].b, "other.W": whole[1].W, "other.b": whole[1].b}
    fit(whole[1], (x, x), optimizer=ur.SGD(named), loss=ur.mean_squared_error)


class Habit(ur.Module):
    """From PyTorch, where every module has both."""

    def __init__(self):
        self.inner = ur.Linear(2, 2)

    def forward(self, x):
        return self.inner(x)

    def state_dict(self):
        return {"W": self.inner.W.data}


class Places(list):
    """Data that tell where they are, and cannot go there."""

    def state_dict(self):
        return {}


def test_what_could_not_be_resumed_is_refused(tmp_path):
    x = np.ones((2, 3, 2), np.float32)
    options = {"loss": ur.mean_squared_error, "checkpoint": tmp_path / "run"}
    with pytest.raises(TypeError, match=r"the model \(Habit\) has state_dict but no load_state_dict"):
        fit(Habit(), (x, x), **options)
    with pytest.raises(TypeError, match=r"the module 'layers\.1' \(Habit\) has state_dict but no"):
        fit(ur.Sequential(ur.Linear(2, 2), Habit()), (x, x), **options)
    with pytest.raises(TypeError, match=r"data \(Places\) has state_dict but no load_state_dict"):
        fit(ur.Linear(2, 2), Places([(x, x)]), **options)
    assert not (tmp_path / "run").exists()
    fit(Habit(), (x, x), loss=ur.mean_squared_error)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.unlink(), "cannot read .*run: No such file"),
        (lambda p: p.write_bytes(p.read_bytes()[:-1]), "truncated or damaged"),
        (lambda p: ur.save(speller(), p), "holds no training run"),
        (
            lambda p: run(classification, 0, checkpoint=p),
            "another configuration: .*Speller.* there, |Classifier.* there",
        ),
    ],
)
def test_files_that_cannot_be_resumed_are_kept(change, message, tmp_path):
    path = tmp_path / "run"
    run(language, 0, epochs=1, checkpoint=path)
    change(path)
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(ur.CheckpointError, match=message):
        run(language, 0, checkpoint=path, resume=True)
    assert (path.read_bytes() if path.exists() else None) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "other"}, "of optimizer RMSprop, expected Adam"),
        ({"schedule": None}, r"the schedules are \['WarmupLR', 'ReduceLROnPlateau'\] there, \[\] here"),
        ({"callbacks": []}, "there were 1 callbacks, here are 0"),
        ({"data": "list"}, "the data were of another kind"),
        ({"data": "longer"}, "saved position is in a data set of"),
        ({"model": "wider"}, "hidden_size is None there, 13 here"),
    ],
)
def test_another_set_up_is_refused(options, message, tmp_path):
    path = tmp_path / "run"
    run(language, 0, epochs=1, checkpoint=path)
    model, data, more = language(0)
    if options.get("model"):
        model = type(model)(VOCABULARY, 13)
    kind = ur.Adam if options.get("optimizer") else ur.RMSprop
    optimizer = kind(model)
    data = {"list": list(data), "longer": batches()}.get(options.get("data"), data)
    schedules = [ur.WarmupLR(optimizer, 4), ur.ReduceLROnPlateau(optimizer)]
    arguments = {"optimizer": optimizer, "schedule": schedules, "callbacks": [Log()], **more}
    arguments |= {key: options[key] for key in ("schedule", "callbacks") if key in options}
    before = path.read_bytes()
    with pytest.raises(ur.CheckpointError, match=message):
        ur.fit(model, data, checkpoint=path, resume=True, epochs=2, progress=False, **arguments)
    assert path.read_bytes() == before
