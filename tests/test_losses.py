"""Losses against their formulas, with masks, ignored positions and class weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unrolled import losses
from unrolled.tensor import Tensor

FLOATS = [np.float32, np.float64]
# Sums of up to 60 terms of a few units: float64 keeps 1e-13, float32 1e-5.
TOLERANCE = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-13}


def plain_cross_entropy(logits: Any, targets: Any, weights: Any) -> Any:
    """Loss of every position and its gradient, from softmax and one-hot targets in float64."""
    x = logits.astype(np.float64)
    e = np.exp(x - x.max(-1, keepdims=True))
    p = e / e.sum(-1, keepdims=True)
    one_hot = np.eye(x.shape[-1])[targets]
    return -weights * np.log((p * one_hot).sum(-1)), weights[..., None] * (p - one_hot)


def problem(dtype: Any, shape: tuple[int, ...] = (5, 4), classes: int = 11) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return (3 * rng.standard_normal((*shape, classes))).astype(dtype), rng.integers(0, classes, shape)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighting", ["plain", "mask", "fractions", "ignored", "classes", "all"])
@pytest.mark.parametrize("shape", [(5, 4), (7,), ()], ids=["many-to-many", "many-to-one", "one"])
def test_cross_entropy(dtype: Any, reduction: str, weighting: str, shape: tuple[int, ...]) -> None:
    logits, targets = problem(dtype, shape)
    rng = np.random.default_rng(1)
    weights, options = np.ones(shape), {}
    if weighting in ("mask", "all"):
        options["mask"] = rng.random(shape) < 0.6
        weights = weights * options["mask"]
    if weighting == "fractions":
        options["mask"] = rng.random(shape).astype(np.float32)
        weights = weights * options["mask"]
    if weighting in ("ignored", "all"):
        options["ignore_index"] = 3
        weights = weights * (targets != 3)
    if weighting in ("classes", "all"):
        options["class_weights"] = rng.random(11)
        weights = weights * options["class_weights"][targets]
    wanted, slope = plain_cross_entropy(logits, targets, weights)
    if reduction != "none":
        scale = 1 if reduction == "sum" or not weights.sum() else 1 / weights.sum()
        wanted, slope = wanted.sum() * scale, slope * scale
    x = Tensor(logits, requires_grad=True)
    loss = losses.cross_entropy(x, targets, reduction=reduction, **options)
    assert loss.shape == (shape if reduction == "none" else ())
    assert loss.dtype == dtype
    np.testing.assert_allclose(loss, wanted, rtol=TOLERANCE[loss.dtype], atol=TOLERANCE[loss.dtype])
    loss.backward(np.ones(loss.shape, dtype))
    np.testing.assert_allclose(x.grad, slope, rtol=0, atol=TOLERANCE[loss.dtype])


@pytest.mark.parametrize("dtype", FLOATS)
def test_what_does_not_count_is_not_read(dtype: Any) -> None:
    logits, targets = problem(dtype)
    mask = np.ones((5, 4), bool)
    mask[3:] = False
    clean = Tensor(logits[:3], requires_grad=True)
    wanted = losses.cross_entropy(clean, targets[:3])
    wanted.backward()
    logits[3:], targets[3:] = np.nan, -7
    for options in ({"mask": mask}, {"ignore_index": -7}):
        x = Tensor(logits, requires_grad=True)
        loss = losses.cross_entropy(x, targets, **options)
        assert loss.item() == wanted.item()
        loss.backward()
        np.testing.assert_array_equal(x.grad[:3], clean.grad)
        assert not x.grad[3:].any()


def test_extreme_logits() -> None:
    logits = np.array([[1e30, -1e30, 0], [-1e4, -1e4, -1e4], [5, -np.inf, 5], [88.5, 88.5, 88.5]])
    for dtype in FLOATS:
        x = Tensor(logits.astype(dtype), requires_grad=True)
        loss = losses.cross_entropy(x, [0, 1, 2, 0], reduction="none")
        np.testing.assert_allclose(loss, [0, np.log(3), np.log(2), np.log(3)], rtol=1e-6)
        loss.sum().backward()
        thirds = [-2 / 3, 1 / 3, 1 / 3]
        wanted = [[0, 0, 0], np.roll(thirds, 1), [0.5, 0, -0.5], thirds]
        np.testing.assert_allclose(x.grad, wanted, atol=1e-6)
    assert np.isinf(losses.cross_entropy([[0.0, -np.inf]], [1]).item())
    assert np.isnan(losses.cross_entropy([[0.0, np.nan]], [1]).item())


def test_small_losses_keep_their_digits() -> None:
    logits = np.array([[1000.0, 1000.0 - 20.0]])
    assert losses.cross_entropy(logits, [0]).item() == pytest.approx(np.log1p(np.exp(-20.0)), rel=1e-6)


@pytest.mark.parametrize(
    "loss", [losses.cross_entropy, losses.binary_cross_entropy, losses.mean_squared_error]
)
def test_nothing_that_counts_costs_nothing(loss: Any) -> None:
    for shape, mask in (((0, 3), None), ((2, 3), np.zeros(2))):
        x = Tensor(np.ones(shape, np.float32), requires_grad=True)
        targets = np.zeros(shape[:1], int) if loss is losses.cross_entropy else np.zeros(shape, np.float32)
        value = loss(x, targets, mask=mask)
        assert value.item() == 0
        value.backward()
        np.testing.assert_array_equal(x.grad, np.zeros(shape))


def check_elementwise(
    loss: Any, formula: Any, derivative: Any, dtype: Any, options: Any, weights: Any
) -> None:
    rng = np.random.default_rng(0)
    logits = (3 * rng.standard_normal((6, 5))).astype(dtype)
    targets = rng.random((6, 5)).astype(dtype)
    x, t = logits.astype(np.float64), targets.astype(np.float64)
    w = np.broadcast_to(weights(t), t.shape)
    for reduction, scale in (("none", 1), ("sum", 1), ("mean", 1 / w.sum())):
        tensor = Tensor(logits, requires_grad=True)
        value = loss(tensor, targets, reduction=reduction, **options)
        wanted = w * formula(x, t)
        close = {"rtol": TOLERANCE[value.dtype], "atol": TOLERANCE[value.dtype]}
        np.testing.assert_allclose(value, wanted if reduction == "none" else wanted.sum() * scale, **close)
        value.backward(np.ones(value.shape, dtype))
        np.testing.assert_allclose(tensor.grad, w * derivative(x, t) * scale, **close)


MASK = np.array([1, 0, 1, 1, 0, 1])
FULL = np.random.default_rng(5).random((6, 5)) < 0.5


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("options", "weights"),
    [
        ({}, lambda t: 1),
        ({"mask": MASK}, lambda t: MASK[:, None]),
        ({"mask": FULL}, lambda t: FULL),
        ({"class_weights": [1, 3]}, lambda t: 1 + 2 * t),
        ({"class_weights": [1, 3], "mask": FULL}, lambda t: FULL * (1 + 2 * t)),
    ],
    ids=["plain", "positions", "elements", "classes", "both"],
)
def test_binary_cross_entropy(dtype: Any, options: Any, weights: Any) -> None:
    def sigmoid(x: Any) -> Any:
        return 1 / (1 + np.exp(-x))

    check_elementwise(
        losses.binary_cross_entropy,
        lambda x, t: -t * np.log(sigmoid(x)) - (1 - t) * np.log(sigmoid(-x)),
        lambda x, t: sigmoid(x) - t,
        dtype,
        options,
        weights,
    )


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("mask", [None, MASK, FULL], ids=["plain", "positions", "elements"])
def test_mean_squared_error(dtype: Any, mask: Any) -> None:
    check_elementwise(
        losses.mean_squared_error,
        lambda x, t: (x - t) ** 2,
        lambda x, t: 2 * (x - t),
        dtype,
        {} if mask is None else {"mask": mask},
        lambda t: 1 if mask is None else mask[:, None] if mask is MASK else mask,
    )


def test_binary_cross_entropy_of_extreme_logits() -> None:
    x = Tensor([1e4, -1e4, 40.0], requires_grad=True)
    loss = losses.binary_cross_entropy(x, [True, True, True], reduction="none")
    np.testing.assert_allclose(loss, [0, 1e4, np.exp(-40.0)], rtol=1e-12)
    loss.sum().backward()
    np.testing.assert_allclose(x.grad, [0, -1, -np.exp(-40.0)], atol=1e-12)


@pytest.mark.parametrize("loss", [losses.binary_cross_entropy, losses.mean_squared_error])
def test_masked_elements_are_not_read(loss: Any) -> None:
    values, targets = np.array([[1.0, np.nan], [2.0, 5.0]]), np.array([[0.5, 0.5], [1.0, np.nan]])
    x = Tensor(values, requires_grad=True)
    value = loss(x, targets, mask=[[1, 0], [1, 0]])
    value.backward()
    assert np.isfinite(value.item())
    assert np.isfinite(x.grad).all()
    assert not x.grad[:, 1].any()


def test_squared_error_gives_gradients_to_targets_too() -> None:
    x, t = Tensor([1.0, 2.0], requires_grad=True), Tensor([3.0, 5.0], requires_grad=True)
    losses.mean_squared_error(x, t, reduction="sum").backward()
    np.testing.assert_array_equal(x.grad, [-4, -6])
    np.testing.assert_array_equal(t.grad, [4, 6])


X, T = np.zeros((2, 3), np.float32), np.zeros(2, int)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"logits": np.zeros((2, 3), int)},
            TypeError,
            "logits has dtype int64, expected float32 or float64",
        ),
        ({"targets": np.zeros(2)}, TypeError, "targets have dtype float64, expected an integer type"),
        (
            {"targets": np.zeros(3, int)},
            ValueError,
            r"targets have shape \(3,\), expected \(2,\) because logits",
        ),
        ({"targets": [0, 3]}, ValueError, "targets hold 3, expected values from 0 to 2"),
        ({"targets": [0, -1]}, ValueError, "targets hold -1, .* ignore_index"),
        ({"targets": [0, -2], "ignore_index": -1}, ValueError, "targets hold -2, expected"),
        ({"targets": np.array([0, 2**64 - 1], np.uint64)}, ValueError, "no 64-bit integer"),
        ({"logits": np.zeros((2, 0)), "targets": T}, ValueError, "expected .*classes"),
        ({"logits": np.float32(1), "targets": 0}, ValueError, "expected .*classes"),
        ({"mask": [[1, 1]]}, ValueError, r"mask has shape \(1, 2\), expected \(2,\)"),
        ({"mask": [1, -1]}, ValueError, "mask holds -1"),
        ({"mask": [1, np.nan]}, ValueError, "mask holds nan"),
        ({"mask": ["a", "b"]}, TypeError, "mask has dtype"),
        ({"class_weights": [1, 2]}, ValueError, r"class_weights has shape \(2,\), expected \(3,\)"),
        ({"class_weights": [1, np.inf, 1]}, ValueError, "class_weights holds inf"),
        ({"reduction": "average"}, ValueError, "reduction is 'average', expected one of mean, sum, none"),
        ({"reduction": ["mean"]}, TypeError, "cross_entropy: reduction is a list, expected one of mean, sum"),
    ],
)
def test_cross_entropy_explains_bad_arguments(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        losses.cross_entropy(**{"logits": X, "targets": T, **arguments})


@pytest.mark.parametrize(
    ("targets", "error", "message"),
    [
        (np.zeros((2, 3)), TypeError, "targets have dtype float64, expected float32"),
        (np.zeros((3, 2), np.float32), ValueError, r"targets have shape \(3, 2\), expected \(2, 3\)"),
        ([["a", "b", "c"]], TypeError, "targets have dtype <U1, expected numbers"),
    ],
)
def test_other_losses_explain_bad_targets(targets: Any, error: type[Exception], message: str) -> None:
    for loss in (losses.binary_cross_entropy, losses.mean_squared_error):
        with pytest.raises(error, match=message):
            loss(X, targets)


def test_binary_targets_are_probabilities() -> None:
    for wrong in (1.5, -0.1, np.nan):
        with pytest.raises(ValueError, match="expected 0 to 1"):
            losses.binary_cross_entropy(X, np.full((2, 3), wrong, np.float32))


def test_what_is_no_target_is_named() -> None:
    """The third argument of other libraries' losses is the weight of every class, ours took it for a mask."""
    weights = np.ones((2, 3), np.float32)
    for loss, targets in (
        (losses.cross_entropy, T), (losses.binary_cross_entropy, weights), (losses.mean_squared_error, weights),
    ):  # fmt: skip
        with pytest.raises(TypeError, match="takes 2 positional arguments but 3 were given"):
            loss(X, targets, weights[:, 0])


