"""Every wrong argument gives one sentence: who, what was received, what was expected and why."""

from __future__ import annotations

import re
import weakref
from typing import Any

import numpy as np
import pytest

import unrolled as ur
from cases import CASES, Case
from unrolled._native import core
from unrolled.cells.call import Arguments

T, B, I, H = 5, 3, 8, 6
Refusal = tuple[str, Any, type[Exception], str]


def refuse(case: Case, call: Any, error: type[Exception], pattern: str) -> None:
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert type(caught.value) is error, f"a subclass leaked: {caught.value!r}"
    assert message.startswith(f"{case.cell}: "), message
    assert "expected" in message or "must" in message, message
    assert re.search(pattern, message), f"{pattern!r} not in {message!r}"
    assert "\n" not in message


def x_of(shape: tuple[int, ...] = (T, B, I), dtype: Any = np.float32) -> np.ndarray:
    return np.zeros(shape, dtype)


INPUTS: list[Refusal] = [
    ("rank 2", x_of((B, I)), ValueError, r"x has shape \(3, 8\).*\(time, batch, 8\)"),
    ("rank 4", x_of((1, T, B, I)), ValueError, r"x has shape \(1, 5, 3, 8\)"),
    ("features", x_of((T, B, 7)), ValueError, r"x has shape \(5, 3, 7\).*\(time, batch, 8\).*input_size=8"),
    ("no features", x_of((T, B, 0)), ValueError, r"x has shape \(5, 3, 0\)"),
    ("float64", x_of(dtype=np.float64), TypeError, r"x.*float64.*float32"),
    ("float16", x_of(dtype=np.float16), TypeError, r"x.*float16.*float32"),
    ("int64", x_of(dtype=np.int64), TypeError, r"x.*int64.*float32"),
    ("bool", x_of(dtype=bool), TypeError, r"x.*bool.*float32"),
    ("complex", x_of(dtype=np.complex64), TypeError, r"x.*complex64.*float32"),
    ("object", x_of(dtype=object), TypeError, r"x.*object.*float32"),
    ("big-endian", x_of(dtype=">f4"), TypeError, r"x.*>f4.*float32|x.*big.endian"),
    ("list", x_of().tolist(), TypeError, r"x.*list"),
    ("None", None, TypeError, r"x.*None"),
    ("string", "x", TypeError, r"x.*str"),
    ("masked", np.ma.masked_equal(x_of(), 0), TypeError, r"x is a masked array"),
]

LENGTHS: list[Refusal] = [
    ("too many", np.array([1, 2, 3, 4]), ValueError, r"lengths has shape \(4,\).*\(3,\)"),
    ("rank 2", np.array([[1, 2, 3]]), ValueError, r"lengths has shape \(1, 3\)"),
    ("negative", np.array([1, -1, 3]), ValueError, r"lengths.*-1.*0.*5"),
    ("too long", np.array([1, 6, 3]), ValueError, r"lengths.*6.*0.*5"),
    ("float", np.array([1.0, 2.0, 3.0]), TypeError, r"lengths.*float64.*int64"),
    ("bool", np.array([True, True, False]), TypeError, r"lengths.*bool.*int64"),
    ("scalar", 3, (TypeError, ValueError), r"lengths"),
]

RESETS: list[Refusal] = [
    ("transposed", np.zeros((B, T), bool), ValueError, r"reset has shape \(3, 5\).*\(5, 3\)"),
    ("rank 1", np.zeros(T, bool), ValueError, r"reset has shape \(5,\).*\(5, 3\)"),
    ("float", np.zeros((T, B), np.float32), TypeError, r"reset.*float32.*bool"),
    ("int", np.zeros((T, B), np.int64), TypeError, r"reset.*int64.*bool"),
    ("scalar", True, (TypeError, ValueError), r"reset"),
]


def ids(rows: list[Refusal]) -> list[str]:
    return [row[0] for row in rows]


def refuse_any(case: Case, call: Any, error: Any, pattern: str) -> None:
    """As `refuse`, where either of two types is right."""
    with pytest.raises(error) as caught:
        call()
    refuse(case, call, type(caught.value), pattern)


@pytest.mark.parametrize("row", INPUTS, ids=ids(INPUTS))
@pytest.mark.parametrize("case", CASES, ids=str)
def test_input(case: Case, row: Refusal) -> None:
    cell = case.make(I, H, np.float32)
    refuse(case, lambda: cell(row[1]), row[2], row[3])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_float32_input_is_not_widened(case: Case) -> None:
    cell = case.make(I, H, np.float64)
    refuse(case, lambda: cell(x_of()), TypeError, r"x.*float32.*float64")
    refuse(case, lambda: cell.step(x_of((B, I)), cell.initial_state(B)), TypeError, r"x.*float32.*float64")


@pytest.mark.parametrize("row", LENGTHS, ids=ids(LENGTHS))
@pytest.mark.parametrize("case", CASES, ids=str)
def test_lengths(case: Case, row: Refusal) -> None:
    cell = case.make(I, H, np.float32)
    refuse_any(case, lambda: cell(x_of(), lengths=row[1]), row[2], row[3])


