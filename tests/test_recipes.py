"""Recipes: the registry, what a run prints and saves, the command line, and quick forms of the cheap ones."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import unrolled as ur
from unrolled import recipes
from unrolled.cli import main
from unrolled.recipes import japanese_vowels
from unrolled.recipes.monitor import Monitor
from unrolled.recipes.running import spread
from unrolled.recipes.training import train

FOLDER = Path(recipes.__file__).parent
CHEAP = [
    "embedded-reber",
    "adding-100",
    "temporal-order",
    "noise-free-lag",
    "adding-600",
    "copy-memory",
    "parity",
]
CHEAP += ["memorisation", "irregular-spirals"]


def outcome(solved=True, score=0.0, **other):
    return recipes.Outcome(
        **{"solved": solved, "score": score, "updates": 3, "sequences": 30, "seconds": 0.5, **other}
    )


def made_up(*, judge=lambda outcomes, quick: True, needs=None):
    """A recipe whose arms give what they were told at once."""
    settings = recipes.Settings(100, 10, 10, 4, 0.1, 10)
    return recipes.Recipe(
        name="made-up",
        title="nothing",
        source="nobody",
        published="42",
        baseline=lambda s: f"{s.hidden_size} wrong",
        measure="wrong",
        pass_line="all solved",
        full=settings,
        quick=dataclasses.replace(settings, updates=5),
        quick_line="one solved",
        arms=(
            recipes.Arm("first", lambda s, seed, monitor: outcome(seed != 1, float(seed)), needs=needs),
            recipes.Arm(
                "second", lambda s, seed, monitor: outcome(False, 7.0, note="diverged"), control=True
            ),
        ),
        judge=judge,
        seeds=3,
    )


def test_every_file_of_a_recipe_is_registered_and_complete():
    files = {p.stem for p in FOLDER.glob("*.py") if "RECIPE = " in p.read_text(encoding="utf-8")}
    assert files == {name.replace("-", "_") for name in recipes.names()}
    for name in recipes.names():
        recipe = recipes.get(name)
        assert recipe.name == name
        assert (recipe.data is not None) == hasattr(recipe.full, "data")
        assert recipe.quick.updates <= recipe.full.updates
        assert recipe.quick.seconds <= 300
        assert len({arm.label for arm in recipe.arms}) == len(recipe.arms)
        assert any(not arm.control for arm in recipe.arms)
        assert recipe.baseline(recipe.full)
    with pytest.raises(ValueError, match="no recipe 'none', expected one of embedded-reber"):
        recipes.get("none")


def test_readme_has_every_recipe():
    table = (
        (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8").partition("done again\n")[2]
    )
    named = re.findall(r"`([\w-]+)`", table.partition("| recipe |")[2].partition("\n## ")[0])
    assert {name for name in named if not name.startswith("--")} == set(recipes.names())


def test_a_run_says_everything(tmp_path):
    lines = []
    report = recipes.run(made_up(), say=lines.append)
    text = "\n".join(lines)
    for part in ("trivial    4 wrong", "published  42", "PASS: all solved", "100 updates of 10", "3 seeds"):
        assert part in text
    assert "first, seed 1: not solved, score 1 after 3 updates, 30 sequences, 0.5 s" in text
    assert "second, seed 2: not solved, score 7 after 3 updates, 30 sequences, 0.5 s (diverged)" in text
    (row,) = [line for line in lines if line.startswith("    first ")]
    assert row.split() == ["first", "2/3", "=", "67%", "1", "+-", "1", "30", "+-", "0", "0.5", "+-", "0.0"]
    (row,) = [line for line in lines if line.startswith("    second (control)")]
    assert row.split()[2:] == ["0/3", "=", "0%", "7", "+-", "0", "-", "0.5", "+-", "0.0"]
    report.save(tmp_path / "report.json")
    assert report.complete
    saved = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert (saved["complete"], saved["passed"]) == (True, True)
    assert [o["score"] for o in saved["arms"]["first"]] == [0, 1, 2]
    assert saved["settings"]["updates"] == 100
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]


def test_quick_seeds_and_verdicts():
    lines = []
    report = recipes.run(made_up(judge=lambda outcomes, quick: not quick), quick=True, say=lines.append)
    assert report.passed is False
    assert len(report.outcomes["first"]) == 1
    assert "  FAIL: one solved" in lines
    assert len(recipes.run(made_up(), seeds=2, say=lines.append).outcomes["second"]) == 2
    with pytest.raises(ValueError, match="seeds is 0"):
        recipes.run(made_up(), seeds=0)
    with pytest.raises(ValueError, match="makes its own data"):
        recipes.run(made_up(), data="here")


def interrupt(recipe, label, seed):
    """The recipe, whose arm of this label ends with Ctrl-C at this seed."""

    def train(settings, number, monitor, *, arm):
        if (arm.label, number) == (label, seed):
            raise KeyboardInterrupt
        return arm.train(settings, number, monitor)

    arms = (dataclasses.replace(arm, train=partial(train, arm=arm)) for arm in recipe.arms)
    return dataclasses.replace(recipe, arms=tuple(arms))


def test_ctrl_c_loses_no_finished_seed(tmp_path, capsys, monkeypatch):
    target = tmp_path / "out.json"
    monkeypatch.setattr(recipes, "get", lambda name: interrupt(made_up(), "second", 2))
    assert main(["recipes", "run", "counting", "--json", str(target)]) == 130
    said = capsys.readouterr()
    assert said.out.endswith(f"interrupted: the seeds that are finished are in {target}\n")
    assert said.err == "unrolled recipes run: interrupted\n"
    saved = json.loads(target.read_text(encoding="utf-8"))
    assert {label: [o["score"] for o in found] for label, found in saved["arms"].items()} == {
        "first": [0, 1, 2],
        "second": [7, 7],
    }
    assert (saved["complete"], saved["passed"]) == (False, None)
    monkeypatch.setattr(recipes, "get", lambda name: interrupt(made_up(), "first", 0))
    assert main(["recipes", "run", "counting", "--json", str(tmp_path / "none.json")]) == 130
    assert "finished" not in capsys.readouterr().out
    assert [p.name for p in tmp_path.iterdir()] == ["out.json"]


def test_an_arm_whose_cell_is_missing_is_left_out():
    lines = []
    report = recipes.run(made_up(needs="NoSuchCell"), say=lines.append)
    assert report.passed is None
    assert list(report.outcomes) == ["second"]
    assert "  first: left out, this version has no NoSuchCell" in lines
    assert "  NOT JUDGED: all solved" in lines


def test_spread():
    assert spread([]) == "-"
    assert spread([0.25]) == "0.25"
    assert spread([1, 3], "{:.1f}") == "2.0 +- 1.4"
    assert spread([1, float("nan")]) == "nan +- nan"


def test_a_run_that_diverges_meets_no_line():
    model = ur.Linear(1, 1, bias=False)
    model.W.data[...] = 3e38
    x = np.full((2, 1), 3e38, np.float32)
    settings = recipes.Settings(updates=5, seconds=10, batch_size=2, hidden_size=1, lr=0.1, check_every=1)
    with np.errstate(over="ignore", invalid="ignore"):
        found = train(
            model, settings, Monitor(), lambda: (ur.mean_squared_error(model(x), -x), 2), lambda: (1.0, True)
        )
    assert (found.solved, found.note) == (False, "diverged")
    assert not found.score >= 0
    assert not found.score <= 0


def quick_run(name):
    recipe = recipes.get(name)
    judged = dataclasses.replace(recipe, arms=tuple(arm for arm in recipe.arms if not arm.control))
    return recipes.run(judged, quick=True, say=lambda line: None)


@pytest.mark.parametrize("name", CHEAP)
def test_quick_forms_meet_their_line(name):
    assert quick_run(name).passed is True


def test_seeds_fix_everything():
    first, again = (quick_run("temporal-order").outcomes for _ in range(2))
    for label, outcomes in first.items():
        for a, b in zip(outcomes, again[label], strict=True):
            assert dataclasses.replace(a, seconds=0) == dataclasses.replace(b, seconds=0)


def write_ts(path, rows, rng):
    lines = ["#a comment", "@dimensions 12", "@data"]
    for row in range(rows):
        kind, length = row % 9, int(rng.integers(7, 12))
        series = rng.normal(0.0, 0.3, (12, length)) + np.eye(12)[kind][:, None]
        lines.append(":".join([*(",".join(f"{v:.4f}" for v in d) for d in series), str(kind + 1)]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_japanese_vowels_from_a_folder(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    write_ts(tmp_path / "JapaneseVowels_TRAIN.ts", 90, rng)
    found = japanese_vowels.read_ts(tmp_path / "JapaneseVowels_TRAIN.ts")
    assert found.x.shape[1:] == (90, 12)
    np.testing.assert_array_equal(found.classes, np.arange(90) % 9)
    assert found.x[: found.lengths[4], 4].mean(axis=0).argmax() == 4
    with pytest.raises(recipes.MissingDataError, match=r"has no JapaneseVowels_TEST.ts; give --data FOLDER"):
        recipes.run(japanese_vowels.RECIPE, quick=True, data=str(tmp_path), say=lambda line: None)
    write_ts(tmp_path / "JapaneseVowels_TEST.ts", 45, rng)
    report = recipes.run(japanese_vowels.RECIPE, quick=True, data=str(tmp_path), say=lambda line: None)
    assert report.passed is True
    monkeypatch.setattr(japanese_vowels.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(recipes.MissingDataError, match=r"the data are not here; give --data FOLDER .* aeon"):
        recipes.run(japanese_vowels.RECIPE, quick=True, say=lambda line: None)


def test_command_line(capsys, tmp_path, monkeypatch, threads):
    threads(ur.get_num_threads())
    assert main(["recipes", "list"]) == 0
    listing = capsys.readouterr().out
    assert all(name in listing for name in recipes.names())
    for passed, status in ((True, 0), (False, 1)):
        recipe = made_up(judge=lambda outcomes, quick, passed=passed: passed)
        monkeypatch.setattr(recipes, "get", lambda name, recipe=recipe: recipe)
        target = tmp_path / "out.json"
        arguments = ["embedded-reber", "--seeds", "2", "--json", str(target), "--threads", "1"]
        assert main(["recipes", "run", *arguments]) == status
        assert ("PASS" if passed else "FAIL") in capsys.readouterr().out
        assert json.loads(target.read_text(encoding="utf-8"))["passed"] is passed


def test_a_report_that_cannot_be_written(capsys, tmp_path, monkeypatch):
    """It is refused before the run where that can be known, else in one sentence as soon as it is."""
    runs = []

    def get(name):
        return made_up()

    monkeypatch.setattr(recipes, "get", get)
    usual = recipes.run
    monkeypatch.setattr(recipes, "run", lambda *args, **more: runs.append(1) or usual(*args, **more))
    target = tmp_path / "out.json"
    target.mkdir()
    arguments = ["recipes", "run", "embedded-reber", "--seeds", "1", "--json", str(target)]
    assert main(arguments) == 2 and runs == []
    target.rmdir()

    def full(path, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert main(arguments) == 2 and len(runs) == 1
    assert f"cannot write {target}: No space left on device" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["none"], "there is no recipe 'none'; `unrolled recipes list` shows them"),
        (["counting", "--data", "x"], "--data: counting makes its own data"),
        (["counting", "--json", "no/such/file"], "no/such/file: No such file or directory"),
        (["counting", "--json", "."], "it is a folder, give the name of a file"),
        (["japanese-vowels", "--data", "nowhere"], "nowhere has no JapaneseVowels_TRAIN.ts; give --data"),
    ],
)
def test_mistakes_on_the_command_line(arguments, sentence, capsys):
    assert main(["recipes", "run", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("unrolled recipes run: ")
    assert sentence in error
