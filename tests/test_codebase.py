"""Rules of the code base that no linter knows: every cell is complete, and each layer keeps to its own."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import unrolled as ur
from cases import CASES, VARIANTS
from unrolled._native import core

SOURCE = Path(__file__).parent.parent
CPP = SOURCE / "src" / "cpp"
README = (SOURCE / "README.md").read_text()
CELLS = [
    value
    for name in ur.__all__
    if isinstance(value := getattr(ur, name), type)
    and issubclass(value, ur.Recurrent)
    and value is not ur.Recurrent
]


def code_of(path: Path) -> str:
    """A C++ file without its comments."""
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)


def cpp_files(*folders: str) -> list[Path]:
    found = [
        path for folder in folders for path in (CPP / folder).rglob("*") if path.suffix in (".h", ".cpp")
    ]
    assert found
    return found


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.__name__)
def test_every_cell_is_complete(cell: type):
    rows = [case for case in CASES if case.cell == cell.__name__]
    assert rows, f"{cell.__name__} has no row in tests/cases.py"
    assert f"| `{cell.__name__}` |" in README, f"{cell.__name__} is not in README's table of cells"
    text = cell.__doc__ or ""
    assert "h[t] = " in text, "the docstring has the equations"
    assert re.search(r"Sources?: ", text), "the docstring names the source"
    for argument in ("input_size:", "hidden_size:", "bias:", "dtype:", "rng:"):
        assert argument in text
    for case in rows:
        kernel = case.make(3, 4)._kernel
        assert kernel in core.cell_names()
        assert any(f'"{kernel}"' in path.read_text() for path in cpp_files("cells")), (
            f"no C++ file names {kernel}"
        )


def test_every_native_cell_is_tested():
    assert {case.make(3, 4)._kernel for case in CASES + VARIANTS} == set(core.cell_names())
    assert {case.cell for case in CASES} == {cell.__name__ for cell in CELLS}


def test_engine_and_bindings_name_no_cell():
    words = re.compile(r"\b(lstm|gru|elman|rnn)\w*\b", re.IGNORECASE)
    for path in cpp_files("engine", "bindings", "gemm", "core"):
        if path.name != "registry.cpp":
            assert words.findall(code_of(path)) == [], path


def test_only_one_file_names_eigen_internals_and_one_names_openmp():
    for path in cpp_files(""):
        code = code_of(path)
        assert "Eigen::internal" not in code or path.name == "packet.h", path
        assert not re.search(r"\bomp_|#pragma omp|<omp\.h>", code) or path.name == "threads.cpp", path


def test_public_headers_stand_alone():
    for path in cpp_files("include"):
        included = re.findall(r'#include\s+[<"]([^>"]+)[>"]', code_of(path))
        for name in included:
            standard = "/" not in name and not name.endswith(".h")
            assert standard or name.startswith("unrolled/"), f"{path.name} includes {name}"


def test_files_keep_to_their_size():
    # The guide sizes of 400, 250 and 300 lines, with a tenth of slack.
    python, tests = SOURCE / "src" / "python", SOURCE / "tests"
    limits = [(CPP, ".cpp", 440), (CPP, ".h", 440), (python, ".py", 275), (tests, ".py", 330)]
    for folder, suffix, limit in limits:
        for path in folder.rglob(f"*{suffix}"):
            lines = len(path.read_text().splitlines())
            assert lines <= limit, f"{path.relative_to(SOURCE)} has {lines} lines: split it by concept"


def test_functions_keep_to_their_size():
    # The guide size of 50 lines, for what a function does: long signatures and docstrings are explanations.
    for path in (SOURCE / "src" / "python").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and (
                body := node.body[ast.get_docstring(node) is not None :]
            ):
                lines = body[-1].end_lineno - body[0].lineno + 1
                assert lines <= 50, f"{node.name} in {path.relative_to(SOURCE)} has {lines} lines: split it"
