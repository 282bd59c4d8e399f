"""The command line as a whole: help, wrong options, `info`, pipes, and that nothing shows a traceback."""

import os
import re
import subprocess
import sys

import pytest

import unrolled as ur
from unrolled.cli import main


def run(*arguments, **options):
    """The command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "unrolled", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


def help_of(capsys, *command):
    with pytest.raises(SystemExit) as stop:
        main([*command, "-h"])
    assert stop.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    "command", [(), ("lm",), ("info",), ("lm", "train"), ("lm", "generate"), ("lm", "eval")]
)
def test_help(capsys, command):
    text = help_of(capsys, *command)
    assert text.startswith(f"usage: {' '.join(('unrolled', *command))} ")
    assert max(map(len, text.splitlines())) < 125
    if len(command) == 2:
        examples = re.findall(
            r"^  (unrolled lm .*?)(?:   .*)?$", text.partition("examples:")[2], re.MULTILINE
        )
        assert len(examples) >= 2
        for example in examples:
            assert example.startswith(f"unrolled {' '.join(command)}")


@pytest.mark.parametrize("command", [(), ("lm",)])
def test_without_a_command_the_help_is_shown(capsys, command):
    assert main(list(command)) == 0
    assert "lm train" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["lm", "fit"], "invalid choice: 'fit'"),
        (["lm", "train", "--hidden", "0"], "--hidden: '0', expected a whole number, 1 or more"),
        (["lm", "train", "--dropout", "1"], "--dropout: '1', expected a number from 0 to below 1"),
        (["lm", "train", "--lr", "nan"], "--lr: 'nan', expected a number above 0"),
        (["lm", "train", "--cell", "Elman"], "invalid choice: 'Elman'"),
        (["lm", "train", "--seed", "-1"], "--seed: '-1', expected a whole number, 0 or more"),
        (["lm", "generate"], "required: CHECKPOINT"),
        (["lm", "generate", "x", "--temperature", "-1"], "--temperature: '-1'"),
        (["lm", "generate", "x", "--top-p", "2"], "--top-p: '2', expected a number above 0, at most 1"),
        (["--frobnicate"], "unrecognized arguments: --frobnicate"),
    ],
)
def test_wrong_options_are_one_sentence(capsys, arguments, sentence):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def test_info(capsys):
    assert main(["info"]) == 0
    text = capsys.readouterr().out
    config = ur.build_config()
    for fact in (config["version"], config["isa"], config["compiler"], config["eigen"]):
        assert str(fact) in text
    for line in ("unrolled:", "ISA level:", "threads:", "compiler:", "Eigen:", "Python:"):
        assert f"\n{line}" in f"\n{text}"


def test_as_a_module(capsys):
    assert main(["info"]) == 0
    alone = run("info", env={**os.environ, "OMP_NUM_THREADS": str(ur.get_num_threads())})
    assert (alone.stdout, alone.stderr, alone.returncode) == (capsys.readouterr().out, "", 0)
    wrong = run("lm", "generate", "missing.safetensors")
    assert wrong.returncode == 2
    assert (
        wrong.stderr == "unrolled lm generate: cannot read missing.safetensors: No such file or directory\n"
    )
    assert wrong.stdout == ""


def test_memory_and_system_errors_are_sentences(capsys, monkeypatch):
    def no_memory(*args):
        raise MemoryError("Unable to allocate 9 TiB")

    def no_disk(*args):
        raise OSError(28, "No space left on device", "model.safetensors")

    import unrolled.cli.info

    monkeypatch.setattr(unrolled.cli.info, "run", no_memory)
    assert main(["info"]) == 2
    assert "not enough memory" in capsys.readouterr().err
    monkeypatch.setattr(unrolled.cli.info, "run", no_disk)
    assert main(["info"]) == 2
    assert capsys.readouterr().err == "unrolled info: model.safetensors: No space left on device\n"


def test_ctrl_c(capsys, monkeypatch):
    import unrolled.cli.info

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(unrolled.cli.info, "run", interrupted)
    assert main(["info"]) == 130
    assert capsys.readouterr().err == "unrolled info: interrupted\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_full_output():
    with open("/dev/full", "w") as full:
        process = subprocess.run(
            [sys.executable, "-m", "unrolled", "info"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert process.returncode == 2
    assert process.stderr == "unrolled info: No space left on device\n"


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
def test_streams_that_the_shell_closed(tmp_path):
    def closed(streams, *arguments):
        command = [sys.executable, "-W", "ignore::ResourceWarning", "-m", "unrolled", *arguments]
        shell = ["sh", "-c", f'exec "$@" {streams}', "sh", *command]
        return subprocess.run(shell, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)

    silent = closed(">&-", "info")
    assert (silent.returncode, silent.stderr) == (0, "")
    wrong = closed("2>&-", "lm", "generate", "missing.safetensors")
    assert (wrong.returncode, wrong.stdout) == (2, "")  # the sentence is no output


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX pipes")
def test_closed_pipe():
    process = subprocess.Popen(
        [sys.executable, "-m", "unrolled", "info"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 141
    assert error == ""