@pytest.mark.parametrize("row", RESETS, ids=ids(RESETS))
@pytest.mark.parametrize("case", CASES, ids=str)
def test_reset(case: Case, row: Refusal) -> None:
    cell = case.make(I, H, np.float32)
    refuse_any(case, lambda: cell(x_of(), reset=row[1]), row[2], row[3])


def states(case: Case, shape: tuple[int, ...] = (B, H), dtype: Any = np.float32) -> tuple[np.ndarray, ...]:
    widths = [case.state_size(name, H, I) for name in case.states]
    return tuple(np.zeros((*shape[:-1], shape[-1] + n - H), dtype) for n in widths)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_state(case: Case) -> None:
    cell = case.make(I, H, np.float32)
    first = case.states[0]
    n = case.state_size(first, H, I)
    h = states(case)[0]
    make = cell.State
    refusals: list[tuple[Any, Any, str]] = [
        (make(*states(case, (B + 1, H))), ValueError, rf"{first} has shape \(4, {n}\).*\(3, {n}\)"),
        (
            make(*states(case, (B, H + 1))),
            ValueError,
            rf"{first} has shape \(3, {n + 1}\).*\(3, {n}\).*_size={n}",
        ),
        (make(*states(case, (1, B, H))), ValueError, rf"{first} has shape \(1, 3, {n}\).*\(3, {n}\)"),
        (make(*states(case, (H,))), ValueError, rf"{first} has shape \({n},\).*\(3, {n}\)"),
        (make(*states(case, dtype=np.float64)), TypeError, rf"{first}.*float64.*float32"),
        (make(*states(case, dtype=np.int64)), TypeError, rf"{first}.*int64.*float32"),
        (make(*(None for _ in case.states)), TypeError, rf"{first}.*None"),
        ((h,) * (len(case.states) + 1), (TypeError, ValueError), r"state"),
        ((), (TypeError, ValueError), r"state"),
        ("state", TypeError, r"state.*str"),
        (3, TypeError, r"state.*int"),
    ]
    for state, error, pattern in refusals:
        refuse_any(case, lambda s=state: cell(x_of(), s), error, pattern)
        refuse_any(case, lambda s=state: cell.step(x_of((B, I)), s), error, pattern)
    if case.states[1:2] == ("c",):
        c = np.zeros((B, H - 1), np.float32)
        bad = make(h, c, *states(case)[2:])
        refuse(case, lambda: cell(x_of(), bad), ValueError, r"c has shape \(3, 5\).*\(3, 6\)")


STEP_INPUTS: list[Refusal] = [
    ("rank 3", x_of((1, B, I)), ValueError, r"x(_t)? has shape \(1, 3, 8\).*\(batch, 8\)"),
    ("rank 1", x_of((I,)), ValueError, r"x(_t)? has shape \(8,\).*\(batch, 8\)"),
    ("features", x_of((B, 7)), ValueError, r"x(_t)? has shape \(3, 7\).*8\).*input_size=8"),
    ("float64", x_of((B, I), np.float64), TypeError, r"x(_t)?.*float64.*float32"),
    ("big-endian", x_of((B, I), ">f4"), TypeError, r"x(_t)?.*>f4.*float32|big.endian"),
    ("list", x_of((B, I)).tolist(), TypeError, r"x(_t)?.*list"),
    ("None", None, TypeError, r"x(_t)?.*None"),
]


@pytest.mark.parametrize("row", STEP_INPUTS, ids=ids(STEP_INPUTS))
@pytest.mark.parametrize("case", CASES, ids=str)
def test_step_input(case: Case, row: Refusal) -> None:
    cell = case.make(I, H, np.float32)
    refuse(case, lambda: cell.step(row[1], cell.initial_state(B)), row[2], row[3])


CONSTRUCTION: list[tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
    ((0, H), {}, ValueError, r"input_size.*0"),
    ((-1, H), {}, ValueError, r"input_size.*-1"),
    ((I, 0), {}, ValueError, r"hidden_size.*0"),
    ((I, -3), {}, ValueError, r"hidden_size.*-3"),
    ((8.0, H), {}, TypeError, r"input_size.*float"),
    ((I, "6"), {}, TypeError, r"hidden_size.*str"),
    ((I, True), {}, TypeError, r"hidden_size.*bool"),
    ((I, H), {"dtype": np.float16}, TypeError, r"dtype.*float16.*float32.*float64"),
    ((I, H), {"dtype": np.int32}, TypeError, r"dtype.*int32"),
    ((I, H), {"dtype": "nonsense"}, TypeError, r"dtype.*nonsense"),
    ((I, H), {"dtype": ">f4"}, TypeError, r"dtype"),
    ((I, H), {"rng": 3}, TypeError, r"rng.*int.*Generator"),
    ((I, H), {"bias": 1}, TypeError, r"bias.*int.*bool"),
    ((I, H), {"bias": None}, TypeError, r"bias.*None.*bool"),
]


@pytest.mark.parametrize("row", CONSTRUCTION, ids=lambda row: str((*row[0], row[1])))
@pytest.mark.parametrize("case", CASES, ids=str)
def test_construction(case: Case, row: Any) -> None:
    sizes, options, error, pattern = row
    refuse(case, lambda: getattr(ur, case.cell)(*sizes, **{**case.options, **options}), error, pattern)