@pytest.mark.parametrize("dtype", FLOATS)
def test_binary_cross_entropy_keeps_its_digits(dtype: Any) -> None:
    """Far from 0 in either direction, where max(x, 0) - x t and sigmoid(x) - t would cancel."""
    x = np.array([20, -20, 80, -80, 5, -5, 1e4, -1e4], dtype)
    t = np.array([1, 0, 1, 0, 0.999, 0.001, 1, 0], dtype)
    logits = Tensor(x, requires_grad=True)
    loss = losses.binary_cross_entropy(logits, t, reduction="none")
    loss.backward(np.ones(8, dtype))
    wide, u = x.astype(np.longdouble), t.astype(np.longdouble)
    with np.errstate(over="ignore", under="ignore"):
        wanted = u * np.log1p(np.exp(-wide)) + (1 - u) * np.log1p(np.exp(wide))
        slope = (1 - u) / (1 + np.exp(-wide)) - u / (1 + np.exp(wide))
    tiny = np.finfo(dtype).tiny
    np.testing.assert_allclose(loss, wanted, rtol=4 * np.finfo(dtype).eps, atol=tiny)
    np.testing.assert_allclose(logits.grad, slope, rtol=4 * np.finfo(dtype).eps, atol=tiny)


@pytest.mark.filterwarnings("error")
def test_infinite_values_where_they_cost_nothing() -> None:
    inf = np.float32(np.inf)
    logits = Tensor(np.array([inf, -inf, inf, -inf]), requires_grad=True)
    loss = losses.binary_cross_entropy(logits, [1, 0, 0, 1], reduction="none")
    np.testing.assert_array_equal(loss, [0, 0, inf, inf])
    loss.backward(np.ones(4, np.float32))
    np.testing.assert_array_equal(logits.grad, [0, 0, 1, -1])
    same = np.array([inf, 1])
    assert losses.mean_squared_error(same, same, mask=[False, True]).item() == 0


def test_targets_lose_no_gradient() -> None:
    x, t = (Tensor(np.full(3, 0.5), requires_grad=True) for _ in range(2))
    with pytest.raises(TypeError, match=r"targets require a gradient, .* targets\.detach\(\)"):
        losses.binary_cross_entropy(x, t)
    losses.binary_cross_entropy(x, t.detach()).backward()
    losses.mean_squared_error(2 * x, t).backward()
    assert t.grad is not None


def test_targets_may_change_after_the_loss() -> None:
    x, t = Tensor(np.zeros(2), requires_grad=True), np.zeros(2)
    loss = losses.binary_cross_entropy(x, t, reduction="sum")
    t[:] = 1
    loss.backward()
    np.testing.assert_array_equal(x.grad, [0.5, 0.5])


def test_ignore_index_is_a_number() -> None:
    for wrong in ("0", 1.0, [0], True):
        with pytest.raises(TypeError, match=r"ignore_index is .*, expected an int"):
            losses.cross_entropy(X, T, ignore_index=wrong)
