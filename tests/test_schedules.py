"""Learning-rate schedules against PyTorch and their formulas, saved and restored."""

from __future__ import annotations

import json

import numpy as np
import pytest

from unrolled.optim import SGD, CosineLR, ReduceLROnPlateau, StepLR, WarmupLR
from unrolled.tensor import Tensor


def make():
    return {"w": Tensor(np.zeros(3), requires_grad=True)}


def rates(optimizer, schedule, count, metric=None):
    found = [optimizer.lr]
    for step in range(count):
        schedule.step(metric[step] if metric else None)
        found.append(optimizer.lr)
    return found


@pytest.mark.peer
@pytest.mark.parametrize("name", ["StepLR", "CosineLR", "ReduceLROnPlateau"])
def test_schedules_agree_with_pytorch(name):
    torch = pytest.importorskip("torch")
    peer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    optimizer = SGD(make(), lr=0.5)
    metric = [3.0, 2.0, 2.5, 2.5, 2.5, 2.0, 1.0, 1.0, 1.0, 1.0]
    scheduler = torch.optim.lr_scheduler
    ours, theirs = {
        "StepLR": lambda: (StepLR(optimizer, 3, 0.5), scheduler.StepLR(peer, 3, 0.5)),
        "CosineLR": lambda: (CosineLR(optimizer, 10, 0.1), scheduler.CosineAnnealingLR(peer, 10, 0.1)),
        "ReduceLROnPlateau": lambda: (
            ReduceLROnPlateau(optimizer, factor=0.5, patience=2),
            scheduler.ReduceLROnPlateau(peer, factor=0.5, patience=2),
        ),
    }[name]()
    expected = [0.5]
    for value in metric:
        peer.step()
        theirs.step(value) if name == "ReduceLROnPlateau" else theirs.step()
        expected.append(peer.param_groups[0]["lr"])
    assert len(set(expected)) > 2
    np.testing.assert_allclose(rates(optimizer, ours, 10, metric), expected, rtol=1e-12)


def test_a_plateau_is_borne_for_patience_epochs():
    optimizer = SGD(make(), lr=1.0)
    schedule = ReduceLROnPlateau(optimizer, factor=0.5, patience=2)
    assert rates(optimizer, schedule, 8, [3.0] * 8)[1:] == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]


def test_cosine_stays_at_its_minimum():
    optimizer = SGD(make(), lr=1.0)
    assert rates(optimizer, CosineLR(optimizer, 4, 0.25), 8)[4:] == pytest.approx([0.25] * 5)


def test_warmup_rises_and_hands_over():
    optimizer = SGD(make(), lr=1.0)
    schedule = WarmupLR(optimizer, 3, after=StepLR(optimizer, 2, 0.5, unit="step"))
    assert rates(optimizer, schedule, 7) == pytest.approx([0.25, 0.5, 0.75, 1, 1, 0.5, 0.5, 0.25])
    optimizer = SGD(make(), lr=1.0)
    schedule = WarmupLR(optimizer, 1)
    schedule.step()
    optimizer.lr = 0.3
    schedule.step()
    assert optimizer.lr == 0.3


@pytest.mark.parametrize(
    "make_schedule",
    [
        lambda o: StepLR(o, 2, 0.5),
        lambda o: CosineLR(o, 9),
        lambda o: WarmupLR(o, 3, after=CosineLR(o, 5)),
        lambda o: ReduceLROnPlateau(o, factor=0.5, patience=1),
    ],
)
def test_schedules_go_on_from_their_saved_state(make_schedule):
    metric = [1.0, 2, 2, 2, 2, 2, 2, 2]
    optimizer = SGD(make(), lr=1.0)
    schedule = make_schedule(optimizer)
    whole = rates(optimizer, schedule, 8, metric)
    optimizer = SGD(make(), lr=1.0)
    schedule = make_schedule(optimizer)
    rates(optimizer, schedule, 4, metric)
    saved = json.loads(json.dumps([schedule.state_dict(), optimizer.state_dict()]))
    optimizer = SGD(make(), lr=1.0)
    schedule = make_schedule(optimizer)
    schedule.load_state_dict(saved[0])
    optimizer.load_state_dict(saved[1])
    assert rates(optimizer, schedule, 4, metric[4:]) == whole[4:]
    assert len(set(whole)) > 3


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda o: StepLR(o, 0), ValueError, "step_size is 0"),
        (lambda o: StepLR(o, 2.5), TypeError, "step_size is a float, expected an int"),
        (lambda o: StepLR(o, 2, gamma=-1), ValueError, "gamma is -1, expected a finite number, zero or more"),
        (lambda o: CosineLR(o, 2, minimum=-0.1), ValueError, "minimum is -0.1"),
        (lambda o: ReduceLROnPlateau(o, patience=-1), ValueError, "patience is -1"),
        (lambda o: StepLR(o, 2, unit="batch"), ValueError, "unit is 'batch', expected one of step, epoch"),
        (lambda o: StepLR(o, 2, unit=None), TypeError, "StepLR: unit is None, expected one of step, epoch"),
        (lambda o: CosineLR(3, 2), TypeError, "optimizer is int"),
        (lambda o: ReduceLROnPlateau(o, factor=1.0), ValueError, "factor is 1.0"),
        (lambda o: ReduceLROnPlateau(o).step(), ValueError, "needs the metric"),
        (lambda o: WarmupLR(o, 2, after=StepLR(o, 2)), ValueError, "same unit"),
        (lambda o: StepLR(o, 2).load_state_dict({"count": 1}), ValueError, "saved state has"),
        (lambda o: StepLR(o, 2).load_state_dict(None), TypeError, "StepLR: state is None, expected what"),
        (
            lambda o: StepLR(o, 2).load_state_dict({**StepLR(o, 2).state_dict(), "count": "1"}),
            TypeError,
            "StepLR: count of the saved state is str",
        ),
    ],
)
def test_bad_schedules(call, error, message):
    with pytest.raises(error, match=message):
        call(SGD(make()))