def test_options_of_single_cells() -> None:
    rnn, lstm = (next(c for c in CASES if c.cell == name) for name in ("RNN", "LSTM"))
    refuse(
        rnn, lambda: ur.RNN(I, H, nonlinearity="gelu"), ValueError, r"nonlinearity.*gelu.*tanh.*relu.*sigmoid"
    )
    refuse(rnn, lambda: ur.RNN(I, H, nonlinearity=3), TypeError, r"nonlinearity.*int")
    refuse(lstm, lambda: ur.LSTM(I, H, forget_bias="1"), TypeError, r"forget_bias.*str")
    refuse(lstm, lambda: ur.LSTM(I, H, forget_bias=float("nan")), ValueError, r"forget_bias.*nan")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_batch_size_of_an_initial_state(case: Case) -> None:
    cell = case.make(I, H)
    assert cell.initial_state(0)[0].shape == (0, case.state_size(case.states[0], H, I))
    refuse(case, lambda: cell.initial_state(-1), ValueError, r"batch_size.*-1")
    refuse(case, lambda: cell.initial_state(2.0), TypeError, r"batch_size.*float")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_cell_works_after_it_has_refused(case: Case) -> None:
    cell = case.make(I, H, np.float32)
    x = np.ones((T, B, I), np.float32)
    wanted = np.asarray(cell(x)[0]).copy()
    for bad in (x[:, :, :3], x.astype(np.float64)):
        with pytest.raises((TypeError, ValueError)):
            cell(bad)
    np.testing.assert_array_equal(np.asarray(cell(x)[0]), wanted)


def test_thread_counts() -> None:
    before = ur.get_num_threads()
    for bad, error in [
        (0, ValueError),
        (-2, ValueError),
        (1.5, TypeError),
        ("2", TypeError),
        (None, TypeError),
    ]:
        with pytest.raises(error, match=r"set_num_threads: .*expected"):
            ur.set_num_threads(bad)
    assert ur.get_num_threads() == before


def test_the_native_interface_keeps_no_pointer_into_a_temporary() -> None:
    """A list would be converted to an array that dies before the kernel reads it."""
    x, W, states = np.zeros((1, 1, 1)), np.ones((1, 1)), [None]
    for W_ih, W_hh in [([[1.0]], W), (W, [[1.0]])]:
        with pytest.raises(ValueError, match="an array is expected"):
            core.cells_forward([Arguments("rnn_tanh", x, [W_ih, W_hh, None], states, [], [])])


def test_the_native_interface_keeps_what_the_calls_of_a_sequence_hold() -> None:
    """Until all have run, also where the sequence makes each of them anew."""
    x, W = np.ones((2, 1, 1)), np.ones((1, 1))
    call = Arguments("rnn_tanh", x, [W, W, None], [None], [], [], keep=True)
    saved = [core.cells_forward([call])[0][2] for _ in range(2)]
    alive: list[Any] = []

    class Requests:
        def __len__(self) -> int:
            return 2

        def __getitem__(self, k: int) -> Any:
            assert all(made() is not None for made in alive)
            dy, dh = np.ones((2, 1, 1)), np.ones((1, 1))
            alive.extend((weakref.ref(dy), weakref.ref(dh)))
            return (saved[k], dy, [dh], [True, False, True, True, False], False)

    first, second = core.cells_backward(Requests())
    np.testing.assert_array_equal(first[0], second[0])
    assert all(made() is None for made in alive)


def test_the_native_interface_refuses_a_table_in_segments() -> None:
    table, ids, W = np.ones((3, 1)), np.zeros((4, 2), np.int64), np.ones((1, 1))
    call = Arguments("rnn_tanh", table, [W, W, None], [None], [], [], ids=ids, keep=True, segment_steps=2)
    with pytest.raises(ValueError, match="ids: not for a call in segments"):
        core.cells_forward([call])


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"W_ih": np.ones((15, 4))},
            ValueError,
            r"W_ih has shape \(15, 4\), expected \(4 \* hidden units, columns\)",
        ),
        ({"W_hh": np.ones((12, 4))}, ValueError, r"recurrent matrix has shape \(12, 4\), expected \(12, 3\)"),
        ({"b": np.ones(3)}, ValueError, r"b has shape \(3,\), expected \(12,\)"),
        ({"p_f": np.ones(1)}, ValueError, r"per-unit parameter has shape \(1,\), expected \(3,\)"),
        (
            {"W_hh": np.ones((12, 3), np.float32)},
            TypeError,
            "recurrent matrix has dtype float32, expected float64",
        ),
    ],
)
def test_parameters_that_were_replaced_by_others(
    changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    cell = ur.PeepholeLSTM(4, 3, dtype=np.float64)
    for name, array in changes.items():
        setattr(cell, name, ur.Tensor(array, requires_grad=True))
    with pytest.raises(error, match=message):
        cell(np.ones((2, 1, 4)))
    with pytest.raises(error, match=message):
        cell.step(np.ones((1, 4)))
