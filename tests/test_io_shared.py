"""Files of models with tied parameters and shared modules, and of models that no longer share."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import unrolled as ur
from changing_models import Two, outputs, saved


def shares(model: Two) -> tuple[bool, bool]:
    return model.a is model.b, model.a.W is model.b.W


@pytest.mark.parametrize(
    ("options", "act", "wanted"),
    [
        ({"shared": True}, lambda m: None, (True, True)),
        ({"shared": True}, lambda m: setattr(m, "b", ur.Linear(3, 3)), (False, False)),
        ({"shared": True}, lambda m: setattr(m, "a", ur.Linear(3, 3)), (False, False)),
        ({"tied": True}, lambda m: None, (False, True)),
        ({"tied": True}, lambda m: setattr(m, "b", ur.Linear(3, 3)), (False, False)),
        ({"tied": True}, lambda m: setattr(m, "a", ur.Linear(3, 3)), (False, False)),
        (
            {"tied": True},
            lambda m: setattr(m.b, "W", ur.Tensor(np.eye(3, dtype="f4"), requires_grad=True)),
            (False, False),
        ),
        ({}, lambda m: setattr(m, "b", m.a), (True, True)),
        ({}, lambda m: setattr(m.b, "W", m.a.W), (False, True)),
        ({"shared": True}, lambda m: setattr(m, "b", copy.deepcopy(m.a)), (False, False)),
    ],
)
def test_what_is_shared_and_tied_stays_so_and_nothing_else(
    options: Any, act: Any, wanted: Any, tmp_path: Any
) -> None:
    model = Two(**options)
    act(model)
    assert shares(model) == wanted
    again = saved(model, tmp_path / "m")
    assert shares(again) == wanted
    np.testing.assert_array_equal(outputs(again), outputs(model))
    assert all(tensor.requires_grad for tensor in again.parameters().values())
