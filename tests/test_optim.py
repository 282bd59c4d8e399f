"""Optimizers against PyTorch and against their formulas; state, clipping, schedules."""

from __future__ import annotations

import math

import numpy as np
import pytest

from unrolled.layers import Embedding
from unrolled.module import Module
from unrolled.optim import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    RMSprop,
    clip_grad_norm,
    clip_grad_value,
)
from unrolled.tensor import Tensor

CASES = [
    (SGD, "SGD", {"lr": 0.1}, {}),
    (SGD, "SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}, {}),
    (SGD, "SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}, {}),
    (RMSprop, "RMSprop", {"lr": 0.01}, {}),
    (RMSprop, "RMSprop", {"lr": 0.01, "alpha": 0.9, "momentum": 0.5, "weight_decay": 0.1}, {}),
    (RMSprop, "RMSprop", {"lr": 0.01, "centered": True}, {}),
    (RMSprop, "RMSprop", {"lr": 0.01, "centered": True, "momentum": 0.9, "eps": 1e-3}, {}),
    (Adam, "Adam", {"lr": 0.01}, {}),
    (Adam, "Adam", {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}, {}),
    (AdamW, "AdamW", {"lr": 0.01}, {}),
    (AdamW, "AdamW", {"lr": 0.01, "weight_decay": 0.3}, {}),
    (Adagrad, "Adagrad", {"lr": 0.1}, {}),
    (Adagrad, "Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1}, {"initial": 0.5}),
]
IDS = [f"{name}-{index}" for index, (_, name, _, _) in enumerate(CASES)]
SHAPES = {"W": (130, 70), "b": (7,), "s": ()}  # W is more than one block, and its last block is not full


def make(dtype=np.float64, seed=0) -> dict[str, Tensor]:
    rng = np.random.default_rng(seed)
    return {
        name: Tensor(rng.standard_normal(shape).astype(dtype), requires_grad=True)
        for name, shape in SHAPES.items()
    }


def set_gradients(tensors: dict[str, Tensor], rng: np.random.Generator) -> None:
    for tensor in tensors.values():
        tensor.grad = np.asarray(rng.standard_normal(tensor.shape), tensor.dtype)


@pytest.mark.peer
@pytest.mark.parametrize(("ours", "theirs", "options", "renamed"), CASES, ids=IDS)
@pytest.mark.parametrize(("dtype", "bound"), [(np.float64, 1e-13), (np.float32, 1e-5)])
def test_twelve_steps_agree_with_pytorch(ours, theirs, options, renamed, dtype, bound):
    # float32: sums of rounding errors of 12 steps of size lr, relative 6e-8 each, through a square root and a
    # quotient
    torch = pytest.importorskip("torch")
    tensors = make(dtype)
    peers = {name: torch.nn.Parameter(torch.from_numpy(np.array(t._data))) for name, t in tensors.items()}
    extra = {"initial_accumulator_value": renamed["initial"]} if renamed else {}
    optimizer, peer = (
        ours(tensors, **options, **renamed),
        getattr(torch.optim, theirs)(peers.values(), **options, **extra),
    )
    before = {name: np.array(t._data) for name, t in tensors.items()}
    rng = np.random.default_rng(1)
    for step in range(12):
        set_gradients(tensors, rng)
        if step % 3 == 2:  # no gradient, no update, no decay of the state
            tensors["b"].grad = None
        for name, tensor in tensors.items():
            peers[name].grad = None if tensor.grad is None else torch.from_numpy(np.array(tensor.grad))
        optimizer.step()
        peer.step()
    for name, tensor in tensors.items():
        assert np.abs(tensor._data - before[name]).max() > 1e-3
        np.testing.assert_allclose(tensor._data, peers[name].detach().numpy(), rtol=bound, atol=bound)


def test_graves_rmsprop_is_equations_38_to_41():
    w = np.array([0.5, -1.0, 2.0])
    tensor = Tensor(w.copy(), requires_grad=True)
    optimizer = RMSprop.graves({"w": tensor}, lr=0.01)
    n = gbar = delta = np.zeros(3)
    rng = np.random.default_rng(0)
    for step in range(8):
        optimizer.lr = lr = 0.01 / (step + 1)  # the rate is inside the velocity
        e = rng.standard_normal(3)
        n = 0.95 * n + 0.05 * e**2
        gbar = 0.95 * gbar + 0.05 * e
        delta = 0.9 * delta - lr * e / np.sqrt(n - gbar**2 + 1e-4)
        w = w + delta
        tensor.grad = e
        optimizer.step()
    np.testing.assert_allclose(tensor._data, w, rtol=1e-13)


@pytest.mark.parametrize(("kind", "_name", "options", "renamed"), CASES, ids=IDS)
def test_saved_state_goes_on_bit_for_bit(kind, _name, options, renamed):
    tensors, rng = make(np.float32), np.random.default_rng(2)
    optimizer = kind(tensors, **options, **renamed)
    for _ in range(3):
        set_gradients(tensors, rng)
        optimizer.step()
    twins = {name: Tensor(t._data.copy(), requires_grad=True) for name, t in tensors.items()}
    other = kind(twins, lr=7.0)
    other.load_state_dict(optimizer.state_dict())
    assert other.lr == optimizer.lr
    for _ in range(3):
        set_gradients(tensors, rng)
        for name, tensor in tensors.items():
            twins[name].grad = np.array(tensor.grad)
        optimizer.step()
        other.step()
    for name in tensors:
        np.testing.assert_array_equal(tensors[name]._data, twins[name]._data)


def test_state_of_another_optimizer_or_model_is_refused():
    optimizer = Adam(make())
    with pytest.raises(ValueError, match="Adam: the saved state is of optimizer SGD, expected Adam"):
        optimizer.load_state_dict(SGD(make()).state_dict())
    with pytest.raises(
        ValueError, match="Adam: the saved state has no class, updates, expected what state_dict"
    ):
        optimizer.load_state_dict({"hyper": {}, "arrays": {}})
    tensors = make()
    del tensors["b"]
    with pytest.raises(ValueError, match="of other parameters; they differ in b"):
        optimizer.load_state_dict(Adam(tensors).state_dict())
    tensors = {**make(), "b": Tensor(np.zeros(3), requires_grad=True)}
    smaller = Adam(tensors)
    set_gradients(tensors, np.random.default_rng(0))
    smaller.step()
    with pytest.raises(ValueError, match=r"saved mean of 'b' has shape \(3,\), expected \(7,\)"):
        optimizer.load_state_dict(smaller.state_dict())


def test_frozen_parameters_stay_and_changes_are_marked():
    tensors = make()
    tensors["b"].requires_grad = False
    set_gradients(tensors, np.random.default_rng(0))
    before = {name: (t._data.copy(), t._version) for name, t in tensors.items()}
    AdamW(tensors).step()
    np.testing.assert_array_equal(tensors["b"]._data, before["b"][0])
    assert tensors["b"]._version == before["b"][1]
    assert tensors["W"]._version > before["W"][1]
    assert (tensors["W"]._data != before["W"][0]).any()


def test_module_and_tied_parameters():
    class Tied(Module):
        def __init__(self):
            self.one = Tensor(np.ones(2), requires_grad=True)
            self.two = self.one

    model = Tied()
    optimizer = SGD(model, lr=1.0)
    model.one.grad = np.ones(2)
    optimizer.step()
    np.testing.assert_array_equal(model.one._data, [0, 0])  # once, not twice
    SGD({"one": model.one, "two": model.two}, lr=1.0).step()
    np.testing.assert_array_equal(model.one._data, [-1, -1])
    optimizer.zero_grad()
    assert model.one.grad is None


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: SGD({}), ValueError, "SGD: there are no parameters"),
        (lambda: SGD([1]), TypeError, "parameters is list, expected a Module or a mapping"),
        (lambda: SGD({"w": np.zeros(3)}), TypeError, "parameter 'w' is ndarray, expected a Tensor"),
        (lambda: SGD(make(), lr=-1), ValueError, "lr is -1"),
        (lambda: SGD(make(), lr=math.nan), ValueError, "lr is nan"),
        (lambda: SGD(make(), nesterov=1), TypeError, "SGD: nesterov is a int, expected a bool"),
        (lambda: SGD(make(), nesterov=True), ValueError, "nesterov=True needs a positive momentum"),
        (lambda: Adam(make(), betas=(0.9, 1.0)), ValueError, r"beta2 is 1.0, expected a number in \[0, 1\)"),
        (lambda: Adam(make(), lr="fast"), TypeError, "Adam: lr is a str, expected a number"),
        (lambda: Adam(make(), betas=0.9), TypeError, "Adam: betas is 0.9, expected two numbers"),
        (lambda: Adam(make(), betas=("a", 0.9)), TypeError, "Adam: beta1 is a str, expected a number"),
        (lambda: RMSprop(make(), alpha=1.5), ValueError, "alpha is 1.5"),
        (lambda: clip_grad_norm(make(), 0), ValueError, "max_norm is 0"),
        (
            lambda: clip_grad_norm(make(), "1"),
            TypeError,
            "clip_grad_norm: max_norm is a str, expected a number",
        ),
        (lambda: clip_grad_norm(make(), True), TypeError, "max_norm is a bool"),
        (lambda: clip_grad_norm(make(), -np.inf), ValueError, "max_norm is -inf"),
        (lambda: clip_grad_value(make(), -1), ValueError, "limit is -1"),
    ],
)
def test_bad_options(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(("kind", "_name", "options", "renamed"), CASES, ids=IDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_result_is_the_same_at_any_number_of_threads_and_place(
    kind, _name, options, renamed, dtype, threads
):
    rng = np.random.default_rng(0)
    values = rng.standard_normal((4, 700_001)).astype(dtype)  # enough for a team, no whole number of packets
    results = []
    for count, part in ((1, slice(None)), (2, slice(None)), (2, slice(70_000, 70_003))):
        threads(count)
        tensor = Tensor(values[0, part].copy(), requires_grad=True)
        optimizer = kind({"w": tensor}, **options, **renamed)
        for gradient in values[1:]:
            tensor.grad = gradient[part].copy()
            norm = clip_grad_norm({"w": tensor})
            optimizer.step()
        results.append((tensor._data, norm))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][0][70_000:70_003], results[2][0])
    assert (
        results[0][1]
        == results[1][1]
        == pytest.approx(np.linalg.norm(values[3].astype(np.float64)), rel=1e-12)
    )


