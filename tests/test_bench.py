"""The benchmark: goals, marks, tables, and a short run of its groups without peers."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from bench.python.custom_cells import CUSTOM, grid_outputs, of_numpy
from bench.python.grid import ATTEMPTS, on_true_cores
from bench.python.markdown import tables
from bench.python.report import as_json, line, missed_means, summary
from bench.python.rows import FASTEST, OURS, Bench, Goal, Plan, Row, row_of
from bench.python.sides import available
from bench.python.timing import Times, geometric_mean, interleave
from bench.python.workloads import Call, Workload

import unrolled as ur

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def same_threads_afterwards():
    threads = ur.get_num_threads()
    yield
    ur.set_num_threads(threads)


def row(ours: float, group: str = "inference", goals: tuple[Goal, ...] = (), **others: float) -> Row:
    times = {name: Times.of([value]) for name, value in {OURS: ours, **others}.items()}
    return Row(group, "LSTM T=1 B=2 I=3 H=4", list(goals) or [Goal(FASTEST, 1.0)], times)


def test_the_fastest_is_a_peer_and_not_ourselves_in_another_way():
    made = row(2.0, torch=6.0, jax=5.0, parts=1.0)
    assert made.ratio() == 2.5
    assert made.ratio("torch") == 3.0
    assert made.ratio("parts") == 0.5
    assert made.ratio("onnxruntime") is None


def test_the_best_of_several_sides_counts_by_their_first_word():
    made = row(1.0, **{"sgemm torch": 0.9, "sgemm numpy": 0.8, "sgemms": 0.1})
    assert made.ratio("sgemm") == 0.8


def test_a_goal_without_its_side_is_neither_reached_nor_missed():
    made = row(1.0, goals=(Goal("torch", 2.0), Goal("jax", 3.0)), torch=1.9)
    assert [(goal.against, ratio) for goal, ratio in made.missed()] == [("torch", 1.9)]
    assert "torch 1.90 of 2.00  BELOW TARGET" in line(made, ["torch"])


def test_slack_belongs_to_noise_only():
    assert Goal("one", 1.0).missed_by(0.99)
    assert not Goal("one", 1.0, slack=0.03).missed_by(0.98)
    assert Goal("one", 1.0, slack=0.03).missed_by(0.96)


def test_means_are_held_against_the_target_of_their_group():
    rows = [row(1.0, torch=4.0), row(1.0, torch=0.5)]
    assert geometric_mean([4.0, 0.5]) == pytest.approx(2**0.5)
    ((group, goal, achieved),) = missed_means(rows)
    assert (group, goal.target, achieved) == ("inference", 2.0, pytest.approx(2**0.5))
    assert " ".join(summary(rows)[-1].split()) == "inference LSTM T=1 B=2 I=3 H=4 fastest 0.50 of 1.00"
    assert missed_means([row(1.0, torch=4.0), row(1.0, torch=2.0)]) == []


def test_a_row_near_its_target_is_timed_again_and_a_far_one_is_not():
    bench = Bench([], seconds=0)
    timed = []

    def measure(plan: Plan) -> Row:
        timed.clear()
        (made,) = bench.row(plan)
        return made

    def calls(work: float) -> dict[str, Call]:
        run = lambda: timed.append(0)  # noqa: E731
        values = lambda _: {"y": np.zeros(1)}  # noqa: E731
        # The clock of this test stands: all that differs is the work.
        return {OURS: Call(run, values), "torch": Call(run, values, work=work)}

    ticks = iter(range(10**9))
    bench.clock = lambda: float(next(ticks))
    near = measure(Plan("inference", "near", [Goal("torch", 1.0)], lambda: calls(1.0)))
    assert near.note == "timed again"
    assert near.ratio("torch") == 1.0
    far = measure(Plan("inference", "far", [Goal("torch", 1.0)], lambda: calls(0.25)))
    assert far.note == ""
    assert far.ratio("torch") == 4.0


@pytest.mark.parametrize(
    ("gains", "kept"), [([1.9], 1.9), ([1.0, 1.1, 1.8, 1.9], 1.8), ([1.0, 1.3, 1.1, 1.2], 1.3)]
)
def test_two_threads_are_measured_again_while_they_share_a_core(monkeypatch, gains, kept):
    left = iter(gains)

    def row(bench, plan):
        seconds = {OURS: 1.0, "one": 1.5, "product": 1.0, "product one": next(left)}
        times = {name: Times(t, t, t, 3) for name, t in seconds.items()}
        yield Row(plan.group, plan.name, times=times)

    monkeypatch.setattr(Bench, "row", row)
    (found,) = on_true_cores(Bench([]), Plan("scaling", "some", [], dict))
    assert found.note == f"product {kept:.2f}"
    assert len(list(left)) == len(gains) - (
        gains.index(1.8) + 1 if 1.8 in gains else min(len(gains), ATTEMPTS)
    )


def test_sides_that_disagree_give_no_times():
    calls = {OURS: Call(lambda: None, lambda _: {"y": np.zeros(3)})}
    calls["torch"] = Call(lambda: None, lambda _: {"y": np.full(3, 0.1)})
    (made,) = Bench([], seconds=0).row(Plan("inference", "x", [Goal("torch", 1.0)], lambda: calls))
    assert "y differs by" in made.failure
    assert made.times == {}
    assert "NO RESULT" in line(made, ["torch"])


def test_every_side_has_a_turn_in_every_round():
    calls = []
    interleave({name: lambda name=name: calls.append(name) for name in "abc"}, 0)
    # Two calls of each to count by, then three rounds, every other one backwards: nobody always follows the same other.
    assert calls[:6] == list("aabbcc")
    assert [name for name, _ in groupby(calls[6:])] == list("abcbabc")


def test_readme_tables_come_from_the_file_of_a_run():
    rows = [row(1.0, torch=2.5, jax=3.0), row(1.0, "training", torch=0.876), row(1.0, "step", torch=9.0)]
    run = as_json(rows, available([], 1), {"threads": 2})
    text = tables(json.loads(json.dumps(run)))
    assert "| 1 2 3 4 |  | 2.5 |  |  | **0.88** |  |" in text
    assert "- training, LSTM T=1 B=2 I=3 H=4: **0.88** of 1.00 beside the fastest peer" in text
    assert "- training, geometric mean: 0.88 of 2.50 beside the fastest peer" in text
    assert [row_of(saved, saved["group"]) for saved in run["rows"]] == rows


@pytest.mark.parametrize("kind", CUSTOM, ids=[kind.cell for kind in CUSTOM])
def test_the_custom_cells_are_those_of_the_library(kind):
    f, rng = of_numpy(), np.random.default_rng(0)
    cell = getattr(ur, kind.cell)(3, 5, dtype=np.float64)
    for tensor in cell.parameters().values():
        tensor.data[...] += 0.3 * rng.uniform(-1, 1, tensor.shape)
    p = {name: np.asarray(tensor) for name, tensor in cell.parameters().items()}
    x = rng.standard_normal((4, 2, 3))
    state, outputs = (np.zeros((2, 5)),) * kind.states, []
    for a in kind.input(f, p, x):
        state, y = kind.step(f, p, state, a)
        outputs.append(y)
    np.testing.assert_allclose(np.asarray(cell(x)[0]), outputs, rtol=0, atol=1e-12)


def test_the_grid_of_the_benchmark_is_that_of_the_library():
    rng = np.random.default_rng(0)
    grid = ur.GridLSTM(3, 4, 3, dtype=np.float64, rng=rng)
    for tensor in grid.parameters().values():
        tensor.data[...] += 0.3 * rng.standard_normal(tensor.shape)
    p = {name: np.asarray(tensor) for name, tensor in grid.parameters().items()}
    x = rng.standard_normal((5, 2, 3))
    outputs = grid_outputs(of_numpy(), p, x, np.zeros((2, 4)))
    np.testing.assert_allclose(np.asarray(grid(x)[0]), outputs, rtol=0, atol=1e-12)


def test_a_network_has_the_parts_of_its_workload():
    w = Workload("GRU", 3, 2, 4, 5, layers=2, bidirectional=True)
    network, named = available([], 1)[0].network(w)
    assert [(part.I, part.reverse) for part in w.parts] == [(4, False), (4, True), (10, False), (10, True)]
    assert network.output_size == w.dy.shape[2] == 10
    assert dict(named).keys() >= {"W_ih.0", "W_ih.0r", "b_hn.1r"}


def test_a_run_without_peers(tmp_path):
    file = tmp_path / "rows.json"
    groups = ["inference", "step", "lengths", "stacks", "float64", "custom", "memory"]
    command = [sys.executable, "-m", "bench.python", "--quick", "--seconds", "0.0001", "--peers"]
    command += ["--filter", "LSTM", "--threads", "1", "--json", str(file), "--groups", *groups]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    rows = json.loads(file.read_text())["rows"]
    assert {saved["group"].split(" ")[0] for saved in rows} == set(groups)
    assert all(saved["times"][OURS]["median"] > 0 for saved in rows)
    command = [sys.executable, "-m", "bench.python", "--markdown", str(file)]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "| LSTM 64 |" in printed
