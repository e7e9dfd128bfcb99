"""
Runs the tests against mutants, each in a forked copy of a process that has imported and collected everything.
"""

import gc
import os
import resource
import signal
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from types import CodeType, FunctionType

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.reach import Reach, be_silent, measured
from tests.mutation.swap import exchange, functions_of, import_anew, put_data

# CPU seconds that a test may take beyond twenty times what it took unchanged: it ends mutants that loop for ever.
PATIENCE_S = 2.0
# Of the examples that a property asks for; the first ones, since examples are the same in each run.
EXAMPLES_SHARE = 0.1
IMPORT_S = 30.0
MEMORY_BYTES = 6 * 2**30

SURVIVED, KILLED, BROKEN = 0, 1, 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What became of a mutant.

    Attributes:
        killer: The name of the test that noticed it; empty where it survived, could not be imported, or took too much
            time or memory.
    """

    mutant: Mutant
    killed: bool
    killer: str = ""


class Failures:
    """
    A plugin that hears of failing tests.
    """

    def __init__(self, told: Callable[[str], object]) -> None:
        self.told = told

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        # Before a report is made: a traceback in words costs more than most tests.
        if call.excinfo and not call.excinfo.errisinstance(pytest.skip.Exception):
            self.told(item.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.told(report.nodeid)


@dataclass
class Trial:
    """
    A plugin that runs the collected tests once as they are, and then against every mutant.

    Attributes:
        arguments: What pytest was started with.
        jobs: How many mutants are examined at a time.
        told: Called with each outcome.
    """

    root: Path
    paths: Sequence[Path]
    arguments: list[str]
    jobs: int
    told: Callable[[Outcome], None]
    items: Sequence[pytest.Item] = ()
    reach: Reach = field(default_factory=lambda: Reach([], {}))
    _kills: defaultdict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    _running: dict[int, tuple[Mutant, int]] = field(default_factory=dict)

    def pytest_configure(self) -> None:
        # One failing example is enough: nobody asks here which one is the smallest. Examples are the same in each run,
        # so that a mutant that survives today does so tomorrow.
        kept = (Phase.explicit, Phase.generate)
        settings.register_profile("mutation", phases=kept, suppress_health_check=list(HealthCheck), derandomize=True)
        settings.load_profile("mutation")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise session.Interrupted("tests cannot be collected")
        self.items = session.items
        for item in self.items:
            _try_less(item)
        self.reach = measured(session, [path.relative_to(self.root).as_posix() for path in self.paths], Failures)
        if self.reach.failed:
            raise pytest.UsageError(f"tests fail without any change: {', '.join(self.reach.failed)}")
        alive = {path: functions_of(_module(path.relative_to(self.root))) for path in self.paths}
        gc.freeze()  # a child that never looks at what is here shares it with its parent
        for path in self.paths:
            self._examine_file(path, alive[path])
        while self._running:
            self._wait()
        return True

    def _examine_file(self, path: Path, functions: dict[str, list[FunctionType]]) -> None:
        module, original = _module(path.relative_to(self.root)), compile(path.read_text("utf-8"), str(path), "exec")
        for mutant in mutants_of(path, self.root):
            while len(self._running) >= self.jobs:
                self._wait()
            receiver, sender = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(receiver)
                _Examination(self, mutant, module, sender).run(functions, original)
            os.close(sender)
            self._running[child] = mutant, receiver

    def _wait(self) -> None:
        child, status = os.wait()
        mutant, receiver = self._running.pop(child)
        with os.fdopen(receiver, "r") as said:
            text = said.read()
        if os.waitstatus_to_exitcode(status) == BROKEN:
            raise RuntimeError(f"the trial of a mutant failed, which says nothing about it: {mutant.name}: {text}")
        # Only a child that says so has run all tests; one that loops, or takes all memory, ends by a signal.
        survived = os.waitstatus_to_exitcode(status) == SURVIVED
        killer = int(text or -1)
        if not survived and killer >= 0:
            self._kills[mutant.path][killer] += 1
            self._kills[f"{mutant.path} {mutant.place}"][killer] += 2
        self.told(Outcome(mutant, not survived, self.items[killer].nodeid if killer >= 0 else ""))

    def order(self, mutant: Mutant, tests: Iterator[int] | frozenset[int]) -> list[int]:
        """
        The tests in the order in which to try them: those that killed neighbours first, then the short ones.
        """
        here, file = self._kills[f"{mutant.path} {mutant.place}"], self._kills[mutant.path]
        known = self.reach.of_file(mutant.path)
        return sorted(tests, key=lambda n: (-here[n], -file[n], n not in known, self.reach.seconds[n]))


def _try_less(item: pytest.Item) -> None:
    """
    Cuts the examples of a property to a share: a mutant that survives costs as much as all tests that reach it.
    """
    function = getattr(item, "obj", None)
    asked = getattr(function, "_hypothesis_internal_use_settings", None)
    if asked:
        fewer = settings(asked, max_examples=max(1, round(asked.max_examples * EXAMPLES_SHARE)))
        function._hypothesis_internal_use_settings = fewer


def _module(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


class _Examination:
    """
    What a child does; it never returns.
    """

    def __init__(self, trial: Trial, mutant: Mutant, module: str, sender: int) -> None:
        self.trial, self.mutant, self.module, self.sender = trial, mutant, module, sender

    def run(self, functions: dict[str, list[FunctionType]], original: CodeType) -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        be_silent()
        gc.disable()
        try:
            self._examine(functions, original)
        except MemoryError:
            os._exit(KILLED)
        except BaseException as error:  # noqa: BLE001 - tests catch what a mutant does, so this is no mutant's doing
            os.write(self.sender, repr(error).encode())
            os._exit(BROKEN)
        os._exit(SURVIVED)

    def _examine(self, functions: dict[str, list[FunctionType]], original: CodeType) -> None:
        changed = compile(self.mutant.source, str(self.trial.root / self.mutant.path), "exec")
        if original == changed:
            return
        reach = self.trial.reach
        if exchange(functions, original, changed):
            self._run_collected(reach.of_lines(self.mutant.path, *self.mutant.lines))
            return
        try:
            put = put_data(self.module, changed)
        except Exception:  # noqa: BLE001 - whatever it is, the changed data did it
            os._exit(KILLED)
        if put:
            self._run_collected(reach.of_file(self.mutant.path))
        self._run_anew()

    def _run_collected(self, reached: frozenset[int]) -> None:
        trial = self.trial
        order = trial.order(self.mutant, reached)
        for number, after in zip_longest(order, order[1:]):
            item = trial.items[number]
            signal.setitimer(signal.ITIMER_PROF, PATIENCE_S + 20 * trial.reach.seconds[number])
            item.config.pluginmanager.register(plugin := Failures(lambda _, n=number: self._killed(n)))
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None if after is None else trial.items[after])
            item.config.pluginmanager.unregister(plugin)

    def _run_anew(self) -> None:
        trial = self.trial
        numbers = {item.nodeid: number for number, item in enumerate(trial.items)}
        order = {number: place for place, number in enumerate(trial.order(self.mutant, frozenset(numbers.values())))}
        signal.setitimer(signal.ITIMER_PROF, IMPORT_S + 20 * sum(trial.reach.seconds))

        class Sorted:
            def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
                items.sort(key=lambda item: order[numbers[item.nodeid]])
                for item in items:
                    _try_less(item)

        try:
            import_anew(self.module, str(trial.root / self.mutant.path), self.mutant.source)
        except Exception:  # noqa: BLE001 - it cannot be imported
            os._exit(KILLED)
        failures = Failures(lambda name: self._killed(numbers.get(name, -1)))
        if pytest.main(trial.arguments, plugins=[Sorted(), failures]) != pytest.ExitCode.OK:
            os._exit(KILLED)

    def _killed(self, number: int) -> None:
        if number >= 0:
            os.write(self.sender, str(number).encode())
        os._exit(KILLED)
