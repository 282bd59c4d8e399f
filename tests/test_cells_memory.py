"""Memory: nothing leaks, and where memory is short a call says so and leaves everything usable."""

from __future__ import annotations

import sys
import tracemalloc

import numpy as np
import pytest

import unrolled as ur
from cases import CASES, Case
from memory import needs_proc, resident
from programs import run_with_cell
from reference import forward, gradients, loss_of, problem

SHORT = """
    import resource

    with open("/proc/self/statm") as file:
        in_use = int(file.read().split()[0]) * resource.getpagesize()
    refused = []
    usual, x = x, np.tile(x, (8, 1, 1))  # more than the calls before have left in reserve
    for spare in range(0, 320, 16):
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.setrlimit(resource.RLIMIT_AS, (in_use + spare * 2**20, resource.RLIM_INFINITY))
        try:
            everything()
        except MemoryError as error:
            refused.append(str(error))
        finally:
            resource.setrlimit(resource.RLIMIT_AS, unlimited)
    assert len(refused) > 3, "memory was never short: the test tests nothing"
    assert any("the system does not give" in message for message in refused), refused
    x = usual
    assert everything() == wanted
"""


@needs_proc
@pytest.mark.parametrize("case", [c for c in CASES if c.name in ("LSTM", "GRUResetBefore")], ids=str)
def test_short_memory_is_an_error_and_nothing_worse(case: Case) -> None:
    run_with_cell(SHORT, case.cell, (120, 64, 32, 128))


@needs_proc
def test_a_leak_would_be_seen() -> None:
    np.ones(10**7)  # more than what leaks, in use for a moment only
    before = resident()
    kept = [np.ones(10**4, np.float32) for _ in range(300)]
    assert resident() - before > 10e6
    del kept
    assert resident() - before < 4e6


@needs_proc
@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_calls_do_not_leak(case: Case, training: bool) -> None:
    p = problem(case, (10, 16, 32, 64), np.float32, lengths=True)
    call = gradients if training else forward

    def in_use_after(count: int) -> int:
        for _ in range(count):
            call(p)
        return resident()

    before = in_use_after(50)
    # One output has 40 kilobytes: kept 300 times, 12 megabytes.
    assert in_use_after(300) - before < 4e6


@pytest.mark.parametrize("case", CASES, ids=str)
def test_frozen_weights_cost_no_gradients(case: Case) -> None:
    """A gradient that nobody wants is not made: not even its memory is taken."""
    p = problem(case, (2, 1, 128, 256), np.float32)
    parameters = p.cell.parameters()
    matrices = [name for name in ("W_ih", "W_hh") if name in parameters]

    def peak(*frozen: str) -> int:
        for name in matrices:
            parameters[name].requires_grad = name not in frozen
        x = ur.Tensor(p.x, requires_grad=True)
        y, _ = p.cell(x)
        tracemalloc.start()
        y.backward(p.dy)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        for name in matrices:
            assert (parameters[name].grad is None) == (name in frozen)
        p.cell.zero_grad()
        return most

    both, size = peak(), {name: parameters[name]._data.nbytes for name in matrices}
    assert both >= sum(size.values())
    # What else is traced: the gradients of x and of the states, a few kilobytes of the tape.
    for frozen in {(matrices[0],), (matrices[-1],), tuple(matrices)}:
        assert peak(*frozen) <= both - 0.9 * sum(size[name] for name in frozen)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_call_lets_go_of_its_arrays(case: Case) -> None:
    """What a call keeps for backward goes with backward, though its outputs live on; without a tape it keeps
    nothing. The reference count of the input tells."""
    p = problem(case, (5, 3, 8, 17), np.float32)
    state = p.cell.State(*p.state)
    before = sys.getrefcount(p.x), sys.getrefcount(p.state[0])
    y, after = p.cell(p.x, state)
    assert sys.getrefcount(p.x) > before[0], "backward needs the input, yet nothing holds it"
    loss_of(p, y, after).backward()
    assert (sys.getrefcount(p.x), sys.getrefcount(p.state[0])) == before
    with ur.no_grad():
        y, after = p.cell(p.x, state)
    p.cell.step(p.x[0], state)
    assert (sys.getrefcount(p.x), sys.getrefcount(p.state[0])) == before
