"""fit, evaluate and predict with models written by hand, whose state is a bare Tensor, and with two outputs."""

from __future__ import annotations

import numpy as np
import pytest

import unrolled as ur
from training import TOKENS, VOCABULARY, Stop, assert_same_parameters, batches, comparable, fail


class ByHand(ur.Module):
    """An Elman cell and its scores: (logits, h)."""

    def __init__(self, size=6, *, rng=None):
        rng = np.random.default_rng(rng)
        self.W = ur.Tensor(rng.normal(0, 0.5, (len(VOCABULARY), size)), requires_grad=True)
        self.U = ur.Tensor(rng.normal(0, 0.5, (size, size)), requires_grad=True)
        self.V = ur.Tensor(rng.normal(0, 0.5, (size, len(VOCABULARY))), requires_grad=True)

    def forward(self, x, state=None):
        h = np.zeros((x.shape[1], len(self.U.data))) if state is None else state
        outputs = []
        for tokens in x:
            h = ur.ops.tanh(self.W[tokens] + h @ self.U)
            outputs.append(h @ self.V)
        return ur.ops.stack(outputs), h


class Gives(ur.Module):
    """What a function makes of inputs and weight."""

    def __init__(self):
        self.w = ur.Tensor(np.ones(1), requires_grad=True)

    def forward(self, x):
        return self.w * x, self.w + x


def train(model, **options):
    options = {"loss": ur.cross_entropy, "progress": False, "optimizer": ur.SGD(model, lr=0.3), **options}
    return ur.fit(model, batches(TOKENS[:200]), **options)


def test_a_bare_tensor_is_carried_from_batch_to_batch():
    model = ByHand(rng=0)
    ((x, y),) = ur.data.ContiguousBatches(TOKENS, 4, 10**6)
    with ur.no_grad():
        whole = ur.cross_entropy(model(x)[0], y).item()
    assert ur.evaluate(model, batches(), ur.cross_entropy) == pytest.approx(whole, rel=1e-12)
    afresh = ur.evaluate(model, batches(), ur.cross_entropy, carry_state=False)
    assert abs(afresh - whole) > 1e-5
    history = train(model, epochs=4)
    assert history["loss"][-1] < history["loss"][0] - 0.1


def test_carried_states_are_cut_from_the_tape_and_can_be_left():
    losses = []
    for carry in (True, False):
        model = ByHand(rng=0)
        losses.append(train(model, carry_state=carry, validation=batches(TOKENS[200:]))["loss"][0])
    assert losses[0] != losses[1]

    class Look(ur.Callback):
        def on_step(self, run):
            assert isinstance(run.carried, ur.Tensor) and not run.carried.requires_grad

    train(ByHand(), callbacks=[Look()])


def test_predict_drops_it():
    model, x = ByHand(rng=0), TOKENS[:42].reshape(6, 7)
    np.testing.assert_allclose(
        ur.predict(model, x, batch_size=3),
        model(x)[0].data,
        rtol=1e-12,  # other sizes of products
    )


def test_a_run_is_resumed_in_the_middle_of_an_epoch(tmp_path):
    whole = ByHand(rng=0)
    history = train(whole, epochs=2, callbacks=[Stop(-1, fail)])
    with pytest.raises(RuntimeError, match="power cut"):
        train(
            ByHand(rng=0),
            epochs=2,
            checkpoint=tmp_path / "run",
            checkpoint_every=2,
            callbacks=[Stop(3, fail)],
        )
    model = ByHand(rng=0)
    model.U.data[...] = 0.0  # all comes from the file
    resumed = train(model, epochs=2, checkpoint=tmp_path / "run", resume=True, callbacks=[Stop(-1, fail)])
    assert comparable(resumed) == comparable(history)
    assert_same_parameters(model, whole)


def test_two_outputs_without_a_state_go_to_the_loss():
    def loss(output, targets):
        return ur.mean_squared_error(output[0], targets) + ur.mean_squared_error(output[1], targets)

    x = np.ones((2, 3, 1))
    model = Gives()
    history = ur.fit(model, (x, 2 * x), loss=loss, optimizer=ur.SGD(model, lr=0.1), epochs=9, progress=False)
    assert history["loss"][0] == 1.0 and history["loss"][-1] < 0.6
    assert ur.evaluate(model, (x, 2 * x), loss) == pytest.approx(loss(model(x), 2 * x).item())


def test_a_state_that_cannot_be_told_from_an_output_is_explained():
    x = np.ones((2, 3, 1))
    hint = (
        r"tuple of Tensor and Tensor \(the second would be its state if forward took the argument `state`\)"
    )
    with pytest.raises(TypeError, match=f"model gave a {hint}"):
        ur.fit(Gives(), (x, x), loss=ur.mean_squared_error, progress=False)
    with pytest.raises(ValueError, match=f"model gave a {hint}"):
        ur.evaluate(Gives(), (x, x), ur.mean_squared_error)
    with pytest.raises(TypeError, match=f"predict: the model gave a {hint}, expected a Tensor"):
        ur.predict(Gives(), x)
