"""`step` and carried state: a stream gives the bits of one call, uses the parameters of now, and does no work twice."""

from __future__ import annotations

import copy
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unrolled as ur
from cases import CASES, VARIANTS, Case
from memory import needs_proc, resident
from reference import assert_same_bits, forward, problem

DTYPES = [np.float32, np.float64]
SHAPES = [(7, 1, 17, 64), (5, 3, 33, 130), (6, 17, 3, 33), (4, 70, 20, 96), (3, 1, 1, 1), (3, 2, 64, 300)]


def stream(cell: Any, x: np.ndarray, state: Any) -> tuple[list[np.ndarray], Any]:
    outputs = []
    for x_t in x:
        y_t, state = cell.step(x_t, state)
        outputs.append(y_t)
    return outputs, state


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("case", CASES + VARIANTS, ids=str)
def test_steps_equal_one_call(case: Case, shape: tuple[int, int, int, int], dtype: type) -> None:
    p = problem(case, shape, dtype)
    outputs, state = stream(p.cell, p.x, p.cell.State(*p.state))
    y, after = forward(p)
    assert isinstance(state, p.cell.State)
    assert all(type(a) is np.ndarray for a in (*outputs, *state))
    assert_same_bits(np.stack(outputs), y)
    assert_same_bits(tuple(state), after)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_split_equals_whole(case: Case, shape: tuple[int, int, int, int], dtype: type) -> None:
    p = problem(case, shape, dtype)
    y, after = forward(p)
    for cut in range(shape[0] + 1):
        with ur.no_grad():
            first, middle = p.cell(p.x[:cut], p.cell.State(*p.state))
            second, last = p.cell(p.x[cut:], middle)
        assert_same_bits(np.concatenate([np.asarray(first), np.asarray(second)]), y, f"cut at {cut}:")
        assert_same_bits(tuple(map(np.asarray, last)), after, f"cut at {cut}:")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_steps_of_an_empty_batch(case: Case) -> None:
    cell = case.make(3, 5)
    y_t, state = cell.step(np.zeros((0, 3)), cell.initial_state(0))
    assert y_t.shape == (0, case.output(5))
    assert all(s.shape == (0, case.state_size(n, 5, 3)) for n, s in zip(case.states, state, strict=True))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_step_keeps_its_arguments_and_its_earlier_results(case: Case) -> None:
    p = problem(case, (6, 3, 4, 9), np.float32)
    state = p.cell.State(*(s.copy() for s in p.state))
    x = p.x.copy()
    kept: list[tuple[np.ndarray, ...]] = []
    copies = []
    for x_t in x:
        y_t, state = p.cell.step(x_t, state)
        kept.append((y_t, *state))
        copies.append(tuple(a.copy() for a in kept[-1]))
    for arrays, wanted in zip(kept, copies, strict=True):
        assert_same_bits(arrays, wanted, "overwritten by a later step:")
    assert_same_bits(x, p.x)
    first, _ = p.cell.step(p.x[0], p.cell.State(*p.state))
    again, _ = p.cell.step(p.x[0], p.cell.State(*p.state))
    assert_same_bits(first, again, "a step changed the state it was given:")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_any_layout_of_the_step_input_gives_the_same_bits(case: Case) -> None:
    p = problem(case, (1, 3, 4, 9), np.float32)
    wanted, _ = p.cell.step(p.x[0], p.cell.State(*p.state))
    wide = np.repeat(p.x[0], 2, axis=1)
    read_only = p.x[0].copy()
    read_only.flags.writeable = False
    for x_t in (np.asfortranarray(p.x[0]), wide[:, ::2], read_only):
        y_t, _ = p.cell.step(x_t, p.cell.State(*(np.asfortranarray(s) for s in p.state)))
        assert_same_bits(y_t, wanted)


def change_by_assignment(cell: Any, name: str, values: np.ndarray, folder: Path) -> None:
    cell.parameters()[name].data[...] = values


def change_by_setting_data(cell: Any, name: str, values: np.ndarray, folder: Path) -> None:
    cell.parameters()[name].data = values


def change_by_a_view_of_one_row(cell: Any, name: str, values: np.ndarray, folder: Path) -> None:
    for row, new in enumerate(values):
        cell.parameters()[name].data[row] = new


def change_by_loading(cell: Any, name: str, values: np.ndarray, folder: Path) -> None:
    arrays = {n: np.asarray(p).copy() for n, p in cell.parameters().items()}
    cell.load_parameters({**arrays, name: values})


