"""The examination waits patiently and never without end, spends no more than it may, and leaves nothing behind."""

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.rules.exchanges import build, exchange
from touchstone.check.budget import Budget
from touchstone.check.examination import READY_TRIES, Examination, Following, Unsuited
from touchstone.check.templates import Template
from touchstone.config import TargetSettings, Templates
from touchstone.facts.exchange import Exchange
from touchstone.target.call import Call

TARGET = TargetSettings("t", "http://127.0.0.1:9/api", "sk_live_x", build_timeout_s=60.0, cancel_timeout_s=10.0)
REF = "default/demo@1.0.0"

Answer = tuple[int, Any, dict[str, str]]
BUSY: Answer = (429, {"error": "slow down"}, {})


class Scripted:
    """Stands in for a transport: answers by a function, on a clock that only rests and requests move."""

    def __init__(self, answer: Callable[[Call], Answer]) -> None:
        self.answer = answer
        self.calls: list[Call] = []
        self.at = 0.0

    def now(self) -> float:
        return self.at

    def send(self, call: Call, case: str) -> Exchange:
        self.calls.append(call)
        self.at += 0.001
        status, body, headers = self.answer(call)
        return exchange(
            *(call.operation, status),
            json=body,
            headers=headers,
            ref=call.ref,
            credential=call.credential,
            case=case,
            sent_at=self.at,
            done_at=self.at,
        )


class Kept:
    """Keeps what an examination tells about templates, in order with what it sent."""

    def __init__(self, calls: list[Call]) -> None:
        self.calls = calls
        self.told: list[tuple[str, str, int]] = []

    def intend(self, template: Template) -> None:
        self.told.append(("intend", template.ref, len(self.calls)))

    def write(self, template: Template, action: str, digest: str = "") -> None:
        self.told.append((f"{action} {digest}", template.ref, len(self.calls)))

    def removed(self, template: Template, *, gone: bool, sure: bool = True) -> None:
        self.told.append(("gone" if gone else "left", template.ref, len(self.calls)))


class Rested(Examination):
    """Rests by moving the clock."""

    rests: list[float]

    def rest(self, seconds: float) -> None:
        self.rests.append(seconds)
        self.transport.at += seconds  # type: ignore[attr-defined]  # it is Scripted


def examination(answer: Callable[[Call], Answer], builds: int = 40, **target: Any) -> Any:
    """An examination of a target that answers by a function."""
    transport: Any = Scripted(answer)
    exam = Rested(transport, replace(TARGET, **target), "r1", Kept(transport.calls), Budget(builds))
    exam.rests = []
    return exam


def answering(*answers: Answer) -> Callable[[Call], Answer]:
    """Gives one answer after the other, the last one for ever."""
    left: Iterator[Answer] = iter(answers[:-1])
    return lambda _: next(left, answers[-1])


def told(status: str, **more: Any) -> Answer:
    """A status as a build object."""
    return 200, build(status, REF, **more), {}


def ended_by(exam: Any, act: Callable[[], object], verdict: str, reason: str) -> None:
    """Asserts that a case ends with *verdict* for *reason*."""
    with pytest.raises(Unsuited, match=re.escape(reason)) as end:
        act()
    assert end.value.verdict == verdict


# --- patience ----------------------------------------------------------------------------------------------------


def test_refusals_are_waited_out_by_doubling() -> None:
    """Without Retry-After the wait is 1 s and doubles, as the documentation advises."""
    exam = examination(answering(BUSY, BUSY, BUSY, (202, build("building", REF), {})))
    assert exam.start(REF).status == 202
    assert exam.rests == [1.0, 2.0, 4.0]


def test_refusals_are_waited_out_as_long_as_they_say() -> None:
    """Retry-After, where it is readable, sets the wait; where it is not, doubling goes on."""
    busy = [(429, {}, {"Retry-After": value}) for value in ("3", "soon", "0")]
    exam = examination(answering(*busy, told("ready")))
    assert exam.read(REF).status == 200
    assert exam.rests == [3.0, 2.0, 4.0]


def test_patience_ends() -> None:
    """A refusal that outlasts the target's patience leaves the case indeterminate, neither passed nor failed."""
    exam = examination(lambda _: BUSY, patience_s=20.0)
    ended_by(exam, lambda: exam.start(REF), "indeterminate", "still refused with 429 after 15 s of patience")
    assert sum(exam.rests) <= 20.0


def test_patience_that_was_in_vain_is_shorter_next_time() -> None:
    """
    A target that never has room does not cost its whole patience again and again; one wait that pays off restores it.
    """
    exam = examination(lambda _: BUSY, patience_s=20.0)
    ended_by(exam, lambda: exam.start(REF), "indeterminate", "still refused with 429 after 15 s of patience")
    ended_by(exam, lambda: exam.start(REF), "indeterminate", "still refused with 429 after 1 s of patience")
    ended_by(exam, lambda: exam.read(REF), "indeterminate", "still refused with 429 after 15 s of patience")
    for seconds in (1, 0, 0):
        ended_by(exam, lambda: exam.start(REF), "indeterminate", f"429 after {seconds} s of patience")
    exam.transport.answer = answering((202, {}, {}), BUSY, (202, {}, {}), BUSY, BUSY, BUSY, (202, {}, {}))
    assert [exam.start(REF).status for _ in range(3)] == [202, 202, 202]


