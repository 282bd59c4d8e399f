"""A run that is not resumed keeps the file of an earlier one under another name."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

import unrolled as ur
from training import Stop, batches, comparable, fail, language, run, speller
from unrolled.io.file import read
from unrolled.train.earlier import earlier_kept


@pytest.fixture
def cut(tmp_path):
    """The file of a run that was cut at step 5."""
    path = tmp_path / "run.safetensors"
    with pytest.raises(RuntimeError, match="power cut"):
        run(language, 0, Stop(5, fail), checkpoint=path, checkpoint_every=1)
    return path


def files(path):
    return sorted(file.name for file in path.parent.iterdir())


def test_a_forgotten_resume_loses_nothing(cut):
    whole = run(language, 0, Stop(-1, fail))[1]
    run(language, 1, epochs=1, checkpoint=cut, checkpoint_every=2)
    run(language, 1, epochs=1, checkpoint=cut)
    assert files(cut) == ["run.1.safetensors", "run.2.safetensors", "run.safetensors"]
    kept = cut.with_name("run.1.safetensors")
    assert read(kept)[1]["training"]["step"] == 4
    history = run(language, 2, Stop(-1, fail), checkpoint=kept, resume=True)[1]
    assert comparable(history) == comparable(whole)
    assert len(files(cut)) == 3  # a resumed run goes on in its own file


def test_it_is_said(tmp_path):
    path, stream = tmp_path / "run", io.StringIO()
    path.write_bytes(b"precious")
    for bar in (None, False):
        ur.fit(
            speller(), batches(), loss=ur.cross_entropy, checkpoint=path, checkpoint_every=1,
            progress=ur.Progress(stream, bar=bar),
        )  # fmt: skip
    text = stream.getvalue()
    assert text.count("is kept as") == 2
    assert f"the earlier {path} is kept as {path}.1 (resume=True goes on with a run)\n" in text
    assert Path(f"{path}.1").read_bytes() == b"precious"


def test_nothing_is_kept_of_a_file_that_was_not_replaced(cut, monkeypatch):
    before = cut.read_bytes()
    with pytest.raises(RuntimeError, match="power cut"):
        run(language, 1, Stop(2, fail), checkpoint=cut)  # before the first checkpoint

    def no_space(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(ur.CheckpointError, match="No space"):
        run(language, 1, checkpoint=cut)
    assert files(cut) == ["run.safetensors"] and cut.read_bytes() == before


def test_divergence_names_the_checkpoints_of_its_own_run_only(cut):
    def diverge(output, targets):
        return ur.cross_entropy(output, targets) * float("inf")

    for options, named in [({"resume": True}, True), ({}, False)]:
        with pytest.raises(ur.DivergenceError) as caught:
            run(language, 0, Stop(-1, fail), loss=diverge, checkpoint=cut, **options)
        assert ("last good checkpoint" in str(caught.value)) == named
    assert files(cut) == ["run.safetensors"]


def test_the_file_that_a_link_leads_to_is_kept(tmp_path):
    (tmp_path / "disk").mkdir()
    target, link = tmp_path / "disk" / "run", tmp_path / "run"
    target.write_bytes(b"precious")
    link.symlink_to(target)
    run(language, 0, epochs=1, checkpoint=link)
    assert link.is_symlink() and "training" in read(target)[1]
    assert (tmp_path / "disk" / "run.1").read_bytes() == b"precious"


def test_file_systems_without_links(cut, monkeypatch):
    def no_links(source, target):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    before = cut.read_bytes()
    cut.with_name("run.1.safetensors").write_bytes(b"another")
    run(language, 0, epochs=1, checkpoint=cut)
    assert cut.with_name("run.1.safetensors").read_bytes() == b"another"
    assert cut.with_name("run.2.safetensors").read_bytes() == before

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copy2", full)
    with pytest.raises(ur.CheckpointError, match=r"cannot keep the earlier .* as .*\.3\..*: No space left"):
        run(language, 0, epochs=1, checkpoint=cut)


def test_what_is_no_regular_file_is_left_alone():
    with earlier_kept("/dev/null") as kept:
        assert kept is None
