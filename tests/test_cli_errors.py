"""Bad input to `unrolled lm`: one sentence on standard error, exit status 2, and nothing already saved is
lost.
"""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

import unrolled as ur
from unrolled.cli import main
from unrolled.data.corpus import default_text

TINY = ["--hidden", "8", "--embedding", "4", "--batch", "4", "--steps", "20", "--epochs", "1"]
CHECKPOINT = Path("unrolled-lm.safetensors")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text(default_text()[:3000], encoding="utf-8")
    return tmp_path


@pytest.fixture
def trained(folder, capsys):
    assert main(["lm", "train", "text.txt", *TINY]) == 0
    capsys.readouterr()
    return folder


def refused(capsys, *arguments):
    """The sentence of a command that has to fail, and that leaves the checkpoint as it is."""
    before = CHECKPOINT.read_bytes() if CHECKPOINT.is_file() else None
    assert main(["lm", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"unrolled lm {arguments[0]}: ")
    assert error.count("\n") == 1
    assert before == (CHECKPOINT.read_bytes() if CHECKPOINT.is_file() else None)
    assert [path for path in Path().iterdir() if path.name.endswith(".part")] == []
    return error


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "the file is empty"),
        (b"\n\n", "white space"),
        (b"\x7fELF\0\0", "binary file"),
        (b"\xff" * 900, "byte 0 is 0xff, not valid UTF-8"),
        (b"short", "bad.txt has 5 characters, too short to learn from; 400 are the least"),
        (b"x " * 300, None),  # one word only is no mistake, and can be learned
    ],
)
@pytest.mark.parametrize("level", ["char", "word"])
def test_texts(folder, capsys, content, sentence, level):
    Path("bad.txt").write_bytes(content)
    if sentence is None:
        assert main(["lm", "train", "bad.txt", "--level", level, *TINY]) == 0
        return
    assert sentence in refused(capsys, "train", "bad.txt", "--level", level, *TINY)
    assert not CHECKPOINT.exists()


def test_texts_that_are_no_files(folder, capsys):
    assert "cannot read missing.txt: No such file" in refused(capsys, "train", "missing.txt")
    Path("sub").mkdir()
    assert "cannot read sub: Is a directory" in refused(capsys, "train", "sub")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
@pytest.mark.parametrize("path", ["/dev/zero", "pipe"])  # the first never ends, the second never begins
def test_devices_and_pipes_are_not_read(trained, capsys, path):
    os.mkfifo("pipe")
    sentence = f"cannot read {path}: it is a device, a pipe or a socket, expected a regular file"
    for command in (
        ["train", path],
        ["train", "text.txt", "--resume", "--checkpoint", path],
        ["eval", str(CHECKPOINT), path],
        ["eval", path],
        ["generate", path],
    ):
        assert sentence in refused(capsys, *command)


def test_text_too_short_for_the_batch(folder, capsys):
    assert "too few for --batch 5000" in refused(capsys, "train", "text.txt", "--batch", "5000")
    Path("words.txt").write_text("x" * 1000, encoding="utf-8")
    assert "too short" in refused(capsys, "train", "words.txt", "--level", "word")


@pytest.mark.parametrize("option", ["--hidden", "--embedding", "--layers"])
def test_a_model_that_the_machine_cannot_hold(folder, capsys, option):
    sentence = refused(capsys, "train", "text.txt", option, "1000000000000")
    assert "not enough memory: a model of " in sentence
    assert "this machine has" in sentence


