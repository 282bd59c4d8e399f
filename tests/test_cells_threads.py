"""Many Python threads on one model, changes of the thread count meanwhile, and children after fork."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import unrolled as ur
from cases import CASES, Case
from programs import run_with_cell
from reference import Problem, assert_same_bits, forward, gradients, problem
from unrolled.cells.regular import Gated

pytestmark = pytest.mark.usefixtures("two_threads")
WORKERS = 6


def in_threads(work: Any, count: int = WORKERS) -> None:
    """Runs work(i) at the same time in `count` threads and raises what any of them raised."""
    gate = threading.Barrier(count)

    def task(i: int) -> None:
        gate.wait()
        work(i)

    with ThreadPoolExecutor(count) as pool:
        for future in [pool.submit(task, i) for i in range(count)]:
            future.result(timeout=60)


def test_the_thread_count_is_what_was_set() -> None:
    for count in (1, 2, 5):
        ur.set_num_threads(count)
        assert ur.get_num_threads() == count


@pytest.mark.parametrize("case", CASES, ids=str)
def test_threads_that_are_done_take_rows_over(case: Case) -> None:
    # More threads than cores: some are done long before others.
    for lengths, masks in ((False, False), (True, False), (False, True)):
        p = problem(case, (60, 40, 5, 96), np.float32, lengths=lengths)
        if masks and not isinstance(p.cell, Gated):
            continue
        if masks:
            p.cell.zoneout_h = 0.3 if "h" in p.cell.State._fields else 0.0
            p.cell.recurrent_dropout = 0.3 if p.cell.matrices else 0.0
        wanted = None
        for count in (1, 3, 5):
            ur.set_num_threads(count)
            if masks:
                p.cell.seed, p.cell.counter = 5, 11
            made = gradients(p)
            wanted = wanted or made
            assert_same_bits(made, wanted)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_many_threads_call_one_model(case: Case) -> None:
    cell = case.make(20, 96, np.float32)
    shapes = [(5, 64), (7, 1), (3, 2), (5, 40), (9, 17), (4, 130)]
    problems = []
    for seed, (T, B) in enumerate(shapes):
        p = problem(case, (T, B, 20, 96), np.float32, lengths=True, seed=seed)
        problems.append(Problem(case, cell, p.x, p.state, p.dy, p.dstate, p.lengths))
    wanted = [forward(p) for p in problems]

    def work(i: int) -> None:
        for _ in range(20):
            assert_same_bits(forward(problems[i]), wanted[i])

    in_threads(work)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_many_threads_stream_through_one_model(case: Case) -> None:
    p = problem(case, (40, WORKERS, 5, 33), np.float32)
    y, state = forward(p)

    def work(i: int) -> None:
        s = p.cell.State(*(h[i : i + 1] for h in p.state))
        for t in range(40):
            y_t, s = p.cell.step(p.x[t, i : i + 1], s)
            assert_same_bits(y_t[0], y[t, i])
        assert_same_bits(tuple(a[0] for a in s), tuple(a[i] for a in state))

    for _ in range(3):
        in_threads(work)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_many_threads_differentiate_one_frozen_model(case: Case) -> None:
    p = problem(case, (5, 40, 6, 64), np.float32)
    for parameter in p.cell.parameters().values():
        parameter.requires_grad = False

    def gradient() -> np.ndarray:
        x = ur.Tensor(p.x, requires_grad=True)
        y, _ = p.cell(x)
        y.backward(p.dy)
        return x.grad

    wanted = gradient()

    def work(_: int) -> None:
        for _ in range(10):
            assert_same_bits(gradient(), wanted)

    in_threads(work)


def test_the_thread_count_may_change_while_calls_run() -> None:
    p = problem(CASES[-1], (6, 64, 20, 96), np.float32)
    wanted = forward(p)

    def work(i: int) -> None:
        for n in range(30):
            if i == 0:
                ur.set_num_threads(1 + n % 4)
            assert_same_bits(forward(p), wanted)

    in_threads(work)


def test_no_grad_belongs_to_one_thread() -> None:
    cell = CASES[0].make(3, 4, np.float32)
    x = np.zeros((2, 1, 3), np.float32)

    def work(i: int) -> None:
        for _ in range(50):
            if i % 2:
                with ur.no_grad():
                    assert not cell(x)[0].requires_grad
            else:
                assert cell(x)[0].requires_grad

    in_threads(work)


def test_a_long_call_lets_other_threads_run() -> None:
    p = problem(CASES[3], (400, 32, 64, 256), np.float32)
    done = threading.Event()
    beats = 0

    def call() -> None:
        forward(p)
        done.set()

    thread = threading.Thread(target=call)
    thread.start()
    while not done.wait(0.001):
        beats += 1
    thread.join()
    assert beats > 5, "the call held the interpreter's lock"


FORK = """
    import os, signal, threading

    running = True

    def keep_busy():
        while running:
            with ur.no_grad():
                cell(x)

    others = [threading.Thread(target=keep_busy) for _ in range({busy})]
    for thread in others:
        thread.start()
    for _ in range(5):
        child = os.fork()
        if child == 0:
            running = False
            signal.alarm(20)  # a child that hangs dies
            for _ in range(3):
                if everything() != wanted:
                    os._exit(3)
            grandchild = os.fork()
            if grandchild == 0:
                os._exit(0 if everything() == wanted else 4)
            os._exit(os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code == 0, f"child ended with {{code}}"
        assert everything() == wanted
    running = False
    for thread in others:
        thread.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("busy", [0, 2], ids=["quiet parent", "parent with calls under way"])
@pytest.mark.parametrize("case", [c for c in CASES if c.name in ("LSTM", "GRUResetBefore")], ids=str)
def test_a_forked_child_computes_the_same(case: Case, busy: int) -> None:
    run_with_cell(FORK, case.cell, (6, 64, 20, 96), busy=busy)


def test_more_threads_than_cores_do_not_hang() -> None:
    p = problem(CASES[3], (50, 2, 16, 200), np.float32)
    wanted = forward(p)
    ur.set_num_threads(4 * (os.cpu_count() or 1))
    assert_same_bits(forward(p), wanted)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_packed_weights_come_and_go_under_many_threads(case: Case) -> None:
    cell = case.make(3, 9, np.float32)
    x, state = np.ones((1, 1, 3), np.float32), cell.initial_state(1)
    wanted, _ = cell.step(x[0], state)
    held: dict[int, np.ndarray] = {}

    def work(i: int) -> None:
        for n in range(300):
            if i % 3 == 0 and n % 2 == 0:
                held[i] = cell.W_ih.data  # while somebody holds it, nothing packed is kept
            elif i % 3 == 0:
                del held[i]
                cell.W_ih = cell.W_ih  # the same Tensor, but it might be another one
            with ur.no_grad():
                y_t = np.asarray(cell(x, state)[0])[0] if i % 2 else cell.step(x[0], state)[0]
            assert_same_bits(y_t, wanted)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        in_threads(work)
    finally:
        sys.setswitchinterval(interval)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_many_steps_close_after_one_another_have_the_bits_of_one_thread(case: Case, threads: Any) -> None:
    # After a while such steps are shared among threads that wait awake, where they are large enough.
    made = []
    for count in (1, 2):
        threads(count)
        cell = case.new(300, 300, rng=np.random.default_rng(0))
        y, state = np.random.default_rng(1).standard_normal((1, 300)).astype(np.float32), None
        for _ in range(40):
            y, state = cell.step(np.resize(y, (1, 300)), state)
        made.append([y, *state])
    for one, two in zip(*made, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_what_lies_past_the_ends_is_zero_whatever_memory_held(threads: Any, count: int) -> None:
    rng = np.random.default_rng(0)
    lengths = np.array([40, 0, 17, 39, 1, 25, 33])
    layer = ur.LSTM(24, 40)
    threads(count)
    for x in (np.full((48, 7, 24), np.nan), rng.standard_normal((48, 7, 24))):
        given = ur.Tensor(x.astype(np.float32), requires_grad=True)
        y, _ = layer(given, lengths=None if np.isnan(x).any() else lengths)
        y.backward(np.ones(y.shape, np.float32))
    assert given.grad is not None
    past = np.arange(48)[:, None] >= lengths
    for array in (np.asarray(y), np.asarray(given.grad)):
        assert not array[past].any()
        assert np.isfinite(array).all() and array[~past].any(-1).all()
