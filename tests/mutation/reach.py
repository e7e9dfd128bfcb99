"""
Tells which tests reach a line, and how long each of them takes.
"""

import os
import pickle
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import coverage
import pytest


@dataclass(frozen=True, slots=True)
class Reach:
    """
    What one run of all tests over the unchanged sources shows.

    Attributes:
        seconds: CPU seconds of each test, in the order of collection.
        tests: The numbers of the tests that reach a line, by path and line.
        failed: The names of the tests that fail without any change.
    """

    seconds: list[float]
    tests: dict[tuple[str, int], frozenset[int]]
    failed: list[str] = field(default_factory=list)

    def of_lines(self, path: str, first: int, last: int) -> frozenset[int]:
        """
        The tests that reach one of these lines.
        """
        return frozenset().union(*(self.tests.get((path, line), frozenset()) for line in range(first, last + 1)))

    def of_file(self, path: str) -> frozenset[int]:
        """
        The tests that reach any line of a file.
        """
        return frozenset().union(*(tests for (name, _), tests in self.tests.items() if name == path))


# Makes a plugin that tells the names of failing tests.
Hearer = Callable[[Callable[[str], object]], object]


def measured(session: pytest.Session, paths: Iterable[str], hearer: Hearer) -> Reach:
    """
    Runs all tests with coverage in a child, which leaves this process as it was.

    Args:
        session: The collected tests.
        paths: The files that are going to be changed.
        hearer: Makes a plugin that tells of failing tests.
    """
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receiver)
        with os.fdopen(sender, "wb") as out:
            pickle.dump(_run(session, list(paths), hearer), out)
        os._exit(0)
    os.close(sender)
    with os.fdopen(receiver, "rb") as told:
        reach: Reach = pickle.load(told)
    os.waitpid(child, 0)
    return reach


def _run(session: pytest.Session, paths: list[str], hearer: Hearer) -> Reach:
    be_silent()
    failed: list[str] = []
    session.config.pluginmanager.register(hearer(failed.append))
    cover = coverage.Coverage(data_file=None, include=[str(Path(path).resolve()) for path in paths], config_file=False)
    seconds = []
    cover.start()
    for number, (item, after) in enumerate(zip(session.items, [*session.items[1:], None], strict=True)):
        cover.switch_context(str(number))
        began = time.process_time()
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
        seconds.append(time.process_time() - began)
    cover.stop()
    data, tests = cover.get_data(), {}
    for path in paths:
        for line, contexts in data.contexts_by_lineno(str(Path(path).resolve())).items():
            tests[path, line] = frozenset(int(context) for context in contexts if context)
    return Reach(seconds, tests, failed)


def be_silent() -> None:
    """
    Sends what tests print nowhere.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
