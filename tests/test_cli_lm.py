"""`unrolled lm`: train, resume, generate, eval, on a text small enough for seconds."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import unrolled as ur
from unrolled.cli import main
from unrolled.data.corpus import default_text
from unrolled.models import LanguageModel

SMALL = ["--hidden", "12", "--embedding", "6", "--batch", "4", "--steps", "20"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    threads = ur.get_num_threads()
    Path("text.txt").write_text(default_text()[:6000], encoding="utf-8")
    yield tmp_path
    ur.set_num_threads(threads)


def train(*arguments, expect=0):
    assert main(["lm", "train", "text.txt", *SMALL, *arguments]) == expect


def content(path="unrolled-lm.safetensors"):
    from unrolled.io.file import read

    arrays, document = read(path)
    for row in [*document["training"]["history"], document["training"]["totals"]]:
        row.pop("seconds")  # the only thing that may differ
    return {name: array.tobytes() for name, array in arrays.items()}, document


def test_train_says_what_it_does_and_what_came_out(folder, capsys):
    train("--epochs", "3")
    text = capsys.readouterr().out
    assert re.search(
        r"text +text.txt, \d+ different characters:\n +5,\d+ to train on, \d+ for validation, \d+ for ",
        text,
    )
    assert re.search(r"model +LSTM, 12 units, embedding 6, dropout 0.5: [\d,]+ parameters", text)
    assert re.search(r"n-gram +interpolated Kneser-Ney of order \d .*: \d\.\d{3} bits per character", text)
    epochs = re.findall(
        r"epoch (\d)/3 .*validation (\d\.\d+) bits per character \(n-gram \d\.\d+\); [\d,]+ char", text
    )
    assert [number for number, _ in epochs] == ["1", "2", "3"]
    assert float(epochs[2][1]) < float(epochs[0][1])
    assert re.search(r"test +\d\.\d+ bits per character \(n-gram \d\.\d+\)", text)
    assert len(text.partition("sample at temperature 0.8:\n\n")[2]) > 400
    assert isinstance(ur.load("unrolled-lm.safetensors"), LanguageModel)


@pytest.mark.parametrize("cell", ["RNN", "GRU", "GRUResetBefore"])
def test_other_cells_layers_and_files(folder, cell):
    train(
        "--cell",
        cell,
        "--layers",
        "2",
        "--dropout",
        "0.2",
        "--epochs",
        "1",
        "--checkpoint",
        "other.safetensors",
    )
    assert type(ur.load("other.safetensors").cells.cells[1]).__name__ == cell
    assert not Path("unrolled-lm.safetensors").exists()


def test_words(folder, capsys):
    train("--level", "word", "--epochs", "2")
    assert re.search(
        r"validation .* bits per word \(perplexity [\d.]+\).*; [\d,]+ words/s", capsys.readouterr().out
    )
    assert main(["lm", "eval", "unrolled-lm.safetensors"]) == 0
    assert "perplexity" in capsys.readouterr().out
    assert main(["lm", "generate", "unrolled-lm.safetensors", "--prompt", "the", "--length", "20"]) == 0
    assert len(capsys.readouterr().out.split()) > 10


@pytest.mark.parametrize(
    "options", [[], ["--cell", "GRU", "--layers", "2", "--dropout", "0.3", "--seed", "5"]]
)
def test_resume_is_bit_for_bit(folder, monkeypatch, options):
    """A run stopped in the middle of an epoch, at its end, and resumed twice, is the run that was never
    stopped.
    """
    train("--epochs", "3", "--checkpoint", "whole.safetensors", *options)
    from unrolled.train import Run

    update, calls = Run.train_batch, []

    def interrupted(self, batch):
        update(self, batch)
        calls.append(1)
        if len(calls) in (7, 8, len(self.data) * 2):
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Run, "train_batch", interrupted)
    train("--epochs", "3", *options, expect=130)
    for status in (130, 130, 0):
        assert main(["lm", "train", "--resume"]) == status
    arrays, document = content()
    whole_arrays, whole_document = content("whole.safetensors")
    assert arrays == whole_arrays
    assert document == whole_document


def test_one_thread_or_two(folder):
    for threads in "12":
        train("--epochs", "1", "--threads", threads, "--checkpoint", f"{threads}.safetensors")
    assert content("1.safetensors") == content("2.safetensors")


def test_resume_with_more_epochs_and_a_plot(folder, capsys):
    train("--epochs", "1")
    train("--epochs", "2", "--resume", "--plot", "curve.png")
    text = capsys.readouterr().out
    assert "resumed, 2 epochs of" in text
    assert "epoch 1/2" not in text
    assert "epoch 2/2" in text
    assert Path("curve.png").read_bytes().startswith(b"\x89PNG")
    train("--epochs", "2", "--resume")  # nothing left to do: the score and a sample


def test_an_earlier_checkpoint_is_kept(folder, capsys):
    Path("unrolled-lm.safetensors").write_bytes(b"precious")
    train("--epochs", "1")
    train("--epochs", "1")
    assert Path("unrolled-lm.1.safetensors").read_bytes() == b"precious"
    assert isinstance(ur.load("unrolled-lm.2.safetensors"), LanguageModel)
    text = capsys.readouterr().out
    for number in "12":
        assert (
            f"kept        the earlier unrolled-lm.safetensors as unrolled-lm.{number}.safetensors\n" in text
        )


def test_generate(folder, capsys):
    train("--epochs", "1")
    capsys.readouterr()

    def generate(*arguments):
        assert main(["lm", "generate", "unrolled-lm.safetensors", *arguments]) == 0
        return capsys.readouterr().out

    first = generate("--prompt", "The ", "--length", "50", "--seed", "3")
    assert first.startswith("The ")
    assert len(first) == len("The ") + 50 + len("\n")
    assert first == generate("--prompt", "The ", "--length", "50", "--seed", "3", "--threads", "1")
    assert first != generate("--prompt", "The ", "--length", "50", "--seed", "4")
    greedy = generate("--length", "30", "--temperature", "0")
    assert (
        greedy == generate("--length", "30", "--top-k", "1") == generate("--length", "30", "--top-p", "1e-9")
    )


def test_eval(folder, capsys):
    train("--epochs", "1")
    trained = capsys.readouterr().out
    assert main(["lm", "eval", "unrolled-lm.safetensors"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"validation {lines[0].split()[1]} " in trained
    assert f"test        {lines[1].split()[1]} " in trained
    Path("other.txt").write_text("größer than 1€\n", encoding="utf-8")
    assert main(["lm", "eval", "unrolled-lm.safetensors", "other.txt"]) == 0
    assert "other.txt: " in (text := capsys.readouterr().out)
    assert "over 14 characters; 3 of them (21.4%) are not in the vocabulary\n" in text


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("the zyzzyva", "over 1 word; it is not in the vocabulary"),
        ("zyzzyva the", "over 1 word"),
        ("the the zyzzyva", "over 2 words; 1 of them (50.0%) is not in the vocabulary"),
        ("zyzzyva zyzzyva zyzzyva", "over 2 words; 2 of them (100.0%) are not in the vocabulary"),
    ],
)
def test_eval_counts_what_it_scores(folder, capsys, text, end):
    vocabulary = ur.WordVocabulary.from_text("the the a a")
    ur.save(LanguageModel(vocabulary, embedding_size=3, hidden_size=3), "words.safetensors")
    Path("short.txt").write_text(text, encoding="utf-8")
    assert main(["lm", "eval", "words.safetensors", "short.txt"]) == 0
    assert capsys.readouterr().out.endswith(f") {end}\n")


def test_ctrl_c_and_a_closed_pipe_in_a_real_process(folder):
    command = [sys.executable, "-m", "unrolled", "lm"]
    process = subprocess.Popen(
        [*command, "train", "text.txt", *SMALL, "--epochs", "100000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if line.startswith("epoch"):
            break
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error.startswith("unrolled lm train: interrupted; unrolled-lm.safetensors is saved")
    assert error.count("\n") == 1
    process = subprocess.Popen(
        [*command, "generate", "unrolled-lm.safetensors", "--length", "10000000"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert len(process.stdout.read(100)) == 100  # comes while it is written
    process.stdout.close()
    assert process.wait(30) == 141  # not when all is written
    assert process.stderr.read() == b""
    process.stderr.close()


def test_history_is_saved(folder):
    train("--epochs", "2")
    history = content()[1]["training"]["history"]
    assert len(history) == 2
    assert all(np.isfinite(list(row.values())).all() for row in history)
