"""Outputs of every cell against the NumPy step of its paper."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import unrolled as ur
from cases import CASES, VARIANTS, Case
from reference import Problem, assert_same_bits, expected, forward, problem

# float64: sums of at most 500 products and 7 steps carry an error near 1e-14; 1e-10 leaves room for any order
# of summation and is still far below any wrong term.
EXACT = 1e-10
SIZES = [1, 3, 17, 33, 64]
LARGE = [(3, 64, 5, 129), (2, 1, 40, 300), (5, 2, 33, 257), (2, 200, 9, 40), (40, 5, 3, 16)]
MODES = [dict(zip(("lengths", "reset", "reverse"), flags, strict=True)) for flags in np.ndindex(2, 2, 2)]


def float32_bound(T: int, I: int, H: int) -> float:
    """Errors of eps/2 in each of I + H products add up like a random walk, and so do those of T steps
    that the gates neither amplify nor damp; 16 covers the size of the terms and the elementary functions."""
    return float(16 * np.finfo(np.float32).eps * np.sqrt(max(T, 1) * (I + H)))


def largest_error(p: Problem) -> float:
    """Over outputs and final states, relative to the largest number of each where that is above 1."""
    y, state = forward(p)
    y_wanted, state_wanted = expected(p)
    errors = [0.0]
    for actual, wanted in zip((y, *state), (y_wanted, *state_wanted), strict=True):
        assert actual.shape == wanted.shape
        assert actual.dtype == p.x.dtype
        if wanted.size:
            errors.append(np.abs(actual - wanted).max() / max(1, np.abs(wanted).max()))
    return max(errors)


@pytest.mark.parametrize("B", [0, 1, 3, 17])
@pytest.mark.parametrize("T", [0, 1, 2, 7])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_float64_agrees_with_the_paper(case: Case, T: int, B: int) -> None:
    for I, H in (
        itertools.product(SIZES, SIZES) if case in CASES[:6] else zip(SIZES, SIZES[::-1], strict=True)
    ):
        assert largest_error(problem(case, (T, B, I, H))) < EXACT, f"I={I} H={H}"


@pytest.mark.parametrize("shape", LARGE, ids=str)
@pytest.mark.parametrize("case", CASES + VARIANTS, ids=str)
def test_float64_agrees_with_the_paper_at_larger_sizes(case: Case, shape: tuple[int, int, int, int]) -> None:
    assert largest_error(problem(case, shape)) < EXACT


@pytest.mark.parametrize("mode", MODES, ids=lambda m: "-".join(k for k, on in m.items() if on) or "plain")
@pytest.mark.parametrize("case", CASES + VARIANTS, ids=str)
def test_lengths_resets_and_reverse_agree_with_the_paper(case: Case, mode: dict[str, int]) -> None:
    flags = {name: bool(on) for name, on in mode.items()}
    for shape in [
        (0, 3, 2, 5),
        (1, 3, 2, 5),
        (7, 0, 3, 5),
        (7, 1, 3, 5),
        (7, 17, 3, 33),
        (5, 70, 4, 20),
        (4, 3, 5, 200),
    ]:
        assert largest_error(problem(case, shape, **flags)) < EXACT, shape


@pytest.mark.parametrize("case", CASES + VARIANTS, ids=str)
def test_without_bias(case: Case) -> None:
    p = problem(case, (7, 3, 5, 17), bias=False)
    assert set(p.cell.parameters()) == set(case.shapes(5, 17, bias=False))
    assert largest_error(p) < EXACT


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (7, 3, 17, 33), (2, 17, 64, 64), *LARGE], ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_float32_within_its_bound(case: Case, shape: tuple[int, int, int, int]) -> None:
    p = problem(case, shape, np.float32, lengths=True)
    T, _, I, H = shape
    assert largest_error(p) < float32_bound(T, I, H)
    y64, _ = forward(p.with_dtype(np.float64))
    y32, _ = forward(p)
    scale = max(1, np.abs(y64).max())
    assert np.abs(y32 - y64).max() / scale < float32_bound(T, I, H)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_no_state_is_a_state_of_zeros(case: Case, dtype: type) -> None:
    p = problem(case, (5, 3, 4, 9), dtype)
    zeros = p.cell.initial_state(3)
    assert isinstance(zeros, p.cell.State)
    assert zeros._fields == case.states
    assert all(
        isinstance(s, np.ndarray)
        and s.shape == (3, case.state_size(n, 9, 4))
        and s.dtype == dtype
        and not s.any()
        for n, s in zip(case.states, zeros, strict=True)
    )
    with ur.no_grad():
        y, state = p.cell(p.x)
        y0, state0 = p.cell(p.x, zeros)
    assert isinstance(state, p.cell.State)
    assert_same_bits(np.asarray(y), np.asarray(y0))
    assert_same_bits(tuple(map(np.asarray, state)), tuple(map(np.asarray, state0)))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_any_layout_of_the_input_gives_the_same_bits(case: Case) -> None:
    p = problem(case, (6, 5, 7, 9), np.float32)
    wanted = forward(p)
    wide = np.zeros((12, 5, 7, 2), np.float32)
    wide[::2, :, :, 0] = p.x
    shifted = np.zeros(p.x.size + 1, np.float32)[1:].reshape(p.x.shape)
    shifted[...] = p.x
    read_only = p.x.copy()
    read_only.flags.writeable = False
    layouts = {
        "Fortran order": np.asfortranarray(p.x),
        "strided": wide[::2, :, :, 0],
        "reversed view": p.x[::-1].copy()[::-1],
        "transposed view": np.ascontiguousarray(p.x.transpose(1, 0, 2)).transpose(1, 0, 2),
        "not aligned to a packet": shifted,
        "read-only": read_only,
    }
    state = p.cell.State(*(np.asfortranarray(s) for s in p.state))
    for s in state:
        s.flags.writeable = False
    for name, x in layouts.items():
        with ur.no_grad():
            y, after = p.cell(x, state)
        assert_same_bits((np.asarray(y), *map(np.asarray, after)), (wanted[0], *wanted[1]), name)
        assert_same_bits(np.ascontiguousarray(x), p.x, f"{name}: x was written to")


@pytest.mark.parametrize("T", [0, 3])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_final_state_never_shares_memory_with_the_initial_one(case: Case, T: int) -> None:
    p = problem(case, (T, 2, 3, 5), lengths=True)
    _, state = forward(p)
    for before, after in zip(p.state, state, strict=True):
        assert not np.shares_memory(before, after)
        assert_same_bits(after[1], before[1])  # row 1 has length 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", [c for c in CASES if c.bounded], ids=str)
def test_huge_inputs_saturate(case: Case, dtype: type) -> None:
    p = problem(case, (3, 4, 5, 7), dtype)
    p.x[...] *= 1e30
    y, state = forward(p)
    assert all(np.isfinite(a).all() for a in (y, *state))
    # Saturated functions are flat: only the candidate and the carried state remain, in working precision.
    assert np.abs(y - expected(p)[0]).max() < float32_bound(3, 5, 7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_nan_stays_in_its_row(case: Case, dtype: type) -> None:
    for B, bad in [(3, 1), (17, 0), (17, 16)]:
        p = problem(case, (5, B, 4, 33), dtype)
        clean, clean_state = forward(p)
        p.x[2, bad, 1] = np.nan
        y, state = forward(p)
        others = np.arange(B) != bad
        assert_same_bits(y[:, others], clean[:, others])
        assert_same_bits(tuple(s[others] for s in state), tuple(s[others] for s in clean_state))
        assert_same_bits(y[:2, bad], clean[:2, bad])
        assert case.missing or np.isnan(y[2:, bad]).all(), "a NaN must be seen, not clipped by an activation"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_denormal_inputs_and_the_floating_point_state_of_the_caller(case: Case, dtype: type) -> None:
    tiny = np.finfo(dtype).smallest_subnormal * 3
    p = problem(case, (4, 17, 5, 33), dtype)
    p.x[...] = tiny
    for s in p.state:
        s[...] = tiny
    assert largest_error(p) < float32_bound(4, 5, 33)
    p.cell.step(p.x[0], p.cell.State(*p.state))
    array = np.full(64, tiny, dtype)
    assert ((array * dtype(1)) == tiny).all(), "the call left denormals flushed in the caller's thread"
