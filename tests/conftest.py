"""Options and fixtures of the whole suite.

Tests marked `peer` compare with another library. They are skipped where it is not installed, unless
`UNROLLED_REQUIRE_PEERS=1` (or `--require-peers`) asks for it: then a skipped peer test is a failure.
"""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

import unrolled as ur
from unrolled.cells import call


def pytest_configure(config: pytest.Config) -> None:
    # A shell starts background jobs with Ctrl-C ignored, and so would the programs be that tests start and interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--require-peers", action="store_true", help="a skipped peer test is a failure")


def peers_required(config: pytest.Config) -> bool:
    return config.getoption("--require-peers") or os.environ.get("UNROLLED_REQUIRE_PEERS", "0") not in (
        "",
        "0",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    if report.skipped and item.get_closest_marker("peer") and peers_required(item.config):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: a peer test was skipped, and UNROLLED_REQUIRE_PEERS is set"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector):
    report = yield
    if report.skipped and peers_required(collector.config):  # importorskip at the top of a file
        report.outcome = "failed"
        report.longrepr = f"{collector.nodeid}: the whole file was skipped, and UNROLLED_REQUIRE_PEERS is set"
    return report


def pytest_report_header() -> list[str]:
    config = ur.build_config()
    available = ", ".join(config["isa_available"])
    return [f"unrolled {config['version']}: ISA {config['isa']} of {available}, {config['threads']} threads"]


@pytest.fixture
def threads():
    """`threads(n)` sets the number of threads for the rest of the test."""
    before = ur.get_num_threads()
    yield ur.set_num_threads
    ur.set_num_threads(before)


@pytest.fixture
def two_threads(threads):
    threads(2)


@pytest.fixture
def native_calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The arguments of every call of a native cell over a sequence, in their order; none goes the quick way."""
    seen: list[Any] = []
    native = call.core.cells_forward

    class Watched:
        cells_backward = call.core.cells_backward

        @staticmethod
        def cells_forward(calls: Any) -> Any:
            seen.extend(calls)
            return native(calls)

    monkeypatch.setattr(call, "core", Watched)
    monkeypatch.setattr(ur.cells.Recurrent, "_warm_up", lambda cell: None)
    monkeypatch.setattr("unrolled.cells.quick.new_recorder", lambda cell: None)
    return seen
