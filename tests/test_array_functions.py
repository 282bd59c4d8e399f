"""NumPy's own functions of tensors: none loses a gradient unnoticed, and those that need none go on working."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import unrolled as ur
from unrolled.tensor import Tensor, no_grad

Y = Tensor(np.random.default_rng(0).uniform(1, 2, (4, 4)), requires_grad=True) * 2
A = Y._data.copy()

LOSING: dict[str, Callable[[Any], Any]] = {
    "linalg.norm": np.linalg.norm,
    "clip": lambda t: np.clip(t, 0, 1),
    "cumsum": np.cumsum,
    "std": np.std,
    "median": np.median,
    "prod": np.prod,
    "pad": lambda t: np.pad(t, 1),
    "repeat": lambda t: np.repeat(t, 2),
    "tile": lambda t: np.tile(t, 2),
    "roll": lambda t: np.roll(t, 1),
    "squeeze": np.squeeze,
    "reshape": lambda t: np.reshape(t, -1),
    "ravel": np.ravel,
    "expand_dims": lambda t: np.expand_dims(t, 0),
    "take": lambda t: np.take(t, [0]),
    "sort": np.sort,
    "split": lambda t: np.split(t, 2),
    "array_split": lambda t: np.array_split(t, 3),
    "column_stack": lambda t: np.column_stack([A, t]),
    "diff": np.diff,
    "interp": lambda t: np.interp(0.5, [0.0, 1.0], t[0][:2]),
    "fft.fft": np.fft.fft,
    "linalg.svd": np.linalg.svd,
    "modf": np.modf,
    "frexp": np.frexp,
    "divmod": lambda t: np.divmod(t, 2),
    "add.accumulate": np.add.accumulate,
}


@pytest.mark.parametrize("name", LOSING)
def test_a_gradient_is_not_lost_unnoticed(name: str) -> None:
    call = LOSING[name]
    with pytest.raises(TypeError, match=rf"numpy.{name} of a Tensor would lose the gradient; use .*asarray"):
        call(Y)
    for constant in (Y.detach(), no_grad()(lambda: Y * 1)()):
        assert repr(call(constant)) == repr(call(A))  # of one or several arrays
    with no_grad():
        assert repr(call(Y)) == repr(call(A))


def test_a_refusal_names_what_to_use() -> None:
    for call, instead in (
        (lambda: np.swapaxes(Y, 0, 1), "ur.ops.swapaxes"),
        (lambda: np.hstack([Y, A]), "ur.concat"),
        (lambda: np.median(Y), "functions of unrolled"),
        (lambda: np.add.reduce(Y), "functions of unrolled"),
    ):
        with pytest.raises(TypeError, match=rf"; use {instead}, or numpy.asarray\(t\) for the values alone"):
            call()


def test_an_array_is_not_half_changed_by_a_refusal() -> None:
    array = np.zeros((4, 4))
    with pytest.raises(TypeError, match="add of a Tensor would lose the gradient"):
        array += Y
    assert not array.any()


@pytest.mark.parametrize(
    "name", ["amax", "flip", "max", "mean", "min", "moveaxis", "sum", "transpose", "var"]
)
def test_what_is_made_of_our_ops_keeps_its_gradient(name: str) -> None:
    arguments = (0, 1) if name == "moveaxis" else ()
    made = getattr(np, name)(Y, *arguments)
    assert isinstance(made, Tensor)
    assert made.requires_grad
    np.testing.assert_allclose(made, getattr(np, name)(A, *arguments), rtol=1e-14)


@pytest.mark.parametrize(
    "name",
    ["shape", "ndim", "size", "argmax", "argmin", "argsort", "any", "all", "count_nonzero", "nonzero", "argwhere",
     "flatnonzero", "isnan", "isreal", "iscomplexobj", "isrealobj", "array_str", "array2string",
     "result_type", "min_scalar_type", "histogram", "unique", "atleast_1d", "atleast_2d", "atleast_3d", "copy",
     "asarray", "array", "zeros_like", "ones_like"],
)  # fmt: skip
def test_what_has_no_gradient_is_that_of_the_array(name: str) -> None:
    assert repr(getattr(np, name)(Y)) == repr(getattr(np, name)(A))


def test_comparisons_and_files_take_tensors() -> None:
    for one, other in ((Y, A), (A, Y), (Y, Y)):
        np.testing.assert_allclose(one, other)
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_almost_equal(one, other)
        assert np.allclose(one, other) and np.isclose(one, other).all()
        assert np.array_equal(one, other) and np.array_equiv(one, other)
        assert np.searchsorted(np.arange(5.0), one).shape == np.digitize(one, np.arange(5.0)).shape == A.shape
    assert np.shares_memory(Y, Y) and np.may_share_memory(Y, Y) and np.can_cast(Y.dtype, np.float64)
    assert np.array_repr(Y).startswith("Tensor([[")
    assert np.full_like(Y, 3)[0, 0] == 3
    np.testing.assert_array_equal(np.broadcast_arrays(Y, A)[0], A)
    file = io.BytesIO()
    np.save(file, Y)
    file.seek(0)
    np.testing.assert_array_equal(np.load(file), A)
    for save in (np.savez, np.savetxt):
        save(io.BytesIO(), Y)


def test_plots_take_tensors() -> None:
    pytest.importorskip("matplotlib").use("Agg")
    plt = pytest.importorskip("matplotlib.pyplot")
    _, axes = plt.subplots()
    try:
        for y in (Y, Y[0]):
            axes.plot(y)
            axes.hist(y)
        axes.plot(np.arange(4), Y[0])
        axes.scatter(Y[0], Y[1])
        axes.imshow(Y)
        axes.figure.canvas.draw()
        np.testing.assert_array_equal(axes.lines[-1].get_ydata(), A[0])
    finally:
        plt.close("all")


def test_scores_of_scikit_learn_take_tensors() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    assert metrics.mean_squared_error(Y, Y) == 0
    assert metrics.mean_squared_error(A + 1, Y) == pytest.approx(1)


@pytest.mark.parametrize(
    "write",
    [
        lambda a, t: np.add.at(a, [0, 1, 2], t),
        np.copyto,
        lambda a, t: np.copyto(dst=a, src=t),
        lambda a, t: np.put(a=a, ind=[0, 1, 2], v=t),
        lambda a, t: np.put(a, [0, 1, 2], t),
        lambda a, t: np.cumsum(t, out=a),
        lambda a, t: np.full_like(a, t[0]),
    ],
)
def test_nothing_is_written_of_what_would_lose_its_gradient(write):
    array, t = np.zeros(3), ur.Tensor(np.arange(3.0), requires_grad=True)
    with pytest.raises(TypeError, match="would lose the gradient"):
        write(array, t)
    assert not array.any()
    with ur.no_grad():
        write(array, t)


def test_whole_numbers_are_written_where_no_gradient_could_be() -> None:
    whole, t = np.zeros(3, int), ur.Tensor(np.arange(3.0), requires_grad=True)
    np.copyto(whole, t, casting="unsafe")
    np.copyto(dst=whole, src=t + 1, casting="unsafe")
    assert whole.tolist() == [1, 2, 3]