def change_by_an_optimizer(cell: Any, name: str, values: np.ndarray, folder: Path) -> None:
    parameter = cell.parameters()[name]
    parameter.grad = np.asarray(parameter) - values
    ur.SGD({name: parameter}, lr=1.0).step()


def change_by_another_tensor(cell: Any, name: str, values: np.ndarray, folder: Path) -> None:
    setattr(cell, name, ur.Tensor(values, requires_grad=True))


def change_in_the_dictionary_of_attributes(cell: Any, name: str, values: np.ndarray, folder: Path) -> None:
    vars(cell)[name] = ur.Tensor(values, requires_grad=True)


def change_through_a_detached_tensor(cell: Any, name: str, values: np.ndarray, folder: Path) -> None:
    cell.parameters()[name].detach().data[...] = values


def change_through_a_tensor_of_the_same_array(cell: Any, name: str, values: np.ndarray, folder: Path) -> None:
    ur.Tensor(cell.parameters()[name]).data[...] = values


def change_through_a_shallow_copy(cell: Any, name: str, values: np.ndarray, folder: Path) -> None:
    copy.copy(cell.parameters()[name]).data[...] = values


def change_through_a_reshaped_tensor(cell: Any, name: str, values: np.ndarray, folder: Path) -> None:
    cell.parameters()[name].reshape(-1).data[...] = values.reshape(-1)


def change_through_slices(cell: Any, name: str, values: np.ndarray, folder: Path) -> None:
    for row, new in enumerate(values):
        cell.parameters()[name][row : row + 1].data[...] = new


def change_through_pieces(cell: Any, name: str, values: np.ndarray, folder: Path) -> None:
    with ur.no_grad():
        for piece, new in zip(ur.ops.split(cell.parameters()[name], len(values)), values, strict=True):
            piece.data[...] = new