def test_wait_beyond_patience_is_not_begun() -> None:
    """A server that asks for more time than there is patience is left at once."""
    exam = examination(lambda _: (429, {}, {"Retry-After": "86400"}))
    ended_by(exam, lambda: exam.start(REF), "indeterminate", "still refused with 429 after 0 s")
    assert exam.rests == []


# --- budget ------------------------------------------------------------------------------------------------------


def test_spent_budget_sends_no_start() -> None:
    """With no build left, a start that could begin one is not sent."""
    exam = examination(lambda _: told("building"), builds=0)
    ended_by(exam, lambda: exam.start(REF), "could-not-run", "--max-builds")
    ended_by(exam, lambda: exam.publish(exam.template("x"), auto_build=True), "could-not-run", "--max-builds")
    assert exam.transport.calls == []


# --- templates ---------------------------------------------------------------------------------------------------


def test_template_names_are_the_run_s_own() -> None:
    """Names hold the run id, fit the contract's pattern, and are never given twice."""
    exam = examination(lambda _: told("ready"))
    names = [
        exam.template(purpose).name for purpose in ("a", "a", "a-much-longer-purpose-than-anybody-would-use-x", "b")
    ]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"touchstone-r1-[a-z0-9]+(-[a-z0-9]+)*", name) and len(name) <= 64 for name in names)


def test_journal_comes_before_the_publish() -> None:
    """A template is intended before the request that may create it, and confirmed with its digest after it."""
    exam = examination(lambda _: (201, {"digest": "d1"}, {}))
    template = exam.published("x")
    assert exam.ledger.told == [("intend", template.ref, 0), ("published d1", template.ref, 1)]


def test_publish_that_fails_ends_the_case() -> None:
    """Without its template a case cannot run, and the reason holds what the server said."""
    exam = examination(lambda _: (500, {"error": "disk full"}, {}))
    ended_by(
        exam,
        lambda: exam.published("x"),
        "could-not-run",
        "default/touchstone-r1-x@1.0.0 failed: 500 {'error': 'disk full'}",
    )


def test_target_without_publishing_is_not_published_to() -> None:
    """Where publishing is switched off, nothing is published and the advice names the setting."""
    exam = examination(lambda _: told("ready"), publish="never")
    ended_by(exam, lambda: exam.published("x"), "not-applicable", 'set publish = "raw"')
    ended_by(exam, exam.ready, "not-applicable", "name a template in templates = {buildable}")
    assert (exam.transport.calls, exam.ledger.told) == ([], [])


def test_given_template_serves_as_the_ready_one() -> None:
    """Where publishing is switched off, a template that the user named is built and shared, and never deleted."""
    exam = examination(lambda _: told("ready"), publish="never", templates=Templates(buildable=("team/mine@2.0.0",)))
    assert exam.ready().ref == "team/mine@2.0.0"
    assert exam.unknown() == "team/mine@9.9.9"
    assert exam.clean_up()
    assert "deleteTemplate" not in {call.operation for call in exam.transport.calls}


def test_given_template_that_is_gone_is_told_by_its_answer() -> None:
    """Where no read shows a status, the reason says what the read was answered with."""
    exam = examination(
        lambda _: (404, {"error": "no"}, {}), publish="never", templates=Templates(buildable=("team/mine@2.0.0",))
    )
    reason = "the end of the build of team/mine@2.0.0 was not seen: its status is answered with 404"
    ended_by(exam, exam.ready, "could-not-run", reason)


def test_ready_version_is_built_once() -> None:
    """Cases share one ready version of each account."""
    exam = examination(
        lambda call: (201, {"digest": "d"}, {}) if call.operation == "publishTemplate" else told("ready")
    )
    assert exam.ready() == exam.ready()
    assert exam.ready("second").owner == "second"
    starts = [call.credential for call in exam.transport.calls if call.operation == "startBuild"]
    assert starts == ["primary", "second"]


def test_ready_version_that_fails_is_no_ready_version() -> None:
    """Where even the plainest template does not build, cases that need it say so."""
    exam = examination(lambda call: (201, {}, {}) if call.operation == "publishTemplate" else told("failed"))
    ended_by(exam, exam.ready, "could-not-run", "touchstone-r1-ready-primary@1.0.0 ended 'failed'")


def test_ready_version_that_always_fails_is_not_tried_in_every_case() -> None:
    """After a few tries nothing more is published and built for it; another account's has tries of its own."""
    exam = examination(lambda call: (201, {}, {}) if call.operation == "publishTemplate" else told("failed"))
    for _ in range(READY_TRIES):
        ended_by(exam, exam.ready, "could-not-run", "ended 'failed'")
    sent = len(exam.transport.calls)
    ended_by(exam, exam.ready, "could-not-run", "of 3 builds to share none ended ready")
    assert len(exam.transport.calls) == sent
    ended_by(exam, lambda: exam.ready("second"), "could-not-run", "touchstone-r1-ready-second@1.0.0 ended 'failed'")


