"""Every layer over a grid: values and gradients against NumPy, sizes of rows, directions, threads, copies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unrolled as ur
from grid_cases import CASES, GridCase, grid_lstm_3d
from reference import TINY, assert_same_bits
from roundtrip import WAYS, came_back

B, I = 3, 5
each_case = pytest.mark.parametrize("case", CASES, ids=str)
HOW = ["plain", "lengths", "reverse", "all"]


def images(case: GridCase, dtype: Any = np.float64, seed: int = 1) -> Any:
    sizes = (4, 5, 3)[: case.axes]
    return np.random.default_rng(seed).standard_normal((*sizes, B, I)).astype(dtype)


def arguments(case: GridCase, how: str) -> dict[str, Any]:
    given: dict[str, Any] = {}
    if how in ("lengths", "all"):
        given["lengths"] = np.array([[2, 5, 3], [4, 3, 1], [0, 2, 3]])[:, : case.axes]
    if how in ("reverse", "all") and case.turns:
        given["reverse"] = True if how == "reverse" else (False, True, True)[: case.axes]
    return given


def run(layer: Any, x: Any, **given: Any) -> Any:
    result = layer(x, **given)
    return result[0] if isinstance(result, tuple) else result


@pytest.mark.parametrize("how", HOW)
@each_case
def test_values_and_gradients_are_those_of_the_reference(case: GridCase, how: str) -> None:
    rng = np.random.default_rng(2)
    layer, x, given = case.layer(), images(case), arguments(case, how)
    tensors = {"x": ur.Tensor(x, requires_grad=True), **layer.parameters()}
    y = run(layer, tensors["x"], **given)
    values = {name: np.asarray(t) for name, t in tensors.items()}

    def reference(q: dict[str, Any]) -> Any:
        return case.run({name: a for name, a in q.items() if name != "x"}, q["x"], **given)

    # Sums of at most 60 terms of size one, rounded at every step of a path of ten.
    np.testing.assert_allclose(y, reference(values), atol=1e-13)
    weights = rng.standard_normal(y.shape)
    y.backward(weights)
    for name, tensor in tensors.items():
        direction = rng.standard_normal(tensor.shape)
        moved = {**values, name: values[name] + 1j * TINY * direction}
        wanted = (reference(moved) * weights).sum().imag / TINY
        assert float((tensor.grad * direction).sum()) == pytest.approx(wanted, rel=1e-9, abs=1e-10), name


@each_case
def test_float32_stays_near_float64(case: GridCase) -> None:
    results = []
    for dtype in (np.float32, np.float64):
        layer, x = case.layer(dtype), ur.Tensor(images(case, np.float32).astype(dtype), requires_grad=True)
        y = run(layer, x)
        assert y.dtype == dtype
        y.backward(np.ones(y.shape, dtype))
        results.append([np.asarray(y), x.grad, *(p.grad for p in layer.parameters().values())])
    for single, double in zip(*results, strict=True):
        # 6e-8 per rounding, some hundred of them in sums of a few units.
        np.testing.assert_allclose(single, double, rtol=1e-4, atol=1e-4)


@each_case
def test_nothing_outside_of_a_row_is_read(case: GridCase) -> None:
    layer, given = case.layer(np.float32), arguments(case, "all")
    x = images(case, np.float32)
    y = np.asarray(run(layer, x, **given))
    spoilt = np.full_like(x, np.nan)
    for b, size in enumerate(given["lengths"]):
        part = (*(slice(0, n) for n in size), b)
        spoilt[part] = x[part]
        assert y[part].any() or 0 in size
    inside = ~np.isnan(spoilt)
    spoilt = ur.Tensor(spoilt, requires_grad=True)
    again = run(layer, spoilt, **given)
    assert_same_bits(np.asarray(again), y)
    assert not y[~inside[..., 0]].any()
    again.sum().backward()
    assert not spoilt.grad[~inside].any()
    for name, parameter in layer.parameters().items():
        assert np.isfinite(parameter.grad).all(), name


# A wavefront of many rows is shared by rows, one of few by units; all with a remainder.
SHARED = {
    "by-rows": lambda **m: (ur.MultiDimensionalLSTM(8, 70, **m), (6, 7, 13, 8)),
    "by-units": lambda **m: (ur.DiagonalLSTM(8, 130, **m), (5, 6, 1, 8)),
    "grid-by-rows": lambda **m: (ur.GridLSTM(8, 50, 3, **m), (9, 11, 8)),
    "grid-by-units": lambda **m: (ur.GridLSTM(8, 110, 2, dimensions=3, tied=True, **m), (4, 3, 1, 8)),
}


@pytest.mark.parametrize("name", SHARED)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_do_not_depend_on_threads(name: str, dtype: Any, threads: Any) -> None:
    layer, shape = SHARED[name](dtype=dtype, rng=np.random.default_rng(0))
    x = np.random.default_rng(1).standard_normal(shape).astype(dtype)
    seen = []
    for count in (1, 2, 3):
        threads(count)
        for parameter in layer.parameters().values():
            parameter.grad = None
        tensor = ur.Tensor(x, requires_grad=True)
        y = run(layer, tensor)
        y.backward(np.random.default_rng(2).standard_normal(y.shape).astype(dtype))
        seen.append((np.asarray(y), tensor.grad, *(p.grad for p in layer.parameters().values())))
    for other in seen[1:]:
        assert_same_bits(other, seen[0])
    assert all(np.isfinite(a).all() and a.any() for a in seen[0])


@each_case
def test_a_row_alone_gives_the_same_bits(case: GridCase) -> None:
    layer, x = case.layer(np.float32), images(case, np.float32)
    together = np.asarray(run(layer, x))
    for b in range(B):
        row = (slice(None),) * case.axes + (slice(b, b + 1),)
        assert_same_bits(
            np.asarray(run(layer, np.ascontiguousarray(x[row]))), np.ascontiguousarray(together[row])
        )


@pytest.mark.parametrize("how", WAYS)
@each_case
def test_layers_come_back(case: GridCase, how: str, tmp_path: Any) -> None:
    layer, x = case.layer(np.float32), images(case, np.float32)
    again = came_back(layer, how, tmp_path)
    assert_same_bits(np.asarray(run(again, x)), np.asarray(run(layer, x)))


@each_case
def test_empty_grids_and_batches(case: GridCase) -> None:
    layer = case.layer(np.float32)
    for size in (0, 2):
        shape = (*(3, size, 2)[: case.axes], 2 - size, I)
        y = run(layer, np.zeros(shape, np.float32))
        assert y.shape == (*shape[:-1], layer.output_size)


def test_what_leaves_and_enters_a_grid_of_three_dimensions() -> None:
    rng = np.random.default_rng(0)
    case = next(c for c in CASES if c.name == "Grid3")
    layer, x = case.layer(), images(case)
    n0, n1, L, H = 4, 5, 4, 3
    parts = [rng.standard_normal((n, B, L * H)) for n in (n1, n1, n0, n0)]
    given = [ur.Tensor(part, requires_grad=True) for part in parts]
    y, last = layer(x, (ur.GridLSTM.State(*given[:2]), ur.GridLSTM.State(*given[2:])))
    outputs = [y, *last[0], *last[1]]
    weights = [rng.standard_normal(out.shape) for out in outputs]
    sum((o * w).sum() for o, w in zip(outputs, weights, strict=True)).backward()
    p = {name: np.asarray(t) for name, t in layer.parameters().items()}

    def reference(starts: Any) -> Any:
        loss, results = 0, []
        for b in range(B):
            one = [s[:, b].reshape(-1, L, H) for s in starts]
            image, leaving = grid_lstm_3d(p, x[:, :, b], (one[:2], one[2:]))
            results.append([image, *(a.reshape(-1, L * H) for a in leaving)])
            for part, w in zip(results[-1], weights, strict=True):
                loss = loss + (part * (w[:, :, b] if w.ndim == 4 else w[:, b])).sum()
        return loss, results

    _, wanted = reference(parts)
    for b in range(B):
        np.testing.assert_allclose(np.asarray(y)[:, :, b], wanted[b][0], atol=1e-13)
        for ours, theirs in zip(outputs[1:], wanted[b][1:], strict=True):
            np.testing.assert_allclose(np.asarray(ours)[:, b], theirs, atol=1e-13)
    for number, tensor in enumerate(given):
        direction = rng.standard_normal(tensor.shape)
        moved = [part + 1j * TINY * direction if i == number else part for i, part in enumerate(parts)]
        derivative = reference(moved)[0].imag / TINY
        assert float((tensor.grad * direction).sum()) == pytest.approx(derivative, rel=1e-9, abs=1e-10)
    start = layer.initial_state(B, (n0, n1))
    assert_same_bits(np.asarray(layer(x, start)[0]), np.asarray(layer(x)[0]))
