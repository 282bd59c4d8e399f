"""README tells the truth: its example prints what it says, its commands exist, its table has every cell."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import unrolled as ur
from unrolled.cli.options import build_parser

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
DECIMAL = re.compile(r"\d+\.\d+")


EXAMPLES = [n for n, (language, _) in enumerate(BLOCKS) if language == "python" and not BLOCKS[n + 1][0]]


@pytest.mark.parametrize("place", EXAMPLES)
def test_an_example_prints_what_the_block_after_it_says(place, tmp_path):
    (tmp_path / "example.py").write_text(BLOCKS[place][1], encoding="utf-8")
    process = subprocess.run(
        [sys.executable, "-W", "error", "example.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert process.stderr == ""
    printed, promised = process.stdout, BLOCKS[place + 1][1]
    assert DECIMAL.sub("#", printed) == DECIMAL.sub("#", promised)
    for here, there in zip(DECIMAL.findall(printed), DECIMAL.findall(promised), strict=True):
        # A quarter, because ISA levels add in different orders and 300 updates enlarge that; and the rounding.
        last_digit = 0.1 ** len(there.partition(".")[2])
        assert float(here) == pytest.approx(float(there), rel=0.25, abs=1.01 * last_digit)
    if "ur.save" in BLOCKS[place][1]:
        assert (tmp_path / "sum.safetensors").stat().st_size > 4 * (
            4 * 32 * (1 + 32)
        )  # W_ih, W_hh in float32


def test_there_are_examples():
    assert len(EXAMPLES) == 2


def test_the_commands_exist():
    lines = [line for language, block in BLOCKS if language == "sh" for line in block.splitlines()]
    calls = [shlex.split(part, comments=True) for line in lines for part in line.split("&&")]
    ours = [call[1:] for call in calls if call[:1] == ["unrolled"]]
    assert len(ours) >= 4
    for arguments in ours:
        build_parser().parse_args(arguments)  # ends the process if an option is unknown


def test_the_table_has_every_cell():
    table = README.read_text(encoding="utf-8").partition("## Cells")[2].partition("\n## ")[0]
    named = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    public = [name for name in ur.__all__ if isinstance(getattr(ur, name), type)]
    cells = [name for name in public if issubclass(getattr(ur, name), ur.Recurrent) and name != "Recurrent"]
    assert sorted(named) == sorted(cells)