def test_sleeps_grow_with_latency_and_stretch() -> None:
    """
    A build that is to be seen running outlasts the requests that look at it, on a slow target and at a second try.
    """
    exam = examination(lambda _: (201, {}, {}))
    usual = exam.short("a").sleep_s
    exam.latency_s = 0.15
    slow = exam.short("a").sleep_s
    exam.stretch = 4.0
    assert usual < slow
    assert exam.short("a").sleep_s == pytest.approx(4 * slow)
    exam.stretch, exam.latency_s = 1.0, 0.0
    assert exam.short("a", times=3).sleep_s == pytest.approx(3 * usual)


def test_longer_build_stays_within_the_time_that_one_may_take() -> None:
    """However slow the target, half of build_timeout_s is left for what comes before and after the steps."""
    exam = examination(lambda _: (201, {}, {}), build_timeout_s=2.0)
    exam.latency_s = 0.15
    assert exam.short("a", times=3).sleep_s == 1.0


# --- leaving nothing behind --------------------------------------------------------------------------------------


def test_quieten_cancels_what_runs_with_its_owner_s_key() -> None:
    """Builds that a case left running are cancelled by the account that has them, finished ones are not."""
    exam = examination(lambda call: (201, {}, {}) if call.operation == "publishTemplate" else told("building"))
    theirs, done = exam.published("theirs", owner="second"), exam.published("done")
    exam.start(theirs.ref, "second")
    exam.start(done.ref)
    exam.transport.answer = lambda _: told("ready")
    exam.read(done.ref)
    exam.transport.calls.clear()
    exam.quieten()
    assert [(c.operation, c.ref, c.credential) for c in exam.transport.calls] == [("cancelBuild", theirs.ref, "second")]
    exam.quieten()
    assert len(exam.transport.calls) == 1


def test_clean_up_removes_all_and_tells_what_is_left() -> None:
    """Each template is deleted once, the last one first; one that cannot be deleted is told and the others go on."""
    exam = examination(lambda _: (201, {}, {}))
    first, second, third = (exam.published(name) for name in ("a", "b", "c"))
    exam.budget.until_at = 0.0
    exam.transport.answer = lambda call: (500, {}, {}) if call.ref == second.ref else (200, {"deleted": True}, {})
    exam.transport.calls.clear()
    exam.ledger.told.clear()
    assert not exam.clean_up()
    assert [call.ref for call in exam.transport.calls] == [third.ref, second.ref, first.ref]
    assert [(what, ref) for what, ref, _ in exam.ledger.told] == [
        ("gone", third.ref),
        ("left", second.ref),
        ("gone", first.ref),
    ]


def test_clean_up_outlives_a_limit() -> None:
    """A target that refuses for ever does not keep the clean-up for ever; the template counts as left."""
    exam = examination(lambda _: (201, {}, {}), patience_s=5.0)
    exam.published("a")
    exam.transport.answer = lambda _: BUSY
    assert not exam.clean_up()
    assert exam.ledger.told[-1][0] == "left"


def test_refused_template_is_forgotten() -> None:
    """What the target refused to make is taken off the journal and not deleted."""
    exam = examination(lambda _: (422, {}, {}))
    template = exam.template("a")
    exam.register(template)
    exam.forget(template)
    exam.transport.calls.clear()
    assert exam.clean_up()
    assert (exam.transport.calls, exam.ledger.told[-1][0]) == ([], "gone")


# --- at the same time --------------------------------------------------------------------------------------------


def test_calls_go_out_together() -> None:
    """Simultaneous calls are all on their way before the first is answered, and answered in their order."""
    exam = examination(lambda _: told("ready"))
    barrier = threading.Barrier(4)

    def answer(call: Call) -> Answer:
        barrier.wait(20)
        return 200, {"ref": call.ref}, {}

    exam.transport.answer = answer
    refs = [f"default/demo@1.0.{number}" for number in range(4)]
    done = exam.together(*[Call("getBuild", ref) for ref in refs])
    assert [one.body["ref"] for one in done] == refs


def test_follower_is_left_after_its_grace() -> None:
    """A log that stays open is left after the grace, and the exchange says what came."""
    exam = examination(lambda _: told("ready"), cancel_timeout_s=0.05)

    def answer(call: Call) -> Answer:
        assert call.opened
        assert call.until
        call.opened.set()
        assert call.until.wait(20)
        return 200, {}, {}

    exam.transport.answer = answer
    following = exam.follow(REF)
    assert isinstance(following, Following)
    assert exam.closed(following).status == 200
    assert following.until.is_set()


def test_quieten_lets_followers_go() -> None:
    """A log that a case forgot is left before the next case."""
    exam = examination(lambda _: told("ready"))
    left: list[bool] = []

    def answer(call: Call) -> Answer:
        assert call.opened
        assert call.until
        call.opened.set()
        left.append(call.until.wait(20))
        return 200, {}, {}

    exam.transport.answer = answer
    exam.follow(REF)
    exam.quieten()
    assert left == [True]
