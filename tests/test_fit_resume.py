"""Checkpoints of training: resumed bit for bit from any step, kept through interrupts, kills, full disks and
divergence.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import unrolled as ur
from training import (
    Stop,
    assert_same_parameters,
    batches,
    classification,
    comparable,
    fail,
    language,
    plain_list,
    run,
    speller,
)
from unrolled.io.file import read
from unrolled.train.generators import generators


@pytest.mark.parametrize("task", [language, classification, plain_list])
@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("cut", [1, 4, 9, "epoch", "next"])
def test_a_resumed_run_equals_an_uninterrupted_one(task, every, cut, tmp_path):
    path = tmp_path / "run"
    nothing = Stop(-1, fail)
    whole_model, whole_history, whole_log = run(task, 0, nothing)
    length = len(task(0)[1])
    step = {"epoch": length, "next": length + 1}.get(cut, cut)
    with pytest.raises(RuntimeError, match="power cut"):
        run(task, 0, Stop(step, fail), checkpoint=path, checkpoint_every=every)
    if not path.exists():
        assert step <= every
        return
    # other seeds: everything that matters comes from the file
    model, history, log = run(task, 5, nothing, checkpoint=path, checkpoint_every=every, resume=True)
    assert log == whole_log
    assert comparable(history) == comparable(whole_history)
    assert_same_parameters(model, whole_model)


def test_a_run_that_was_finished_goes_on_with_more_epochs(tmp_path):
    whole_model, whole_history, _ = run(language, 0, epochs=4)
    run(language, 0, epochs=2, checkpoint=tmp_path / "run")
    model, history, _ = run(language, 3, epochs=4, checkpoint=tmp_path / "run", resume=True)
    assert comparable(history) == comparable(whole_history)
    assert_same_parameters(model, whole_model)
    again, history, log = run(language, 4, epochs=4, checkpoint=tmp_path / "run", resume=True)
    assert comparable(history) == comparable(whole_history) and len(log) == history["step"][-1]
    assert_same_parameters(again, whole_model)


def test_the_file_holds_the_best_model(tmp_path):
    model, data, _ = language(0)
    scripted = iter([2.0, 1.0, 3.0])
    snapshots = []

    def loss(output, targets):
        return ur.cross_entropy(output, targets) if model.training else next(scripted)

    ur.fit(
        model, data, loss=loss, validation=[next(iter(data))], epochs=3, checkpoint=tmp_path / "run",
        progress=False,
        callbacks=[lambda r: snapshots.append(r.model.output.b._data.copy())], carry_state=True,
    )  # fmt: skip
    loaded = ur.load(tmp_path / "run")
    np.testing.assert_array_equal(loaded.output.b._data, snapshots[1])
    assert_same_parameters(loaded, model)
    arrays, _ = read(tmp_path / "run")
    np.testing.assert_array_equal(arrays["@training/parameters/output.b"], snapshots[2])


def test_control_c_ends_after_the_step_and_leaves_a_checkpoint(tmp_path):
    whole_model, _, whole_log = run(language, 0, Stop(-1, fail))
    press = Stop(5, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(
        KeyboardInterrupt, match=r"fit: interrupted after step 5; .* is saved, and resume=True goes on"
    ):
        run(language, 0, press, checkpoint=tmp_path / "run")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert read(tmp_path / "run")[1]["training"]["step"] == 5
    model, _, log = run(language, 1, Stop(-1, fail), checkpoint=tmp_path / "run", resume=True)
    assert log == whole_log
    assert_same_parameters(model, whole_model)


def test_control_c_in_validation(tmp_path):
    whole_model, whole_history, _ = run(language, 0)
    pressed = []

    def loss(output, targets):
        if not pressed and not output.requires_grad:  # under no_grad: validation
            pressed.append(os.kill(os.getpid(), signal.SIGINT))
        return ur.cross_entropy(output, targets)

    with pytest.raises(KeyboardInterrupt):
        run(language, 0, loss=loss, checkpoint=tmp_path / "run")
    model, history, _ = run(language, 1, checkpoint=tmp_path / "run", resume=True)
    assert comparable(history) == comparable(whole_history)
    assert_same_parameters(model, whole_model)


def test_a_second_control_c_acts_at_once():
    def press_twice():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)

    with pytest.raises(KeyboardInterrupt):
        run(language, 0, Stop(2, press_twice))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_divergence_keeps_the_last_good_checkpoint(tmp_path):
    def poison():
        model.output.b._data[0] = np.nan

    path = tmp_path / "run"
    model, data, options = language(0)
    with (
        np.errstate(all="ignore"),
        pytest.raises(ur.DivergenceError, match=f"last good checkpoint is {path}"),
    ):
        ur.fit(
            model,
            data,
            progress=False,
            checkpoint=path,
            checkpoint_every=1,
            callbacks=[Stop(4, poison)],
            **options,
        )
    assert read(path)[1]["training"]["step"] == 3
    assert np.isfinite(ur.load(path).output.b._data).all()


def test_a_write_that_fails_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "run"
    steps = []

    def no_space(handle):
        steps.append(handle)
        if len(steps) > 4:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(
        ur.CheckpointError, match=r"cannot write .*run: No space left on device; what was saved before"
    ):
        run(language, 0, checkpoint=path, checkpoint_every=1)
    assert read(path)[1]["training"]["step"] == 2  # a file and its folder each time
    assert os.listdir(tmp_path) == ["run"]


def test_generators_inside_a_model_go_on(tmp_path):
    class Noisy(ur.Module):
        def __init__(self, *, rng=None):
            self.linear = ur.Linear(2, 1, rng=np.random.default_rng(0))
            self.noise = np.random.default_rng() if rng is None else rng

        def forward(self, x):
            return self.linear(x + self.noise.standard_normal(x.shape).astype(np.float32))

    def train(seed, **options):
        model = Noisy(rng=np.random.default_rng(seed))
        x = np.ones((3, 4, 2), np.float32)
        data = [(x, np.ones((3, 4, 1), np.float32))] * 5
        return ur.fit(model, data, loss=ur.mean_squared_error, progress=False, **options)

    whole = train(0, epochs=2)
    train(0, epochs=1, checkpoint=tmp_path / "run")
    assert comparable(train(1, epochs=2, checkpoint=tmp_path / "run", resume=True)) == comparable(whole)


class Jitter:
    """No module: what a user may write beside one."""

    def __init__(self, rng):
        self.rng = rng
        self.again = self  # a ring

    def __call__(self, x):
        return (x + self.rng.normal(size=x.shape)).astype(np.float32)


class Deep(ur.Module):
    def __init__(self, *, rng=None):
        seeds = np.random.default_rng(rng).integers(2**32, size=4)
        one, two = (np.random.default_rng(seed) for seed in seeds[:2])
        self.linear = ur.Linear(2, 1, rng=np.random.default_rng(0))
        self.parts = [{"jitter": Jitter(one)}, (two, one)]
        self.old = {"legacy": np.random.RandomState(seeds[3])}
        self.bits = np.random.Generator(np.random.MT19937(seeds[2]))

    def forward(self, x):
        x = self.parts[0]["jitter"](x)
        for source in (self.parts[1][0], self.old["legacy"], self.bits):
            x = x * source.uniform(0.5, 2, x.shape).astype(np.float32)
        return self.linear(x)


def test_generators_anywhere_inside_a_model_go_on(tmp_path):
    x, targets = np.ones((3, 4, 2), np.float32), np.ones((3, 4, 1), np.float32)

    def train(model, **options):
        loss = ur.mean_squared_error
        return ur.fit(model, [(x, targets)] * 5, loss=loss, progress=False, **options)

    assert list(generators(Deep())) == ["parts.0.jitter.rng", "parts.1.0", "old.legacy", "bits"]
    twin, first, again, fewer = (Deep(rng=np.random.default_rng(seed)) for seed in (0, 0, 1, 0))
    path = tmp_path / "run"
    whole = train(twin, epochs=2)
    train(first, epochs=1, checkpoint=path)
    assert comparable(train(again, epochs=2, checkpoint=path, resume=True)) == comparable(whole)
    assert_same_parameters(again, twin)
    fewer.old = {}
    with pytest.raises(ur.CheckpointError, match=r"generators are .*'old\.legacy'.* there, .*'bits'\] here"):
        train(fewer, epochs=3, checkpoint=path, resume=True)


TRAINER = """
import sys
sys.path.insert(0, sys.argv[2])
import unrolled as ur
from training import batches, speller
model = speller()
ur.fit(model, batches(), loss=ur.cross_entropy, epochs=10**6, checkpoint=sys.argv[1], checkpoint_every=1,
       progress=False, callbacks=[lambda run: print(run.epoch, flush=True)])
"""


def test_a_killed_process_leaves_a_checkpoint_to_go_on_from(tmp_path):
    path = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-c", TRAINER, str(path), str(Path(__file__).parent)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdout.readline() == b"1\n"
    time.sleep(0.05)
    process.kill()
    process.wait()
    process.stdout.close()
    step = read(path)[1]["training"]["step"]
    epochs = 2 + step // len(batches())
    model, twin = speller(), speller()
    callback = [lambda run: None]
    resumed = ur.fit(
        model, batches(), loss=ur.cross_entropy, epochs=epochs, checkpoint=path, resume=True, progress=False,
        callbacks=callback,
    )  # fmt: skip
    whole = ur.fit(twin, batches(), loss=ur.cross_entropy, epochs=epochs, progress=False)
    assert comparable(resumed) == comparable(whole)
    assert_same_parameters(model, twin)


def test_trees_that_cannot_be_stored_are_named(tmp_path):
    class Odd(ur.Callback):
        def state_dict(self):
            return {"handle": object()}

    with pytest.raises(TypeError, match="callbacks/1/handle holds a object, which a checkpoint cannot store"):
        run(language, 0, Odd(), epochs=1, checkpoint=tmp_path / "run")