@pytest.mark.parametrize("kind", [SGD, Adagrad])
def test_a_table_is_updated_by_the_rows_that_were_looked_up(kind):
    """Equal to the dense update, bit for bit, and clipped as well."""
    results = []
    for rows_only in (True, False):
        table = Embedding(50, 3, rng=np.random.default_rng(0))
        optimizer = kind(table, lr=0.5)
        for ids in ([1, 4, 4], [4, 7]):
            optimizer.zero_grad()
            table(np.array(ids)).backward(np.arange(3.0 * len(ids), dtype=np.float32).reshape(-1, 3) + 1)
            assert table.W.row_grad is not None
            if not rows_only:
                assert table.W.grad is not None and table.W.row_grad is None  # reading grad makes it dense
            clip_grad_norm(table, 2.0)
            clip_grad_value(table, 0.9)
            assert (table.W.row_grad is not None) == rows_only
            optimizer.step()
        results.append(table.W._data)
    np.testing.assert_array_equal(results[0], results[1])
    untouched = np.setdiff1d(np.arange(50), [1, 4, 7])
    fresh = Embedding(50, 3, rng=np.random.default_rng(0)).W._data
    np.testing.assert_array_equal(results[0][untouched], fresh[untouched])
    assert (results[0][[1, 4, 7]] != fresh[[1, 4, 7]]).any()


@pytest.mark.parametrize("kind", [Adam, RMSprop, lambda p: SGD(p, lr=0.1, momentum=0.9)])
def test_optimizers_with_memory_update_every_row(kind):
    table = Embedding(50, 3, rng=np.random.default_rng(0))
    twin = Tensor(table.W._data.copy(), requires_grad=True)
    optimizer, other = kind(table), kind({"W": twin})
    for ids in ([1], [4]):
        optimizer.zero_grad()
        table(np.array(ids)).backward(np.ones((1, 3), np.float32))
        twin.grad = np.zeros((50, 3), np.float32)
        twin.grad[ids] = 1
        optimizer.step()
        other.step()
    np.testing.assert_array_equal(table.W._data, twin._data)
