"""Means over several batches are those of one batch with all of the data."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import unrolled as ur

rng = np.random.default_rng(0)
X = rng.standard_normal((6, 10, 3)).astype(np.float32)
LABELS = rng.integers(1, 4, (6, 10))
LABELS[rng.random((6, 10)) < np.linspace(0, 0.95, 10)] = 0  # rows differ much in how many positions count
CLASS_WEIGHTS = np.array([0.2, 1.0, 0.5, 3.0])


class Scores(ur.Module):
    def __init__(self) -> None:
        self.linear = ur.Linear(3, 4, rng=np.random.default_rng(1))

    def forward(self, x):
        return self.linear(x)


LOSSES = {
    "ignore_index": partial(ur.cross_entropy, ignore_index=0),
    "class_weights": partial(ur.cross_entropy, class_weights=CLASS_WEIGHTS),
    "both": lambda output, targets: ur.cross_entropy(
        output, targets, ignore_index=0, class_weights=CLASS_WEIGHTS
    ),
    "neither": ur.cross_entropy,
}


def by_hand(loss: str) -> float:
    """sum of w[label] (-log softmax(W x + b)[label]) / sum of w[label], over all positions that count."""
    model = Scores()
    scores = X.astype(np.float64) @ model.linear.W._data.T + model.linear.b._data
    cost = np.log(np.exp(scores).sum(-1)) - np.take_along_axis(scores, LABELS[..., None], -1)[..., 0]
    weights = CLASS_WEIGHTS[LABELS] if loss in ("class_weights", "both") else np.ones(LABELS.shape)
    if loss in ("ignore_index", "both"):
        weights = weights * (LABELS != 0)
    return float((cost * weights).sum() / weights.sum())


@pytest.mark.parametrize("loss", LOSSES)
def test_evaluate_weighs_batches_by_what_the_loss_has_counted(loss):
    found = ur.evaluate(Scores(), (X, LABELS), LOSSES[loss], batch_size=3)
    assert found == pytest.approx(by_hand(loss), rel=1e-6)  # a mean of 60 float32 numbers


@pytest.mark.parametrize("loss", LOSSES)
def test_the_mean_loss_of_an_epoch_too(loss):
    model = Scores()
    history = ur.fit(
        model, (X, LABELS), loss=LOSSES[loss], optimizer=ur.SGD(model, lr=0.0), batch_size=3, progress=False
    )
    assert history["loss"] == [pytest.approx(by_hand(loss), rel=1e-6)]


def test_batches_without_a_counted_position():
    batches = [(X[:, :4], LABELS[:, :4]), (X[:, 4:], np.zeros((6, 6), int))]
    found = ur.evaluate(Scores(), batches, LOSSES["ignore_index"])
    assert found == pytest.approx(ur.evaluate(Scores(), batches[:1], LOSSES["ignore_index"]))
    with pytest.raises(ValueError, match="no positions"):
        ur.evaluate(Scores(), batches[1:], LOSSES["ignore_index"])


def test_any_other_measure_counts_by_its_targets():
    def error_rate(output, targets):
        return float((np.asarray(output).argmax(-1) != targets).mean())

    expected = error_rate(Scores()(X), LABELS)
    assert ur.evaluate(Scores(), (X, LABELS), error_rate, batch_size=3) == pytest.approx(expected)
