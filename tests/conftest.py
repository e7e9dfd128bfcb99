"""What all tests of the harness share: a network that ends at this machine, and what Hypothesis keeps."""

import gc
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.command import Command, called

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost", "0.0.0.0", "::", "", None})

# Files that take long, the longest first: begun last, one of them would have the last minute to itself. It needs
# --no-loadscope-reorder, as xdist would begin with the files that have most tests.
LONG = (
    "limiter/test_identify.py",
    "check/test_check.py",
    "tests/test_kills.py",
    "tests/test_two_runs.py",
    "tests/test_load_faults.py",
    "tests/test_probe_knee.py",
    "limiter/test_rate_inference.py",
    "twin/test_variants.py",
    "report/test_in_browser.py",
    "report/test_load_text.py",
    "limiter/test_belief.py",
)

# The same cases in each run, and no bound on how long one takes: a gate must not turn red by chance.
settings.load_profile("ci")
# Matrices of tests are small: a second thread only waits for the first one, and takes a processor from other tests.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Until all tests are collected: there is no garbage worth a search, and each process searched for more than a second.
gc.disable()


def pytest_configure() -> None:
    """
    Lets Hypothesis keep its tables in one place: each check that a test runs would compute them for most of a second.
    """
    os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(Path(__file__).resolve().parent.parent / ".hypothesis"))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begins with the files that take long; those that share the work take files in the order of their tests."""
    ranks = {name: rank for rank, name in enumerate(LONG)}
    items.sort(key=lambda item: ranks.get("/".join(item.path.parts[-2:]), len(LONG)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Lets the search for garbage begin, and leave out what is there by now."""
    gc.freeze()
    gc.enable()


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Calls the command line in this process; given a `Shell` and arguments."""
    return lambda shell, *arguments: called(shell, monkeypatch, capsys, *arguments)


@pytest.fixture(autouse=True)
def no_name_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuses to resolve any name but loopback ones: pytest-socket stops connections, which come after the lookup."""
    resolve = socket.getaddrinfo

    def guarded(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in LOOPBACK:
            raise socket.gaierror(socket.EAI_NONAME, f"a test tried to look up {name!r}; tests stay on this machine")
        return resolve(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", guarded)