def test_no_default_text(folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    assert "name a text file" in refused(capsys, "train")


def test_unwritable_places_are_found_before_training(folder, capsys):
    assert "No such file or directory" in refused(
        capsys, "train", "text.txt", "--checkpoint", "no/such/x.safetensors"
    )
    Path("sub").mkdir()
    assert "it is a folder" in refused(capsys, "train", "text.txt", "--checkpoint", "sub")
    assert "No such file or directory" in refused(capsys, "train", "text.txt", "--plot", "no/curve.png")
    assert ".png, .pdf, .svg" in refused(capsys, "train", "text.txt", "--plot", "curve.txt")


def test_read_only_places(folder, capsys, monkeypatch):
    import unrolled.cli.files

    if os.geteuid() == 0:  # root may write anywhere; /proc refuses even root
        sentence = refused(capsys, "train", "text.txt", "--checkpoint", "/proc/x.safetensors")
    else:
        os.chmod(".", 0o500)
        sentence = refused(capsys, "train", "text.txt")
        os.chmod(".", 0o700)
    assert "cannot write the checkpoint" in sentence
    CHECKPOINT.write_bytes(b"kept")
    monkeypatch.setattr(unrolled.cli.files.os, "access", lambda path, mode: False)
    assert "read-only" in refused(capsys, "train", "text.txt")


def test_matplotlib_missing(folder, capsys, monkeypatch):
    import unrolled.cli.plot

    monkeypatch.setattr(unrolled.cli.plot, "find_spec", lambda name: None)
    assert 'pip install "unrolled[train]"' in refused(capsys, "train", "text.txt", "--plot", "curve.png")


def test_full_disk(trained, capsys, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("unrolled.io.file.os.fsync", full)
    for arguments in (["text.txt", *TINY], ["--resume", "--epochs", "2"]):
        sentence = refused(capsys, "train", *arguments)
        assert "No space left on device" in sentence
    assert not Path("unrolled-lm.1.safetensors").exists()  # nothing has taken the place of the first
    assert isinstance(ur.load(CHECKPOINT), ur.models.LanguageModel)


def damage(kind):
    content = CHECKPOINT.read_bytes()
    if kind == "missing":
        CHECKPOINT.unlink()
    elif kind == "truncated":
        CHECKPOINT.write_bytes(content[: len(content) // 2])
    elif kind == "corrupted":
        CHECKPOINT.write_bytes(content[:-9] + b"\x55" * 9)
    elif kind == "text":
        CHECKPOINT.write_text("not a checkpoint")
    elif kind == "empty":
        CHECKPOINT.write_bytes(b"")
    elif kind == "another model":
        ur.save(ur.Linear(2, 3), CHECKPOINT)
    elif kind == "arrays":
        from safetensors.numpy import save_file

        save_file({"W": np.zeros(3, np.float32)}, CHECKPOINT)


@pytest.mark.parametrize(
    "kind", ["missing", "truncated", "corrupted", "text", "empty", "another model", "arrays"]
)
@pytest.mark.parametrize(
    "command", [["generate", str(CHECKPOINT)], ["eval", str(CHECKPOINT)], ["train", "text.txt", "--resume"]]
)
def test_checkpoints(trained, capsys, kind, command):
    damage(kind)
    sentence = refused(capsys, *command)
    assert str(CHECKPOINT) in sentence


def test_prompt_with_unknown_characters(trained, capsys):
    assert "'é', '漢', which the model has never seen" in refused(
        capsys, "generate", str(CHECKPOINT), "--prompt", "caf\u00e9 \u6f22"
    )
    assert "never seen" in refused(capsys, "generate", str(CHECKPOINT), "--prompt", "undecodable \udcff")


def test_eval_of_unfit_texts(trained, capsys):
    Path("one.txt").write_text("x", encoding="utf-8")
    assert "one.txt has 1 character, too short to score" in refused(
        capsys, "eval", str(CHECKPOINT), "one.txt"
    )
    Path("text.txt").write_text(default_text()[:3001], encoding="utf-8")
    assert "another text" in refused(capsys, "eval", str(CHECKPOINT))


def test_resume_with_other_settings_or_text(trained, capsys):
    for option, value in [("--hidden", "9"), ("--lr", "1"), ("--cell", "GRU"), ("--level", "word")]:
        assert f"not {value}" in refused(capsys, "train", "--resume", option, value)
    Path("text.txt").write_text(default_text()[:3001], encoding="utf-8")
    assert "trained on another text than text.txt is now" in refused(capsys, "train", "--resume")
    ur.save(ur.load(CHECKPOINT), CHECKPOINT)  # the model without its training
    assert "not written by `unrolled lm train`" in refused(capsys, "train", "--resume")


@pytest.mark.parametrize("rate", [1e30, 3e37])  # the second one overflows in the sum of the losses
def test_divergence(folder, capsys, monkeypatch, rate):
    from unrolled.cli.train import WarmCosine

    monkeypatch.setattr(WarmCosine, "rate", lambda self, count: rate)
    assert "training has diverged" in refused(capsys, "train", "text.txt", *TINY)


def test_weights_that_are_not_numbers(trained, capsys):
    model = ur.load(CHECKPOINT)
    model.output.W.data[...] = np.nan
    ur.save(model, CHECKPOINT)
    assert "NaN" in refused(capsys, "generate", str(CHECKPOINT), "--length", "3")
