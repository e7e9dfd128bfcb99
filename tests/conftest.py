"""Shared set-up of all tests: loopback network only, Hypothesis storage, order of files."""

import gc
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.browser import Browser, Unsuitable, browser
from tests.command import Command, called

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost", "0.0.0.0", "::", "", None})

# Slow files, the slowest first: if one started last, a worker would be alone with it at the end. This needs
# --no-loadscope-reorder, as xdist would start with the files that have most tests.
LONG = (
    "proof/test_proven.py",
    "check/test_check.py",
    "limiter/test_probe.py",
    "limiter/test_identifications.py",
    "recordings/test_replay.py",
    "recordings/test_record.py",
    "recordings/test_drift.py",
    "report/test_comparison.py",
    "recordings/test_fixtures.py",
    "cli/test_streams.py",
    "check/test_preflight.py",
    "tests/test_kills.py",
    "tests/test_two_runs.py",
    "tests/test_probe_knee.py",
    "tests/test_load_faults.py",
    "loadgen/test_load.py",
)

# The same cases in each run, and no deadline: a gate must not fail by chance.
settings.load_profile("ci")
# Matrices in tests are small: a second thread only takes a processor from other tests.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Off during collection: it creates little garbage, and the searches took more than a second per process.
gc.disable()


def pytest_configure() -> None:
    """Shares the tables of Hypothesis between runs: to compute them takes most of a second."""
    os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(Path(__file__).resolve().parent.parent / ".hypothesis"))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Starts with the slow files; workers take files in the order of their tests."""
    ranks = {name: rank for rank, name in enumerate(LONG)}
    items.sort(key=lambda item: ranks.get("/".join(item.path.parts[-2:]), len(LONG)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Enables garbage collection for objects created from now on."""
    gc.freeze()
    gc.enable()


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in this process; takes a `Shell` and arguments."""
    return lambda shell, *arguments: called(shell, monkeypatch, capsys, *arguments)


@pytest.fixture(autouse=True)
def resolves_loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuses to resolve other names than loopback ones: pytest-socket blocks only connections."""
    resolve = socket.getaddrinfo

    def guarded(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in LOOPBACK:
            raise socket.gaierror(socket.EAI_NONAME, f"a test tried to resolve {name!r}; tests may use loopback only")
        return resolve(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", guarded)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A headless Chromium; tests that need it are skipped without one."""
    try:
        with browser() as running:
            yield running
    except Unsuitable as error:
        pytest.skip(str(error))
