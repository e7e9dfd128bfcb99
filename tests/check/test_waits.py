"""Waits are long at first, shorter after failures, and then skipped."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from tests.check.scripted import REF, Answer, answering, examination, refusal, spent, status
from tests.rules.exchanges import exchange
from touchstone.check.budget import IDLE_POLLS, IDLE_S, UNANSWERED_REQUESTS
from touchstone.check.examination import Following
from touchstone.contract.answers import AT_REST
from touchstone.facts.backoff import LEAST_POLL_SHARE
from touchstone.facts.exchange import Exchange
from touchstone.target.call import Call

GIVEN_UP = "could-not-run"
ENDLESS = math.inf


def assert_waits(exam: Any, wait: Callable[[], object], *expected: float | str) -> None:
    """Compares the durations of waits in a row, in seconds, or their verdicts."""
    for number, wanted in enumerate(expected):
        found = spent(exam, wait)
        assert found == (wanted if isinstance(wanted, str) else pytest.approx(wanted, abs=2)), number


def test_wait_is_bounded_and_ends_with_the_build() -> None:
    exam = examination(lambda _: status("building"))
    assert exam.wait(REF).body["status"] == "building"
    assert 60.0 <= exam.transport.now() < 63.0
    assert max(exam.rests) <= 60.0 * LEAST_POLL_SHARE
    assert len(exam.transport.calls) < 200
    exam = examination(answering(status("building"), status("building"), status("failed"), status("ready")))
    assert exam.wait(REF).body["status"] == "failed"
    assert len(exam.transport.calls) == 3


@pytest.mark.parametrize("code", [401, 403, 404])
def test_version_that_cannot_be_read_is_not_polled(code: int) -> None:
    exam = examination(lambda _: (code, {"error": "no"}, {}))
    assert (exam.wait(REF).status, len(exam.transport.calls)) == (code, 1)


def test_wait_for_nothing_ends_soon_and_a_late_build_gets_its_time() -> None:
    exam = examination(lambda _: status("not_built"))
    assert exam.wait(REF).body["status"] == "not_built"
    assert len(exam.transport.calls) > IDLE_POLLS
    assert IDLE_S < exam.transport.at < 2 * IDLE_S
    late = [status("not_built")] * IDLE_POLLS + [status("building")] * 3 + [status("ready")]
    assert examination(answering(*late)).wait(REF).body["status"] == "ready"


@pytest.mark.parametrize("value", [{"state": "ready"}, ["ready"], None, 3, "queued"])
def test_odd_status_is_waited_out_for_a_while(value: Any) -> None:
    exam = examination(lambda _: status("building"))
    odd: Answer = (200, {"status": value}, {})
    parts = ((40.0, status("building")), (45.0, odd), (ENDLESS, status("ready")))
    exam.transport.answer = lambda _: next(answer for until, answer in parts if exam.transport.at < until)
    assert exam.wait(REF).body["status"] == "ready"


@pytest.mark.parametrize(
    ("answer", "act", "expected"),
    [
        (status("building"), lambda exam: exam.wait(REF), [60, 6, 6, GIVEN_UP, GIVEN_UP]),
        (status("building"), lambda exam: exam.wait(REF, AT_REST), [60, 6, 6, GIVEN_UP, GIVEN_UP]),
        (status("BUILDING"), lambda exam: exam.wait(REF), [6, 6, 6, GIVEN_UP, GIVEN_UP]),
        (status("BUILDING"), lambda exam: exam.wait(REF, within_s=600), [10, 10, 10, GIVEN_UP, GIVEN_UP]),
        ((500, {}, {}), lambda exam: exam.wait(REF), [6, 6, 6, GIVEN_UP, GIVEN_UP]),
        (status("building"), lambda exam: exam.settled(REF), [10, 1, 1, GIVEN_UP, GIVEN_UP]),
    ],
    ids=["no-end", "no-rest", "odd-status", "odd-status-of-long-builds", "failure", "no-settling"],
)
def test_failed_wait_is_cut_and_then_skipped(
    answer: Answer, act: Callable[[Any], object], expected: list[float | str]
) -> None:
    exam = examination(lambda _: answer)
    assert_waits(exam, lambda: act(exam), *expected)


def test_cancel_that_never_settles_does_not_shorten_builds() -> None:
    exam = examination(lambda call: (202, {}, {}) if call.operation == "cancelBuild" else status("building"))
    exam.cancel(REF)
    assert_waits(exam, lambda: exam.wait(REF), 10, 1, 1, GIVEN_UP)
    assert_waits(exam, lambda: exam.wait("default/other@1.0.0"), 60)


def test_wait_that_ends_well_is_the_measure_of_the_next_ones() -> None:
    exam = examination(lambda _: status("building"))
    ends_at = 20.0
    exam.transport.answer = lambda _: status("ready" if exam.transport.at >= ends_at else "building")
    assert_waits(exam, lambda: exam.wait(REF), 20)
    ends_at = ENDLESS
    assert_waits(exam, lambda: exam.wait(REF), 60, 40)
    ends_at = exam.transport.at + 20
    assert_waits(exam, lambda: exam.wait(REF), 20)
    ends_at = ENDLESS
    assert_waits(exam, lambda: exam.wait(REF), 43, 43, GIVEN_UP)


def test_cut_wait_lasts_as_long_as_the_steps_of_the_build() -> None:
    exam = examination(lambda _: status("building"))
    template = exam.template("slow", sleep_s=20.0, owner="second")
    exam.register(template)
    assert_waits(exam, lambda: exam.wait(template.ref), 60, 26)
    exam.wait(template.ref, by="restricted")
    assert [exam.transport.calls[number].credential for number in (0, -1)] == ["second", "restricted"]


class OpenLog(Following):
    """A follower of a log that the server never closes."""

    def result(self, grace_s: float) -> Exchange:
        GRACES.append(grace_s)
        return exchange("streamBuildEvents", closed="client")


GRACES: list[float] = []


def follow_at_rest(exam: Any) -> None:
    def send(call: Call, _case: str) -> Exchange:
        GRACES.append(call.stream_s)
        return exchange(call.operation, closed="client")

    exam.transport.send = send
    exam.followed(Call("streamBuildEvents"))


def follow_and_leave(exam: Any) -> None:
    following = OpenLog(True)
    following.until.set()
    exam.closed(following)


@pytest.mark.parametrize(
    ("follow", "expected"),
    [
        (lambda exam: exam.closed(OpenLog(True)), [10.0, 1.0, 1.0, 1.0, 1.0]),
        (follow_at_rest, [10.0, 1.0, 1.0, 1.0, 1.0]),
        (lambda exam: exam.ended(OpenLog(True), REF), [70.0, 7.0, 7.0, 1.0, 1.0]),
        (follow_and_leave, [10.0] * 5),
    ],
    ids=["running", "at-rest", "to-its-end", "left-by-the-follower"],
)
def test_log_that_never_closes_gets_its_time_once(follow: Callable[[Any], object], expected: list[float]) -> None:
    GRACES.clear()
    exam = examination(lambda _: status("building"))
    for _ in range(5):
        follow(exam)
    assert pytest.approx(expected, abs=0.01) == GRACES


def test_log_of_a_cancelled_build_that_does_not_end_gets_less_time() -> None:
    GRACES.clear()
    cancelled = (202, {"status": "cancelling"}, {})
    exam = examination(lambda call: cancelled if call.operation == "cancelBuild" else status("building"))
    exam.cancel(REF)
    for _ in range(3):
        exam.settled(REF)
    exam.ended(OpenLog(True), REF)
    assert pytest.approx([7.0]) == GRACES


# --- a target that is gone --------------------------------------------------------------------------------------------


def test_wait_gives_up_where_nobody_answers_any_more() -> None:
    exam = examination(lambda _: status("building"), answered=3)
    assert exam.wait(REF).error == "ConnectError: refused"
    assert 6.0 < exam.transport.at < 7.0


def test_run_gives_up_where_nobody_answers_any_more() -> None:
    exam = examination(lambda _: status("building"), answered=1)
    for _ in range(2 * UNANSWERED_REQUESTS):
        exam.send(Call("getBuild", REF))
    exam.rest(11.0)
    assert refusal(lambda: exam.send(Call("getBuild", REF))).verdict == GIVEN_UP
    requests = len(exam.transport.calls)
    exam.templates = [exam.template("left")]
    assert not exam.clean_up()
    assert len(exam.transport.calls) == requests + 1


def test_few_slow_failures_are_no_silence() -> None:
    exam = examination(lambda _: status("building"), answered=0)
    for number in range(3 * UNANSWERED_REQUESTS):
        exam.transport.answered = ENDLESS if number % UNANSWERED_REQUESTS == UNANSWERED_REQUESTS - 1 else 0
        exam.send(Call("getBuild", REF))
        exam.rest(30.0)


def test_operation_that_hung_gets_less_time() -> None:
    exam = examination(lambda _: status("building"))

    def send(seconds: float) -> float | str:
        def answer(call: Call) -> Answer:
            limit_s = call.timeout_s or 30.0
            exam.transport.answered = 0 if seconds > limit_s else ENDLESS
            exam.transport.at += min(seconds, limit_s)
            return status("building")

        exam.transport.answer = answer
        return spent(exam, lambda: exam.send(Call("getBuild", REF)))

    assert [send(took_s) for took_s in (ENDLESS, ENDLESS, 3.0, ENDLESS)] == pytest.approx([30, 4, 3, 6], abs=0.1)


def test_spent_time_ends_the_case() -> None:
    exam = examination(lambda _: status("building"))
    exam.budget.until_at = 5.0
    refused = refusal(lambda: exam.wait(REF))
    assert (refused.verdict, "--max-seconds" in refused.reason) == (GIVEN_UP, True)
    assert exam.transport.now() < 8.0