CHANGES = [
    change_in_the_dictionary_of_attributes,
    change_by_another_tensor,
    change_through_a_detached_tensor,
    change_through_a_tensor_of_the_same_array,
    change_through_a_shallow_copy,
    change_through_a_reshaped_tensor,
    change_through_slices,
    change_through_pieces,
    change_by_assignment,
    change_by_setting_data,
    change_by_a_view_of_one_row,
    change_by_loading,
    change_by_an_optimizer,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_step_uses_the_parameters_of_the_moment(case: Case, change: Any, tmp_path: Path) -> None:
    p = problem(case, (1, 3, 4, 9), np.float32)
    other = case.make(4, 9, np.float32, seed=99)
    state = p.cell.State(*p.state)
    for name, parameter in other.parameters().items():
        before, _ = p.cell.step(p.x[0], state)
        change(p.cell, name, np.asarray(parameter).copy(), tmp_path)
        after, _ = p.cell.step(p.x[0], state)
        assert np.abs(before - after).max() > 1e-3, f"{name} was changed, the step was not"
    # An optimizer step of (old - new) and rate 1 rounds once; the other ways copy.
    wanted, _ = other.step(p.x[0], state)
    assert np.abs(after - wanted).max() < (1e-5 if change is change_by_an_optimizer else 1e-30)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_step_sees_writes_through_a_reference_kept_from_before(case: Case) -> None:
    p = problem(case, (1, 3, 4, 9), np.float32)
    state = p.cell.State(*p.state)
    weights = p.cell.W_ih.data
    before, _ = p.cell.step(p.x[0], state)
    weights *= -1  # as far as any normalisation can see
    after, _ = p.cell.step(p.x[0], state)
    with ur.no_grad():
        wanted, _ = p.cell(p.x, state)
    assert np.abs(before - after).max() > 1e-3
    assert_same_bits(after, np.asarray(wanted)[0])


@pytest.mark.parametrize("sequence", [False, True], ids=["step", "call"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_reference_written_through_and_dropped_leaves_no_stale_weights(case: Case, sequence: bool) -> None:
    p = problem(case, (1, 3, 4, 9), np.float32)
    state = p.cell.State(*p.state)

    def output() -> np.ndarray:
        if not sequence:
            return p.cell.step(p.x[0], state)[0]
        with ur.no_grad():
            return np.asarray(p.cell(p.x, state)[0])[0]

    weights = p.cell.W_ih.data
    before = output()  # packs the weights while somebody else holds them
    weights *= -1  # as far as any normalisation can see
    del weights
    after = output()
    assert np.abs(before - after).max() > 1e-3
    assert_same_bits(after, copy.deepcopy(p.cell).step(p.x[0], state)[0])


@pytest.mark.parametrize("sequence", [False, True])
def test_an_array_whose_end_steps_the_cell(sequence: bool) -> None:
    cell = ur.LSTM(3, 4, rng=np.random.default_rng(0))
    x = np.ones((1, 2, 3), np.float32)

    def run() -> np.ndarray:
        with ur.no_grad():
            return cell(x)[0].data if sequence else cell.step(x[0])[0]

    ended = []
    for _ in range(3):
        run()
    weakref.finalize(cell.W_hh._data, lambda: ended.append(run()))
    cell.W_hh.data = np.ones((16, 4), np.float32)
    after = [run() for _ in range(3)]
    assert ended
    fresh = copy.deepcopy(cell)
    for y in after:
        assert_same_bits(y.reshape(2, 4), fresh.step(x[0])[0])


@pytest.mark.parametrize("sequence", [False, True])
def test_a_bias_that_comes_later_counts(sequence: bool) -> None:
    cell = ur.GRU(3, 4, bias=False, rng=np.random.default_rng(0))
    x = np.ones((1, 2, 3), np.float32)

    def run() -> np.ndarray:
        with ur.no_grad():
            return cell(x)[0].data[0] if sequence else cell.step(x[0])[0]

    run(), run()
    vars(cell)["b"] = ur.Tensor(np.ones(12, np.float32), requires_grad=True)
    y = run()
    assert_same_bits(y, copy.deepcopy(cell).step(x[0])[0])
    assert_same_bits(run(), y)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_cells_do_not_share_what_a_step_has_packed(case: Case) -> None:
    p, q = problem(case, (1, 2, 4, 9), seed=1), problem(case, (1, 2, 4, 9), seed=2)
    wanted = [np.asarray(forward(r)[0])[0] for r in (p, q)]
    for _ in range(2):
        for r, w in zip((p, q), wanted, strict=True):
            assert_same_bits(r.cell.step(r.x[0], r.cell.State(*r.state))[0], w)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_steps_pack_once_and_leave_the_rest_to_the_kernel(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the second step on nothing is checked in Python, recorded or packed: that is what makes a step cheap."""
    calls = []
    careful = ur.cells.Recurrent._careful_step
    monkeypatch.setattr(
        ur.cells.Recurrent, "_careful_step", lambda *args: (calls.append("careful"), careful(*args))[1]
    )
    cell = case.make(64, 64, np.float32)
    x_t, state = np.zeros((1, 64), np.float32), cell.initial_state(1)
    _, state = cell.step(x_t, state)
    stepper = cell._stepper
    for _ in range(50):
        _, state = cell.step(x_t, state)
    assert calls == ["careful"]
    assert cell._stepper is stepper


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_step_reads_denormals_as_zero(case: Case, dtype: type) -> None:
    """With denormals a multiplication takes about a hundred cycles more. Here their products with the weights would be
    ordinary numbers, so that the outputs tell whether any was multiplied."""
    cell = case.make(64, 64, dtype)
    tiny = np.finfo(dtype).smallest_normal / 4
    for name, parameter in cell.parameters().items():
        if name in ("W_ih", "W_hh"):
            of_x = slice(0, 64) if case.missing else slice(None)  # not those of a mask, which is 1
            parameter.data[:, of_x] *= dtype(1e-3) / tiny
    x_t, state = (
        np.full((1, 64), tiny, dtype),
        cell.State(*(np.full_like(zero, tiny) for zero in cell.initial_state(1))),
    )
    y, after = cell.step(x_t, state)
    zeros = cell.initial_state(1)
    wanted_y, wanted = cell.step(np.zeros((1, 64), dtype), zeros)
    assert_same_bits(y, wanted_y)
    for name, actual, zero in zip(case.states, after, wanted, strict=True):
        if name not in case.kept:  # which is copied, not multiplied
            assert_same_bits(actual, zero, name)
    ordinary = cell.step(np.full((1, 64), 4 * tiny, dtype), zeros)[0]
    assert np.abs(ordinary - wanted_y).max() > 1e-4, "the products are too small to tell"


@needs_proc
def test_steps_do_not_leak() -> None:
    cell = CASES[0].make(64, 64, np.float32)
    x_t, state = np.zeros((4, 64), np.float32), cell.initial_state(4)

    def run(count: int) -> int:
        nonlocal state
        for _ in range(count):
            _, state = cell.step(x_t, state)
        return resident()

    before = run(1000)
    # One kilobyte lost per step would be 20 MB here.
    assert run(20000) - before < 4e6
