"""Waits are patient the first time, cut short once they were in vain, and then given up."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.rules.exchanges import exchange
from tests.test_examination import REF, Answer, Scripted, answering, ended_by, examination, told
from touchstone.check.budget import IDLE_POLLS, IDLE_S, UNANSWERED_POLLS, UNANSWERED_S, UNHEARD_REQUESTS
from touchstone.check.examination import Following, Unsuited
from touchstone.contract.lifecycle import AT_REST
from touchstone.facts.exchange import Exchange
from touchstone.target.call import Call


def test_wait_ends_with_the_build() -> None:
    """Polling stops at the first read that says ready or failed."""
    exam = examination(answering(told("building"), told("building"), told("failed"), told("ready")))
    assert exam.wait(REF).body["status"] == "failed"
    assert len(exam.transport.calls) == 3


def test_wait_is_bounded_and_returns_what_it_saw() -> None:
    """A build that never ends is read until its time is up; the last read is returned for the rules to judge."""
    exam = examination(lambda _: told("building"))
    assert exam.wait(REF).body["status"] == "building"
    assert 60.0 <= exam.transport.now() < 63.0
    assert max(exam.rests) <= 1.0
    assert len(exam.transport.calls) < 200


def test_cancelled_build_gets_less_time() -> None:
    """A cancelled build is waited for as long as the target allows for settling."""
    exam = examination(lambda _: told("building"))
    exam.settle(REF)
    assert 10.0 <= exam.transport.now() < 12.0


@pytest.mark.parametrize("status", [401, 403, 404])
def test_wait_for_what_cannot_be_read_ends(status: int) -> None:
    """A version that cannot be read is not polled."""
    exam = examination(lambda _: (status, {"error": "no"}, {}))
    assert exam.wait(REF).status == status
    assert len(exam.transport.calls) == 1


def test_wait_for_a_build_that_is_gone_ends() -> None:
    """A version that keeps saying not_built has nothing on its way."""
    exam = examination(lambda _: told("not_built"))
    assert exam.wait(REF).body["status"] == "not_built"
    assert len(exam.transport.calls) > IDLE_POLLS
    assert IDLE_S < exam.transport.at < 2 * IDLE_S


def waits(exam: Any, wait: Callable[[], object], *expected: float | str) -> None:
    """Asserts how long each of several waits takes, in seconds of its clock, or with what verdict it is refused."""
    for number, seconds in enumerate(expected):
        began = exam.transport.at
        took: float | str
        try:
            wait()
            took = exam.transport.at - began
        except Unsuited as refused:
            took = refused.verdict
        assert took == (seconds if isinstance(seconds, str) else pytest.approx(seconds, abs=2)), number


GIVEN_UP = "could-not-run"


@pytest.mark.parametrize(
    ("answer", "act", "expected"),
    [
        (told("building"), lambda exam: exam.wait(REF), [60, 6, 6, GIVEN_UP, GIVEN_UP]),
        (told("building"), lambda exam: exam.wait(REF, AT_REST), [60, 6, 6, GIVEN_UP, GIVEN_UP]),
        (told("BUILDING"), lambda exam: exam.wait(REF), [6, 6, 6, GIVEN_UP, GIVEN_UP]),
        ((500, {}, {}), lambda exam: exam.wait(REF), [6, 6, 6, GIVEN_UP, GIVEN_UP]),
        (told("building"), lambda exam: exam.settle(REF), [10, 1, 1, GIVEN_UP, GIVEN_UP]),
    ],
    ids=["no-end", "no-rest", "odd-status", "failure", "no-settling"],
)
def test_wait_that_was_in_vain_is_cut_and_then_given_up(
    answer: Answer, act: Callable[[Any], object], expected: list[float | str]
) -> None:
    """Only the first wait for the same thing takes its whole time; a status that is none is a fault at once."""
    exam = examination(lambda _: answer)
    waits(exam, lambda: act(exam), *expected)


def test_cancel_that_never_settles_does_not_shorten_builds() -> None:
    """What is waited for in vain after a cancel says nothing of a build, and the other way round."""
    exam = examination(
        lambda call: (202, {"status": "cancelling"}, {}) if call.operation == "cancelBuild" else told("building")
    )
    exam.cancel(REF)
    waits(exam, lambda: exam.wait(REF), 10, 1, 1, GIVEN_UP)
    waits(exam, lambda: exam.wait("default/other@1.0.0"), 60)


def test_wait_that_ends_well_is_the_measure_of_the_next_ones() -> None:
    """Waits that are cut are twice as long as the slowest that ended; one that ends well puts off the last one."""
    exam = examination(lambda _: told("building"))
    ends_at = 20.0
    exam.transport.answer = lambda _: told("ready" if exam.transport.at >= ends_at else "building")
    waits(exam, lambda: exam.wait(REF), 20)
    ends_at = float("inf")
    waits(exam, lambda: exam.wait(REF), 60, 40)
    ends_at = exam.transport.at + 20
    waits(exam, lambda: exam.wait(REF), 20)
    ends_at = float("inf")
    waits(exam, lambda: exam.wait(REF), 43, 43, GIVEN_UP)


def test_wait_that_is_cut_lasts_as_long_as_the_steps_of_the_build() -> None:
    """A build that sleeps is not given up while it may sleep."""
    exam = examination(lambda _: told("building"))
    template = exam.template("slow", sleep_s=20.0)
    exam.register(template)
    waits(exam, lambda: exam.wait(template.ref), 60, 26)


class Open(Following):
    """Stands in for a follower of a log that the server never closes."""

    def result(self, grace_s: float) -> Exchange:
        LIMITS.append(grace_s)
        return exchange("streamBuildEvents", closed="client")


LIMITS: list[float] = []


def test_log_that_never_closes_is_only_glanced_at() -> None:
    """The end of a log is waited for once as long as it may take; logs of builds at rest are another matter."""
    exam = examination(lambda _: told("building"))
    exam.transport.send = lambda call, _: (
        LIMITS.append(call.stream_s),
        exchange("streamBuildEvents", closed="client"),
    )[1]
    for live, follow in (
        (True, lambda: exam.closed(Open(True))),
        (False, lambda: exam.followed(Call("streamBuildEvents"))),
    ):
        LIMITS.clear()
        for _ in range(5):
            follow()
        assert LIMITS == [10.0, 1.0, 1.0, 1.0, 1.0], live
    assert exam.ended(Open(True), REF)
    assert LIMITS[-1] == 1.0


def test_log_that_somebody_left_was_not_waited_for() -> None:
    """What the follower ended is no fault of the server."""
    exam = examination(lambda _: told("building"))
    LIMITS.clear()
    for _ in range(5):
        following = Open(True)
        following.until.set()
        exam.closed(following)
    assert LIMITS == [10.0] * 5


class Silent(Scripted):
    """Stands in for a server that is gone from some request on."""

    def __init__(self, answer: Callable[[Call], Answer], heard: int) -> None:
        super().__init__(answer)
        self.heard = heard

    def send(self, call: Call, case: str) -> Exchange:
        answered = super().send(call, case)
        gone = len(self.calls) > self.heard
        return replace(answered, response=None, error="ConnectError: refused") if gone else answered


def test_wait_gives_up_where_nobody_answers_any_more() -> None:
    """A server that is gone is not waited for as long as a build may take; a moment without an answer is waited out."""
    exam = examination(lambda _: told("building"))
    exam.transport = Silent(lambda _: told("building"), heard=3)  # type: ignore[assignment]  # as much as is used
    assert exam.wait(REF).error == "ConnectError: refused"
    assert len(exam.transport.calls) > UNANSWERED_POLLS + 3
    assert UNANSWERED_S < exam.transport.at < 3 * UNANSWERED_S


def test_run_gives_up_where_nobody_answers_any_more() -> None:
    """Of a server that is gone no further case asks anything, and the clean-up tries anew; a moment is not enough."""
    exam = examination(lambda _: told("building"))
    exam.transport = Silent(lambda _: told("building"), heard=1)  # type: ignore[assignment]  # as much as is used
    exam.send(Call("getBuild", REF))
    for _ in range(2 * UNHEARD_REQUESTS):
        assert exam.send(Call("getBuild", REF)).response is None
    exam.rest(11.0)
    ended_by(exam, lambda: exam.send(Call("getBuild", REF)), "could-not-run", "nobody answered the last 10 requests")
    asked = len(exam.transport.calls)
    exam.templates = [exam.template("left")]
    assert not exam.clean_up()
    assert len(exam.transport.calls) == asked + 1


def test_few_slow_failures_are_no_silence() -> None:
    """
    Fewer requests than ten that nobody answers, however long each takes, do not end a run; one answer ends the count.
    """
    exam = examination(lambda _: told("building"))
    exam.transport = Silent(lambda _: told("building"), heard=0)  # type: ignore[assignment]  # as much as is used
    for number in range(3 * UNHEARD_REQUESTS):
        exam.transport.heard = 10**9 if number % UNHEARD_REQUESTS == UNHEARD_REQUESTS - 1 else 0
        exam.send(Call("getBuild", REF))
        exam.rest(30.0)


def test_wait_gives_a_build_that_shows_late_its_time() -> None:
    """Reads that say not_built for less than a second are followed by the build that was on its way."""
    late = [told("not_built")] * IDLE_POLLS + [told("building")] * 3 + [told("ready")]
    assert examination(answering(*late)).wait(REF).body["status"] == "ready"


@pytest.mark.parametrize("status", [{"state": "ready"}, ["ready"], None, 3, "queued"])
def test_odd_status_is_waited_out(status: Any) -> None:
    """Whatever kind of value a server shows as status, waiting for another one does not break."""
    exam = examination(answering((200, {"status": status}, {}), told("ready")))
    assert exam.wait(REF).body["status"] == "ready"


def test_spent_time_ends_the_case() -> None:
    """Once the time of the run is over nothing more is sent."""
    exam = examination(lambda _: told("building"))
    exam.budget.until_at = 5.0
    ended_by(exam, lambda: exam.wait(REF), "could-not-run", "--max-seconds")
    assert exam.transport.now() < 8.0
