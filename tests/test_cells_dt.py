"""Cells in continuous time: any dt, in both directions, and its gradient; missing values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unrolled as ur
from cases import CASES, VARIANTS, Case
from reference import TINY, Problem, assert_same_bits, loss_of, problem, run
from test_cells_gradients import EXACT, MODES, mode_name

TIMED = [case for case in CASES + VARIANTS if getattr(ur, case.cell).takes_dt]
FADING = [case for case in TIMED if case.missing]
each = pytest.mark.parametrize("case", TIMED, ids=str)
each_fading = pytest.mark.parametrize("case", FADING, ids=str)
SHAPE = (7, 5, 3, 17)


def times(p: Problem, kind: str) -> np.ndarray:
    rng = np.random.default_rng(4)
    T, B = p.x.shape[:2]
    return np.asarray(rng.uniform(0.1, 0.9, {"number": (), "steps": (T,), "rows": (T, B)}[kind]))


def in_order(p: Problem, dt: np.ndarray) -> np.ndarray:
    """(T, B), as the steps of the reference take it: dt[t] lies between t - 1 and t for a cell that counts the time
    since a value was seen, and dt[0] before whatever comes first."""
    T, B = p.x.shape[:2]
    whole = np.broadcast_to(dt[:, None] if dt.ndim == 1 else dt, (T, B))
    if not (p.reverse and p.case.missing):
        return whole
    turned = np.array(whole)
    for b, n in enumerate(np.full(B, T) if p.lengths is None else p.lengths):
        turned[:n, b] = np.roll(whole[:n, b], -1)
    return turned


def reference(p: Problem, dt: np.ndarray) -> Any:
    q = {name: np.asarray(a, np.float64) for name, a in p.quantities.items()}
    return run(p.case.step, q, q["x"], p.state, **p.arguments, dt=in_order(p, dt))


@pytest.mark.parametrize("kind", ["number", "steps", "rows"])
@pytest.mark.parametrize("mode", MODES, ids=mode_name)
@each
def test_values_and_the_gradient_of_dt(case: Case, mode: dict[str, bool], kind: str) -> None:
    p = problem(case, SHAPE, **mode)
    dt = times(p, kind)
    y_wanted, after_wanted = reference(p, dt)
    tensor = ur.Tensor(dt, requires_grad=True)
    y, after = p.cell(p.x, p.cell.State(*p.state), **p.arguments, dt=tensor)
    for actual, wanted in zip((y, *after), (y_wanted, *after_wanted), strict=True):
        assert np.abs(np.asarray(actual) - wanted).max() < EXACT
    loss_of(p, y, after).backward()
    assert tensor.grad.shape == dt.shape
    for index in np.ndindex(dt.shape):
        moved = dt.astype(complex)
        moved[index] += 1j * TINY
        y_moved, after_moved = reference(p, moved)
        loss = (y_moved * p.dy).sum() + sum((s * d).sum() for s, d in zip(after_moved, p.dstate, strict=True))
        assert abs(tensor.grad[index] - np.imag(loss) / TINY) < EXACT * (1 + abs(tensor.grad[index])), index


@each
def test_the_gradient_of_dt_has_the_same_bits_at_any_thread_count_and_when_recomputed(case: Case) -> None:
    p = problem(case, (9, 6, 4, 150), np.float32, lengths=True, reset=True)
    dt = times(p, "rows").astype(np.float32)
    before, results = ur.get_num_threads(), []
    try:
        for count, recompute in [(1, False), (2, False), (3, False), (2, 4)]:
            ur.set_num_threads(count)
            p.cell.recompute = recompute
            tensor = ur.Tensor(dt, requires_grad=True)
            loss_of(p, *p.cell(p.x, p.cell.State(*p.state), **p.arguments, dt=tensor)).backward()
            results.append(tensor.grad)
    finally:
        ur.set_num_threads(before)
    for other in results[1:]:
        assert_same_bits(other, results[0])


@each
def test_steps_with_dt_are_the_call(case: Case) -> None:
    p = problem(case, SHAPE, np.float32)
    dt = times(p, "rows").astype(np.float32)
    with ur.no_grad():
        y, after = p.cell(p.x, p.cell.State(*p.state), dt=dt)
    state = p.cell.State(*p.state)
    for t in range(SHAPE[0]):
        y_t, state = p.cell.step(p.x[t], state, dt=dt[t])
        assert_same_bits(y_t, np.asarray(y)[t])
    assert_same_bits(tuple(state), tuple(map(np.asarray, after)))


@each
def test_a_number_is_an_array_of_it(case: Case) -> None:
    for reverse in (False, True):
        p = problem(case, SHAPE, lengths=True, reverse=reverse)
        results = [
            p.cell(p.x, dt=dt, **p.arguments)[0] for dt in (0.5, np.full((7, 5), 0.5), np.full(7, 0.5))
        ]
        ones = [p.cell(p.x, **options, **p.arguments)[0] for options in ({}, {"dt": np.ones(7)})]
        assert_same_bits(np.asarray(results[1]), np.asarray(results[0]))
        assert_same_bits(np.asarray(results[2]), np.asarray(results[0]))
        assert_same_bits(np.asarray(ones[1]), np.asarray(ones[0]))


@each_fading
def test_a_mask_is_nan(case: Case) -> None:
    p = problem(case, SHAPE, lengths=True)
    seen = ~np.isnan(p.x)
    x, holes = (ur.Tensor(np.where(seen, p.x, fill), requires_grad=True) for fill in (7.0, np.nan))
    results = [p.cell(x, mask=seen, **p.arguments), p.cell(holes, **p.arguments)]
    assert_same_bits(np.asarray(results[0][0]), np.asarray(results[1][0]))
    for y, after in results:
        loss_of(p, y, after).backward()
    assert_same_bits(x.grad, holes.grad)
    assert not x.grad[~seen].any()
    y_t, _ = p.cell.step(np.where(seen[0], p.x[0], 7.0), mask=seen[0])
    assert_same_bits(y_t, p.cell.step(p.x[0])[0])


@each_fading
def test_what_was_never_seen_is_the_mean(case: Case) -> None:
    p = problem(case, SHAPE)
    with ur.no_grad():
        y, after = p.cell(np.full_like(p.x, np.nan), dt=0.25)
    assert not np.asarray(after.x).any()
    np.testing.assert_array_equal(np.asarray(after.age), 0.25 * SHAPE[0])
    x = np.broadcast_to(np.asarray(p.cell.mean), p.x.shape).copy()
    if case.cell == "CTRNN":  # which does not see the mask
        assert np.abs(np.asarray(p.cell(x, dt=0.25)[0]) - np.asarray(y)).max() < EXACT


def test_a_mean_may_be_given_and_stay() -> None:
    mean = np.array([1.0, -2.0])
    for cell in (
        ur.GRUD(2, 3, mean=mean, learn_mean=False),
        ur.CTRNN(2, 3, missing=True, mean=mean, learn_mean=False),
    ):
        y, _ = cell(np.full((4, 1, 2), np.nan, np.float32))
        y.sum().backward()
        np.testing.assert_array_equal(np.asarray(cell.mean), mean)
        assert cell.mean.grad is None and cell.w_gx.grad is not None
    for bad, error, message in [
        (np.zeros(3), ValueError, r"GRUD: mean has shape \(3,\), expected \(2,\) because input_size=2"),
        ({"learn_mean": 1}, TypeError, "GRUD: learn_mean is a int, expected a bool"),
    ]:
        with pytest.raises(error, match=message):
            ur.GRUD(2, 3, **(bad if isinstance(bad, dict) else {"mean": bad}))
    with pytest.raises(ValueError, match="CTRNN: mean is given, expected None because missing=False"):
        ur.CTRNN(2, 3, mean=mean)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"mask": np.ones((7, 5, 3))}, TypeError, "GRUD: mask has dtype float64, expected bool"),
        ({"mask": np.ones((7, 5), bool)}, ValueError, r"GRUD: mask has shape \(7, 5\), expected \(7, 5, 3\)"),
        ({"dt": ur.Tensor(np.ones((7, 5)))}, TypeError, "GRUD: dt has dtype float64, expected float32"),
        ({"dt": np.full(7, np.nan)}, ValueError, "GRUD: dt has a negative, infinite or missing"),
    ],
)
def test_wrong_arguments(options: dict[str, Any], error: type[Exception], message: str) -> None:
    x = np.zeros((7, 5, 3), np.float32)
    with pytest.raises(error, match=message):
        ur.GRUD(3, 4)(x, **options)
    with pytest.raises(ValueError, match="CTRNN: mask is given, expected None because missing=False"):
        ur.CTRNN(3, 4)(x, mask=np.ones((7, 5, 3), bool))


def test_fading_is_continuous_in_time() -> None:
    """Two missing steps of 0.3 leave what one of 0.6 does of what was seen."""
    cell = next(c for c in FADING if c.cell == "GRUD").make(2, 6)
    x = np.array([[[0.7, -0.4]], [[np.nan, np.nan]], [[np.nan, np.nan]]])
    with ur.no_grad():
        once = cell(x[:2], dt=np.array([0.1, 0.6]))[1]
        twice = cell(x, dt=np.array([0.1, 0.3, 0.3]))[1]
    for name in ("x", "age"):
        np.testing.assert_allclose(
            np.asarray(getattr(once, name)), np.asarray(getattr(twice, name)), rtol=1e-15
        )
    assert (np.asarray(once.age) == 0.6).all()


@pytest.mark.parametrize("reverse", [False, True])
@each
def test_views_into_a_call_with_dt(case: Case, reverse: bool) -> None:
    p = problem(case, SHAPE, lengths=True, reset=True, reverse=reverse)
    dt = times(p, "rows")
    options = {"mask": ~np.isnan(p.x)} if case.missing else {}
    with ur.diagnostics.watch(p.cell) as seen:
        y, after = p.cell(p.x, p.cell.State(*p.state), **p.arguments, dt=dt, **options)
    looked_into = p.cell.inspect(p.x, p.cell.State(*p.state), **p.arguments, dt=dt)
    for found in (seen.trace.y, looked_into.y):
        assert_same_bits(np.where(seen.trace.valid[:, :, None], found, 0), np.asarray(y))
    for name, last in after._asdict().items():
        ends = {t: p.lengths == t + 1 for t in range(SHAPE[0])}
        for t, rows in ends.items():
            states = looked_into.states[name] if not reverse else looked_into.states[name][: t + 1][::-1]
            assert_same_bits(states[t][rows], np.asarray(last)[rows], name)
