"""What the installed package promises: size, import time, versions, ISA levels, types, no extras."""

from __future__ import annotations

import ast
import contextlib
import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

import unrolled as ur
from unrolled import _native

PACKAGE = Path(ur.__file__).parent
SOURCE = Path(__file__).parent.parent
EXTRAS = ["tqdm", "matplotlib", "sklearn", "onnx", "onnxruntime", "torch", "jax", "mpi4py", "PIL", "pandas"]


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs `code` in a fresh interpreter that finds the same package."""
    paths = [str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **environment}
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)


def output_of(code: str, **environment: str) -> str:
    result = run_python(code, **environment)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def compiled_modules() -> list[Path]:
    names = [f"unrolled._core_{level}" for level in _native.available_levels()] + ["unrolled._isa"]
    specs = [importlib.util.find_spec(name) for name in names]
    return [Path(spec.origin) for spec in specs if spec is not None and spec.origin is not None]


def test_import_takes_at_most_60_ms_over_numpy(tmp_path: Path):
    # Processor time: a clock on the wall would measure what else the machine does. An installed package has its byte
    # code, this one perhaps not.
    code = "import numpy; from time import process_time as t; a = t(); import unrolled; print(t() - a)"
    compiled = {"PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}
    output_of(code, **compiled)
    seconds = [float(output_of(code, **compiled)) for _ in range(7)]
    # The budget is 60 ms. Caches are shared with that other work, which costs half as much again.
    assert min(seconds) <= 0.060 * 1.5, seconds


def test_import_brings_in_no_extra():
    loaded = output_of("import sys, unrolled; print(*sys.modules)").split()
    assert "unrolled" in loaded
    assert [name for name in EXTRAS if name in loaded] == []


def test_names_imported_at_first_use():
    tree = ast.parse(Path(ur.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))  # if TYPE_CHECKING: ...
    typed = [alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(typed) == sorted(ur._LAZY)
    assert set(ur._LAZY) <= set(ur.__all__)
    assert dir(ur) == sorted(ur.__all__)
    for name in ur.__all__:
        getattr(ur, name)
    with pytest.raises(AttributeError, match="module 'unrolled' has no attribute 'LSTN'"):
        _ = ur.LSTN
    loaded = output_of("import sys, unrolled; print(*sys.modules)").split()
    assert not {f"unrolled.{module}" for module in ur._FIRST_USE} & set(loaded)


def test_load_knows_the_classes_that_are_imported_at_first_use():
    code = "from unrolled.registry import registered; print(registered('LanguageModel').__module__)"
    assert output_of(code) == "unrolled.models.language_model"


def test_import_prints_nothing_and_starts_no_thread():
    assert output_of("import threading, unrolled; assert threading.active_count() == 1") == ""
    if Path("/proc/self/task").is_dir():
        # NumPy's BLAS starts threads of its own unless told not to.
        one = {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        assert output_of("import os, unrolled; print(len(os.listdir('/proc/self/task')))", **one) == "1"


def test_wheel_is_at_most_5_mb():
    files = {path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    files |= set(compiled_modules())
    size = sum(len(zlib.compress(path.read_bytes())) for path in files)
    assert size <= 5e6
    wheel = os.environ.get("UNROLLED_WHEEL")  # what .ci/run has built
    assert wheel is None or Path(wheel).stat().st_size <= 5e6


def test_versions_agree():
    assert ur.__version__ == ur.build_config()["version"]
    lists = SOURCE / "CMakeLists.txt"
    assert re.findall(r"project\(unrolled VERSION ([0-9.]+)", lists.read_text()) == [ur.__version__]
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # a developer build is not installed
        assert importlib.metadata.version("unrolled") == ur.__version__


def test_build_config_is_complete():
    config = ur.build_config()
    assert config["isa"] in config["isa_available"]
    assert config["isa"] == _native.core.__isa__
    assert config["threads"] == ur.get_num_threads() >= 1
    assert re.fullmatch(r"3\.[4-9]\.\d+", config["eigen"])
    assert "-ffp-contract=off" in config["flags"]
    assert "fast-math" not in config["flags"]
    assert config["compiler"]
    assert config["float32_lanes"] == 2 * config["float64_lanes"]


def test_every_available_level_can_be_chosen():
    code = "import unrolled as ur; print(ur.build_config()['isa'])"
    levels = ur.build_config()["isa_available"]
    assert [output_of(code, UNROLLED_ISA=level) for level in levels] == levels
    assert output_of(code, UNROLLED_ISA="") == levels[0]


@pytest.mark.parametrize("level", ["v9", "avx2", "../x"])
def test_unknown_level_is_a_clear_error(level: str):
    result = run_python("import unrolled", UNROLLED_ISA=level)
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith(
        f"ImportError: UNROLLED_ISA={level}: unknown ISA level, expected one of native, v4"
    )


def test_level_that_is_not_installed_is_a_clear_error():
    levels = ["native", "v4", "generic"]
    missing = [level for level in levels if importlib.util.find_spec(f"unrolled._core_{level}") is None]
    result = run_python("import unrolled", UNROLLED_ISA=missing[0])
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith(f"ImportError: UNROLLED_ISA={missing[0]}: this installation has only ")


@pytest.mark.parametrize(
    ("processor", "installed", "wanted", "expected"),
    [
        (4, ["v4", "v3", "v2"], "", "v4"),
        (3, ["v4", "v3", "v2"], "", "v3"),
        (2, ["v4", "v3", "v2"], "", "v2"),
        (4, ["v4", "v3", "v2"], "v2", "v2"),
        (4, ["native"], "", "native"),
        (0, ["generic"], "", "generic"),
        (2, ["v4", "v3", "v2"], "v3", "this processor is x86-64-v2 and cannot run v3"),
        (1, ["v4", "v3", "v2"], "", "this processor is x86-64-v1, the installed kernels need at least v2"),
        (4, [], "", "the compiled kernels are missing"),
    ],
)
def test_choice_of_level(
    monkeypatch: pytest.MonkeyPatch, processor: int, installed: list[str], wanted, expected
):
    monkeypatch.setattr(_native, "processor_level", lambda: processor)
    monkeypatch.setattr(_native, "_installed", lambda: installed)
    if " " not in expected:
        assert _native._choose(wanted) == expected
    else:
        with pytest.raises(ImportError, match=expected):
            _native._choose(wanted)


@pytest.mark.skipif(not Path("/proc/cpuinfo").is_file(), reason="no /proc/cpuinfo")
def test_processor_level_agrees_with_the_kernel():
    flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    if flags is None:
        assert _native.processor_level() == 0
        return
    have = set(flags[1].split())
    needs = [
        {"cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"},
        {"abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"},
        {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
    ]
    level = 1
    while level <= len(needs) and needs[level - 1] <= have:
        level += 1
    assert _native.processor_level() == level


def test_types_are_shipped_and_the_stub_matches_the_native_module():
    assert (PACKAGE / "py.typed").is_file()
    tree = ast.parse((PACKAGE / "_core.pyi").read_text())
    named = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    public = {name for name in dir(_native.core) if not name.startswith("_")}
    assert named == public


def test_number_of_threads(threads):
    threads(3)
    assert ur.get_num_threads() == 3
    threads(np.int64(2))
    assert ur.get_num_threads() == 2
    with pytest.raises(ValueError, match="count is 0, expected at least 1"):
        ur.set_num_threads(0)
    with pytest.raises(TypeError, match="count has type float, expected an integer"):
        ur.set_num_threads(2.0)
    assert ur.get_num_threads() == 2


@pytest.mark.parametrize(("value", "expected"), [("1", 1), ("nonsense", None), ("0", None)])
def test_default_threads_follow_the_environment(value: str, expected: int | None):
    code = "import unrolled as ur; print(ur.get_num_threads())"
    without = int(output_of(code, OMP_NUM_THREADS=""))
    assert int(output_of(code, OMP_NUM_THREADS=value)) == (expected or without)
    assert without <= len(os.sched_getaffinity(0))
