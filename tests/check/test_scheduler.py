"""Cases run side by side as far as stages, threads and room for builds allow."""

import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

import pytest

from touchstone.check.budget import Flow
from touchstone.check.cases import Declared, Job, Pace, Scheduler, duration_s

SOON_S = 10.0


class Cases:
    """Cases that run until they are told to end."""

    def __init__(self, room: int) -> None:
        self.scheduler = Scheduler(Flow(room))
        self.jobs: dict[str, Job] = {}
        self._begun = defaultdict[str, threading.Event](threading.Event)
        self._may_end = defaultdict[str, threading.Event](threading.Event)

    def add(self, *cases: Declared) -> None:
        for case in cases:
            self.jobs[case.id] = Job(case, lambda name=case.id: self._run(name))  # type: ignore[misc]
        self.scheduler.add(self.jobs[case.id] for case in cases)

    def _run(self, name: str) -> None:
        self._begun[name].set()
        assert self._may_end[name].wait(SOON_S)

    def end(self, *names: str) -> None:
        for name in names:
            self._may_end[name].set()
            self.jobs[name].result.result(SOON_S)

    def await_begun(self, *names: str) -> None:
        assert [name for name in names if not self._begun[name].wait(SOON_S)] == []

    def running(self) -> set[str]:
        return {name for name, job in self.jobs.items() if self._begun[name].is_set() and not job.result.done()}

    def end_all(self) -> None:
        for event in self._may_end.values():
            event.set()
        self.scheduler.stop()


@pytest.fixture
def cases() -> Iterator[Cases]:
    made = Cases(3)
    yield made
    made.end_all()


def case(name: str, at_once: int = 0, file: str = "test_events.py", **more: bool) -> Declared:
    return Declared(name, file, at_once=at_once, **more)


def test_builds_of_all_cases_fit_the_room_and_others_run_beside(cases: Cases) -> None:
    cases.add(case("two", 2), case("too-many", 2), case("wide", 5), case("one", 1), case("reads"))
    cases.await_begun("two", "one", "reads")
    assert cases.running() == {"two", "one", "reads"}
    cases.end("two")
    cases.await_begun("too-many")
    assert "wide" not in cases.running()
    cases.end("one", "too-many")
    cases.await_begun("wide")  # it needs more than there is room for


def test_stage_begins_when_the_stage_before_has_ended(cases: Cases) -> None:
    cases.add(case("general", file="test_lifecycle.py"), case("plain"), case("cancels", cancels=True))
    for name in ("general", "plain", "cancels"):
        cases.await_begun(name)
        assert cases.running() == {name}
        cases.end(name)


def test_generated_cases_run_one_at_a_time(cases: Cases) -> None:
    cases.add(*(case(name, file="test_generated.py") for name in ("first", "second")))
    cases.await_begun("first")
    assert cases.running() == {"first"}
    cases.end("first")
    cases.await_begun("second")


def test_refused_start_shows_the_room_until_more_builds_are_accepted() -> None:
    flow = Flow(8)
    for ref in ("a", "b"):
        flow.began(ref)
    flow.refused(1.0)
    assert flow.room == 2
    flow.ended("a")
    flow.refused(1.0)
    assert (flow.room, flow.moves, flow.wait_s) == (1, 3, 1.0)
    flow.began("c")
    assert (flow.room, flow.wait_s) == (8, 0.0)  # the refusal had another reason
    assert flow.may_end(within_s=60.0)
    flow.ended("b")
    flow.ended("c")
    assert not flow.may_end(within_s=60.0)


def test_estimate_follows_the_schedule() -> None:
    pace = Pace(100.0, 1.0, "")
    build = Declared("", "", builds=1, at_once=1, lengths=1, requests=10)
    builds = [build, build, build, replace(build, cancels=True)]
    assert duration_s(builds, pace, room=2) == pytest.approx(110 * 3)
    assert duration_s(builds, pace, room=3) == pytest.approx(110 * 2)
    assert duration_s([Declared("", "", requests=10, is_alone=True)] * 3, pace, room=8) == pytest.approx(30)
