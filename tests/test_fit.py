"""fit, evaluate, predict: they learn, report, stop, and leave the model as promised."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest

import unrolled as ur
from training import TOKENS, Classifier, accuracy, assert_same_parameters, batches, classes, speller


def quiet(model, data, **options):
    options.setdefault("loss", ur.cross_entropy)
    return ur.fit(model, data, progress=False, **options)


def test_a_language_model_learns_with_carried_state():
    model = speller()
    before = ur.evaluate(model, batches(), ur.cross_entropy)
    history = quiet(model, batches(), optimizer=ur.Adam(model, lr=0.02), epochs=12, clip_norm=1.0)
    after = ur.evaluate(model, batches(), ur.cross_entropy)
    assert before > 2.4 and after < 0.7
    assert len(history) == 12 and history["epoch"] == list(range(1, 13))
    assert history["loss"][-1] < history["loss"][0] / 2
    assert history["step"][-1] == 12 * len(batches())
    assert history["positions"] == [sum(x.size for x, _ in batches())] * 12
    assert all(
        large >= mean > 0 for large, mean in zip(history["grad_norm_max"], history["grad_norm"], strict=True)
    )
    assert "validation_loss" not in history.columns
    with pytest.raises(KeyError, match="no column 'accuracy'"):
        history["accuracy"]


def test_the_state_is_carried_and_can_be_left():
    model = speller()
    data = batches()
    with ur.no_grad():
        model.eval()
        whole = ur.data.ContiguousBatches(TOKENS, 4, 10**6)
        ((x, y),) = whole
        expected = ur.cross_entropy(model(x)[0], y).item()
    model.train()
    assert ur.evaluate(model, data, ur.cross_entropy) == pytest.approx(expected, rel=1e-6)
    fresh = ur.evaluate(model, data, ur.cross_entropy, carry_state=False)
    assert abs(fresh - expected) > 1e-5
    twins = [speller(), speller()]
    losses = [
        quiet(m, batches(), carry_state=c)["loss"][0] for m, c in zip(twins, (True, False), strict=True)
    ]
    assert losses[0] != losses[1]


def test_one_step_of_fit_is_one_step_by_hand():
    model, twin = speller(), speller()
    x, y = next(iter(batches()))
    quiet(model, [(x, y)], optimizer=ur.SGD(model, lr=0.5), clip_norm=0.01, clip_value=1e-3, carry_state=True)
    loss = ur.cross_entropy(twin.train()(x)[0], y)
    loss.backward()
    optimizer = ur.SGD(twin, lr=0.5)
    assert ur.clip_grad_norm(twin, 0.01) > 0.01
    ur.clip_grad_value(twin, 1e-3)
    optimizer.step()
    assert_same_parameters(model, twin)


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_classifier_learns_from_sequences_of_unequal_length(shuffle):
    x, y = classes(200)
    data = ur.data.BucketBatches(x, y, 16, shuffle=shuffle, rng=np.random.default_rng(0))
    model = Classifier(rng=np.random.default_rng(0))
    quiet(model, data, optimizer=ur.Adam(model, lr=0.02), epochs=20)
    new_x, new_y = classes(100, seed=1)
    found = ur.evaluate(model, ur.data.BucketBatches(new_x, new_y, 16), accuracy)
    assert found > 0.85
    logits = ur.predict(model, new_x, batch_size=7)
    assert logits.shape == (100, 2)
    assert accuracy(logits, new_y) == pytest.approx(found)


def test_arrays_are_cut_into_shuffled_batches():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 50, 3)).astype(np.float32)
    target = x.sum(axis=-1, keepdims=True)
    model = ur.Sequential(ur.Linear(3, 1, rng=rng))
    history = quiet(
        model, (x, target), loss=ur.mean_squared_error, optimizer=ur.Adam(model, lr=0.05), epochs=60,
        batch_size=16,
        rng=np.random.default_rng(1), validation=(x[:, :9], target[:, :9]),
    )  # fmt: skip
    assert history["validation_loss"][-1] < 1e-3 < history["validation_loss"][0]
    assert history["step"][0] == 4
    one = ur.evaluate(model, (x, target), ur.mean_squared_error, batch_size=7)  # the last batch is smaller
    assert one == pytest.approx(float(((np.asarray(model(x)) - target) ** 2).mean()), rel=1e-5)


def test_masked_losses_count_real_steps_only():
    xs = [np.full((n, 1), n, np.float32) for n in (1, 2, 7, 3)]
    ys = [np.full((n, 1), 2 * n, np.float32) for n in (1, 2, 7, 3)]
    seen = []

    def loss(output, targets, mask):
        seen.append(mask)
        return ur.mean_squared_error(output, targets, mask=mask)

    class Identity(ur.Module):
        def forward(self, x, lengths):
            return ur.Tensor(x)

    found = ur.evaluate(Identity(), ur.data.BucketBatches(xs, ys, 3), loss)
    assert found == pytest.approx(np.concatenate([x**2 for x in xs]).mean())
    assert sum(mask.sum() for mask in seen) == 13


def test_early_stop_keeps_the_best():
    model = speller()
    scripted = iter([3.0, 2.0, 2.5, 1.9, 2.6, 1.95, 1.95])
    snapshots, validation = [], [next(iter(batches()))]

    def loss(output, targets):
        if model.training:
            return ur.cross_entropy(output, targets)
        return ur.Tensor(np.array(next(scripted)))

    def keep(run):
        snapshots.append({n: t._data.copy() for n, t in run.model.parameters().items()})

    history = quiet(
        model,
        batches(),
        loss=loss,
        epochs=50,
        validation=validation,
        patience=3,
        callbacks=[keep],
        carry_state=True,
    )
    assert history["validation_loss"] == pytest.approx([3.0, 2.0, 2.5, 1.9, 2.6, 1.95, 1.95])
    assert history.stopped == "no better validation loss for 3 epochs"
    assert history.best["epoch"] == 4
    for name, tensor in model.parameters().items():
        np.testing.assert_array_equal(tensor._data, snapshots[3][name])


def test_min_delta_and_keeping_the_last():
    model = speller()
    scripted = iter([2.0, 1.95, 1.92])
    snapshots = []

    def loss(output, targets):
        return ur.cross_entropy(output, targets) if model.training else next(scripted)

    history = quiet(
        model, batches(), loss=loss, epochs=9, validation=batches(TOKENS[:40]), patience=2, min_delta=0.1,
        restore_best=False, callbacks=[lambda run: snapshots.append(run.model.output.b._data.copy())],
    )  # fmt: skip
    assert len(history) == 3
    np.testing.assert_array_equal(model.output.b._data, snapshots[-1])


def test_schedules_are_stepped_per_update_and_per_epoch():
    model = speller()
    optimizer = ur.SGD(model, lr=1.0)
    quiet(
        model,
        batches(),
        optimizer=optimizer,
        schedule=ur.CosineLR(optimizer, 2 * len(batches()), 0.25),
        epochs=1,
    )
    assert optimizer.lr == pytest.approx(0.625)
    optimizer = ur.SGD(model, lr=1e-9)
    plateau = ur.ReduceLROnPlateau(optimizer, factor=0.5, patience=0, threshold=0.5)
    history = quiet(model, batches(), optimizer=optimizer, schedule=[plateau], epochs=3)
    assert history["lr"] == pytest.approx([1e-9, 1e-9, 5e-10])


@pytest.mark.parametrize("where", ["loss", "gradient", "validation"])
def test_what_is_not_finite_stops_before_the_parameters_change(where):
    model = speller()
    snapshots = []

    def loss(output, targets):
        value = ur.cross_entropy(output, targets)
        if not model.training:
            return math.nan if where == "validation" else value
        snapshots.append({n: t._data.copy() for n, t in model.parameters().items()})
        if len(snapshots) < 3 or where == "validation":
            return value
        return value * math.inf if where == "loss" else ur.ops.sqrt(value * 0.0)

    data, validation = list(batches())[:4], list(batches())[:1]
    match = {
        "loss": r"the loss is inf at step 3 \(epoch 1, batch 3\)",
        "gradient": r"the gradient of '.*' is not finite .* at step 3 \(epoch 1, batch 3\)",
        "validation": "the validation loss is nan after step 4",
    }[where]
    with np.errstate(all="ignore"), pytest.raises(ur.DivergenceError, match=match):
        quiet(model, data, loss=loss, validation=validation, epochs=2, carry_state=True)
    assert model.training
    if where != "validation":
        for name, tensor in model.parameters().items():
            np.testing.assert_array_equal(tensor._data, snapshots[2][name])


def test_a_model_in_evaluation_mode_is_not_touched():
    model = speller().eval()
    ur.predict(model, TOKENS[:20].reshape(5, 4))
    held = [vars(m).get("_stepper") for m in model.modules().values()]
    ur.predict(model, TOKENS[:20].reshape(5, 4))
    assert any(s is not None for s in held)
    assert all(vars(m).get("_stepper") is s for m, s in zip(model.modules().values(), held, strict=True))


def test_the_modes_of_modules_are_restored():
    model = speller()
    model.layers.masks[0].eval()
    ur.evaluate(model, batches(), ur.cross_entropy)
    ur.predict(model, TOKENS[:20].reshape(5, 4))
    assert model.training and model.layers.training and not model.layers.masks[0].training
    with pytest.raises(RuntimeError, match="odd"):
        ur.predict(raiser(model), TOKENS[:20].reshape(5, 4))
    assert model.training and not model.layers.masks[0].training
    quiet(model, batches())
    assert model.training and not model.layers.masks[0].training
    quiet(model.eval(), batches())
    assert not model.training and not model.layers.training


def raiser(model):
    class Raiser(ur.Module):
        def __init__(self):
            self.inner = model

        def forward(self, x):
            raise RuntimeError("odd")

    return Raiser()


def test_callbacks_see_the_run_and_can_stop_it():
    class Watcher(ur.Callback):
        steps, epochs = 0, 0

        def on_step(self, run):
            self.steps += 1
            assert run.step == self.steps and math.isfinite(run.last_loss) and run.last_grad_norm > 0

        def on_epoch(self, run):
            self.epochs += 1
            if self.epochs == 2:
                run.stop = "enough"

    watcher, model = Watcher(), speller()
    history = quiet(model, batches(), epochs=10, callbacks=[watcher])
    assert history.stopped == "enough" and len(history) == 2 and watcher.steps == 2 * len(batches())


@pytest.mark.parametrize("bar", [True, False])
def test_progress_reports_every_epoch(bar, monkeypatch):
    if bar:
        pytest.importorskip("tqdm")
    monkeypatch.setattr("unrolled.train.progress._SECONDS_BETWEEN_LINES", 0.0)
    stream, model = io.StringIO(), speller()
    progress = ur.Progress(stream, bar=bar)
    assert ur.Progress(stream)._bar_class is None  # no terminal
    monkeypatch.setattr("sys.stderr", None)
    assert ur.Progress()._bar_class is None
    ur.fit(model, batches(), loss=ur.cross_entropy, epochs=2, validation=batches(), progress=progress)
    text = stream.getvalue()
    assert "epoch 1/2: loss " in text and "epoch 2/2: loss " in text and "validation " in text
    assert "positions/s" in text and "gradient norm" in text
    assert ("%|" in text) == bar
    assert ("epoch 1/2: batch 3/" in text) != bar


def test_without_tqdm_plain_lines_are_printed(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "tqdm", None)
    stream = io.StringIO()
    ur.fit(speller(), batches(), loss=ur.cross_entropy, progress=ur.Progress(stream))
    assert stream.getvalue().startswith("epoch 1/1: loss ")
