"""The same numbers, bit for bit: at any thread count, in any batch, at any position, padded or not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import unrolled as ur
from cases import CASES, Case
from reference import Problem, assert_same_bits, forward, gradients, problem

Shape = tuple[int, int, int, int]
# One for each way of sharing the work that an engine may choose: nothing to share, rows, units, units of
# a single row, and sizes that no block divides.
SHAPES: list[Shape] = [
    (7, 1, 17, 64),
    (5, 3, 33, 130),
    (7, 17, 3, 33),
    (4, 64, 20, 96),
    (3, 200, 8, 40),
    (4, 2, 64, 300),
    (30, 1, 20, 260),
]
DTYPES = [np.float32, np.float64]
pytestmark = pytest.mark.usefixtures("two_threads")


def everything(p: Problem) -> dict[str, np.ndarray]:
    """Outputs, final states and gradients."""
    y, state = forward(p)
    after = {name + "T": s for name, s in zip(p.case.states, state, strict=True)}
    return {"y": y, **after, **{"d" + name: g for name, g in gradients(p).items()}}


def by_row(p: Problem) -> dict[str, np.ndarray]:
    """The same without what sums over rows, with the batch as first axis."""
    result = everything(p)
    # The gradients that belong to one row of the batch; those of parameters sum over rows.
    names = ["y", "dx", *(n + "T" for n in p.case.states), *(f"d{n}0" for n in p.case.states)]
    return {n: result[n].swapaxes(0, 1) if n in ("y", "dx") else result[n] for n in names}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_one_thread_equals_many(case: Case, shape: Shape, dtype: type) -> None:
    for options in [{}, {"lengths": True, "reset": True}, {"lengths": True, "reverse": True}]:
        p = problem(case, shape, dtype, **options)
        ur.set_num_threads(1)
        wanted = everything(p)
        for count in (2, 3, 8):
            ur.set_num_threads(count)
            assert_same_bits(everything(p), wanted, f"{count} threads, {options}:")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_call_repeated_gives_the_same_bits(case: Case, dtype: type) -> None:
    p = problem(case, (20, 24, 30, 80), dtype)
    wanted = everything(p)
    for _ in range(5):
        assert_same_bits(everything(p), wanted)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("H", [3, 17, 64, 130])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_row_alone_equals_the_row_in_any_batch(case: Case, H: int, dtype: type) -> None:
    p = problem(case, (4, 67, 9, H), dtype, reset=True)
    whole = by_row(p)
    for rows in [[0], [5], [66], [3, 4], [66, 0, 7], list(range(1, 6)), list(range(8)), list(range(20, 53))]:
        part = by_row(p.rows(rows))
        for name in whole:
            assert_same_bits(part[name], whole[name][rows], f"{name} of rows {rows}")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_batch_too_large_for_caches_equals_its_parts(case: Case, dtype: type) -> None:
    p = problem(case, (16, 5600, 2, 9), dtype, reset=True)  # what its steps save goes past the caches
    whole = by_row(p)
    for rows in [[0], list(range(2790, 2880)), list(range(5000, 5600))]:
        part = by_row(p.rows(rows))
        for name in whole:
            assert_same_bits(part[name], whole[name][rows], f"{name} of rows {rows[0]} to {rows[-1]}")


@pytest.mark.parametrize(
    "options", [{}, {"lengths": True, "reset": True, "reverse": True}], ids=["full", "ragged"]
)
@pytest.mark.parametrize("name", ["LSTM", "GRUResetBefore", "LayerNormLSTM", "LayerNormGRU"])
def test_units_of_a_call_too_large_for_caches_may_be_shared(name: str, options: dict[str, bool]) -> None:
    p = problem(next(case for case in CASES if str(case) == name), (600, 2, 3, 520), np.float32, **options)
    ur.set_num_threads(1)
    wanted = everything(p)
    ur.set_num_threads(2)
    assert_same_bits(everything(p), wanted)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_permuted_batch_gives_permuted_results(case: Case, dtype: type) -> None:
    p = problem(case, (5, 17, 6, 33), dtype, lengths=True, reset=True)
    order = np.random.default_rng(1).permutation(17)
    whole, permuted = by_row(p), by_row(p.rows(order))
    for name in whole:
        assert_same_bits(permuted[name], whole[name][order], name)


def alone(p: Problem, b: int) -> Problem:
    """Row b by itself, without its padding."""
    n = int(p.lengths[b])
    row = p.rows([b])
    reset = None if row.reset is None else np.ascontiguousarray(row.reset[:n])
    return replace(row, x=row.x[:n].copy(), dy=row.dy[:n].copy(), reset=reset, lengths=None)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("shape", [(7, 17, 3, 33), (9, 5, 4, 130), (6, 70, 3, 20)], ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_padded_batch_equals_each_sequence_by_itself(
    case: Case, shape: Shape, reverse: bool, dtype: type
) -> None:
    p = problem(case, shape, dtype, lengths=True, reset=True, reverse=reverse)
    T, B, _, _ = shape
    padding = np.arange(T)[:, None] >= p.lengths
    p.x[padding] = np.nan  # neither the input nor the gradient that arrives there may be looked at
    p.dy[padding] = 0
    p.reset[padding] = True
    whole = by_row(p)
    for b in range(B):
        n = int(p.lengths[b])
        part = by_row(alone(p, b))
        for name, rows in whole.items():
            if name in ("y", "dx"):
                assert_same_bits(rows[b, :n], part[name][0], f"{name} of row {b}, length {n}")
                assert not rows[b, n:].any(), f"{name} of row {b} past its end"
            else:
                assert_same_bits(rows[b], part[name][0], f"{name} of row {b}, length {n}")
        if n == 0:
            for name, before in zip(case.states, p.state, strict=True):
                assert_same_bits(whole[name + "T"][b], before[b])


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_lies_in_the_padding_never_leaks(case: Case, reverse: bool) -> None:
    p = problem(case, (7, 9, 4, 17), lengths=True, reverse=reverse)
    padding = np.arange(7)[:, None] >= p.lengths
    wanted = everything(p)
    for garbage in (np.nan, np.inf, 1e300):
        x, dy = p.x.copy(), p.dy.copy()
        x[padding] = garbage
        dy[padding] = 1e300  # finite: the loss itself multiplies it with the zeros of y
        assert_same_bits(everything(replace(p, x=x, dy=dy)), wanted, f"{garbage} in the padding:")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_parameter_gradients_of_a_padded_batch_sum_over_its_sequences(case: Case) -> None:
    p = problem(case, (7, 9, 4, 17), lengths=True, reset=True)
    whole = gradients(p)
    parts = [gradients(alone(p, b)) for b in range(9) if p.lengths[b]]
    for name in p.cell.parameters():
        total = sum(part[name] for part in parts)
        # The same sums in another order: 63 terms of order one in float64.
        np.testing.assert_allclose(whole[name], total, rtol=0, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_full_lengths_and_no_resets_change_nothing(case: Case, dtype: type) -> None:
    p = problem(case, (6, 5, 4, 33), dtype)
    wanted = everything(p)
    full = replace(p, lengths=np.full(5, 6, np.int64), reset=np.zeros((6, 5), bool))
    assert_same_bits(everything(full), wanted)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_reset_equals_a_new_sequence(case: Case, dtype: type) -> None:
    p = problem(case, (7, 5, 4, 33), dtype)
    reset = np.zeros((7, 5), bool)
    reset[3] = True
    zeros = tuple(np.zeros_like(s) for s in p.state)
    for reverse in (False, True):
        y, state = forward(replace(p, reset=reset, reverse=reverse))
        first, second = (
            replace(p, x=p.x[part].copy(), reverse=reverse) for part in (slice(0, 3), slice(3, 7))
        )
        early = forward(replace(first, state=zeros) if reverse else first)
        late = forward(second if reverse else replace(second, state=zeros))
        assert_same_bits(y, np.concatenate([early[0], late[0]]), f"reverse={reverse}")
        assert_same_bits(state, early[1] if reverse else late[1], f"reverse={reverse}")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_reverse_equals_the_flipped_sequence(case: Case) -> None:
    p = problem(case, (6, 5, 4, 33), reverse=True)
    flipped = replace(p, x=p.x[::-1].copy(), dy=p.dy[::-1].copy(), reverse=False)
    reverse, forth = by_row(p), by_row(flipped)
    for name in reverse:
        wanted = forth[name][:, ::-1] if name in ("y", "dx") else forth[name]
        assert_same_bits(reverse[name], wanted, name)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_threads_out_of_step_do_not_touch_each_other(case: Case, dtype: type) -> None:
    """Long enough for the threads of a call to drift apart, with unequal lengths, again and again."""
    p = problem(case, (60, 64, 20, 48), dtype, lengths=True)
    ur.set_num_threads(1)
    wanted = forward(p)
    for count in (2, 4):
        ur.set_num_threads(count)
        for _ in range(15):
            assert_same_bits(forward(p), wanted, f"{count} threads:")
