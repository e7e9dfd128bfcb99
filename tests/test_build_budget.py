"""No run begins more builds than it may, whatever the target says of them; they are counted where they begin."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.rules.exchanges import build
from tests.test_examination import BUSY, REF, Answer, answering, examination, told
from touchstone.check.examination import Examination, Unsuited
from touchstone.check.templates import Template
from touchstone.target.call import Call


class Builds:
    """
    A server that counts the builds it begins, and may misbehave: it answers a start by *starts*, which may begin one.
    """

    def __init__(self, starts: Callable[["Builds", str], Answer], *, publishes: bool = False) -> None:
        self.begun: list[str] = []
        self.states: dict[str, str] = {}
        self._starts = starts
        self._publishes = publishes
        self._lock = threading.Lock()

    def begin(self, ref: str) -> None:
        self.begun.append(ref)
        self.states[ref] = "building"

    def __call__(self, call: Call) -> Answer:
        with self._lock:
            return self._answer(call)

    def _answer(self, call: Call) -> Answer:
        ref = call.ref or ""
        match call.operation:
            case "startBuild":
                return self._starts(self, ref)
            case "cancelBuild":
                idle = self.states.get(ref) != "building"
                self.states[ref] = "not_built" if not idle else self.states.get(ref, "not_built")
                return (404, {"status": "idle"}, {}) if idle else (202, {"status": "cancelling"}, {})
            case "publishTemplate" if self._publishes or "auto_build" in call.query:
                self.begin(ref)
        if call.operation == "publishTemplate":
            more = {"auto_build": "building"} if "auto_build" in call.query else {}
            return 201, {"ref": ref, "digest": ref} | more, {}
        return 200, {"ref": ref, "digest": ref, "status": self.states.get(ref, "not_built")}, {}


def joins(server: Builds, ref: str) -> Answer:
    """A start as it should be."""
    if server.states.get(ref) != "building":
        server.begin(ref)
    return 202, {"ref": ref, "digest": ref, "status": "building"}, {}


def begins_and(*answer: Any) -> Callable[[Builds, str], Answer]:
    """A start that begins a build each time, and answers otherwise."""

    def start(server: Builds, ref: str) -> Answer:
        server.begin(ref)
        return answer

    return start


SERVERS: dict[str, Callable[[], Builds]] = {
    "correct": lambda: Builds(joins),
    "429": lambda: Builds(begins_and(429, {"error": "slow down"}, {})),
    "500": lambda: Builds(begins_and(500, {"error": "oops"}, {})),
    "202-empty": lambda: Builds(begins_and(202, {}, {})),
    "publishing": lambda: Builds(joins, publishes=True),
    "never-shared": lambda: Builds(begins_and(202, {"status": "building"}, {})),
}


def doing(exam: Examination) -> Iterator[Callable[[], object]]:
    """What may begin a build, in every way that there is."""
    for number in range(12):
        template = exam.template(f"t{number}", sleep_s=0.0)
        start = Call("startBuild", template.ref)
        yield lambda: exam.publish(template, auto_build=number % 4 == 3)  # noqa: B023 - called at once
        yield lambda: exam.send(start)  # noqa: B023
        yield lambda: exam.together(start, start, start)  # noqa: B023
        yield lambda: exam.send(Call(method="post", path=f"/templates/default/x{number}/1.0.0/build/"))  # noqa: B023
        yield lambda: exam.cancel(template.ref)  # noqa: B023
        yield lambda: exam.send(start)  # noqa: B023


@pytest.mark.parametrize("builds", [1, 3, 10])
@pytest.mark.parametrize("server", SERVERS)
def test_no_more_builds_begin_than_may(server: str, builds: int) -> None:
    """Counted where they begin: a build is reserved before it can, and what a server says of it is not enough."""
    served = SERVERS[server]()
    exam = examination(served, builds)
    for act in doing(exam):
        with contextlib.suppress(Unsuited):
            act()
    assert 0 < len(served.begun) <= builds


LASTING = Template("demo", "1.0.0", 60.0, False, "")


def test_certain_joins_and_goldens_cost_nothing() -> None:
    """A start joins for certain while the steps of an acknowledged build run; a golden that is reused is no build."""
    exam = examination(answering(told("building"), told("building"), told("ready"), told("ready", reused=True)))
    exam.register(LASTING)
    exam.start(REF)
    exam.start(REF)
    assert exam.budget.builds == 39
    exam.read(REF)
    exam.start(REF)
    assert exam.budget.builds == 39


@pytest.mark.parametrize("between", ["nothing", "cancelBuild", "deleteTemplate"])
def test_join_is_certain_while_nothing_may_have_ended_the_build(between: str) -> None:
    """A build may have ended that was cancelled, whose version was deleted, or whose steps may be over."""
    template = LASTING if between != "nothing" else replace(LASTING, sleep_s=0.0)
    exam = examination(lambda call: (202, build("building", REF), {}))
    exam.register(template)
    exam.start(REF)
    if between != "nothing":
        exam.send(Call(between, REF))
    exam.start(REF)
    assert exam.budget.builds == 38


@pytest.mark.parametrize(("then", "left"), [("not_built", 40), ("building", 39), ("failed", 39), ("cancelled", 39)])
def test_refused_start_is_given_back_once_a_read_shows_that_it_began_nothing(then: str, left: int) -> None:
    """A 429 alone shows nothing, nor does a version that reads not_built after a cancel."""
    answers = {"startBuild": BUSY, "cancelBuild": (202, {"status": "cancelling"}, {})}
    status = "not_built" if then == "cancelled" else then
    exam = examination(lambda call: answers.get(call.operation, told(status)))
    exam.send(Call("startBuild", REF))
    assert exam.budget.builds == 39
    if then == "cancelled":
        exam.send(Call("cancelBuild", REF))
    exam.read(REF)
    assert exam.budget.builds == left


def test_refusals_of_a_correct_server_do_not_use_the_budget_up() -> None:
    """Starts that a limit refuses are given back when builds are needed, by reads that nobody had asked for."""
    served = Builds(lambda server, ref: BUSY if ref == REF else joins(server, ref))
    exam = examination(served, builds=3)
    for _ in range(10):
        exam.send(Call("startBuild", REF))
    for name in ("a", "b", "c"):
        exam.send(Call("startBuild", f"default/{name}@1.0.0"))
    assert len(served.begun) == 3
