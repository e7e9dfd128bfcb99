"""The examination retries within bounds, shares versions, and cleans up."""

import re
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from tests.check.scripted import BUSY, REF, Answer, answering, examination, publishing_and, refusal, status
from touchstone.check.budget import SILENT_REMOVALS
from touchstone.check.examination import READY_TRIES, Publications
from touchstone.check.templates import Template, publish_call
from touchstone.config import Templates
from touchstone.target.call import Call

STARTED: Answer = (202, {"status": "building"}, {})


# --- patience with 429 ------------------------------------------------------------------------------------------------


def retry_after(value: str) -> Answer:
    return 429, {}, {"Retry-After": value}


@pytest.mark.parametrize(
    ("refusals", "rests"),
    [([BUSY] * 3, [1.0, 2.0, 4.0]), ([retry_after("3"), retry_after("soon"), retry_after("0")], [3.0, 2.0, 4.0])],
    ids=["doubling", "retry-after"],
)
def test_refusals_are_waited_out(refusals: list[Answer], rests: list[float]) -> None:
    exam = examination(answering(*refusals, STARTED))
    assert exam.start(REF).status == 202
    assert exam.rests == rests


def test_patience_shrinks_after_failed_waits_and_recovers() -> None:
    exam = examination(lambda _: BUSY, patience_s=20.0)
    waits = []
    for act in (exam.start, exam.start, exam.read, exam.start, exam.start, exam.start):
        exam.rests.clear()
        assert refusal(partial(act, REF)).verdict == "indeterminate"
        waits.append(sum(exam.rests))
    assert waits == [15.0, 1.0, 15.0, 1.0, 0.0, 0.0]
    exam.transport.answer = answering(STARTED, BUSY, STARTED, BUSY, BUSY, BUSY, STARTED)
    assert [exam.start(REF).status for _ in range(3)] == [202, 202, 202]
    exam = examination(lambda _: retry_after("86400"))
    assert (refusal(lambda: exam.start(REF)).verdict, exam.rests) == ("indeterminate", [])


# --- what is not sent -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        Call("publishTemplate", "default/a@1.0.0"),
        Call(method="POST", path="/templates?force=true"),
        Call(method="post", path="//templates/"),
        Call(method="POST", path="/x/../Templates"),
        Call(method="PUT", path="/%74emplates"),
    ],
    ids=lambda call: call.path or call.operation,
)
def test_publish_never_sends_no_spelling_of_a_publish(call: Call) -> None:
    exam = examination(lambda _: status("ready"), publish="never")
    for act in (lambda: exam.send(call), lambda: exam.published("x"), exam.ready, lambda: exam.ready("second")):
        assert refusal(act).verdict == "not-applicable"
    assert (exam.transport.calls, exam.ledger.rows) == ([], [])
    exam.send(Call(method="POST", path="/templates/default/a/1.0.0/build"))
    assert len(exam.transport.calls) == 1


# --- templates --------------------------------------------------------------------------------------------------------


def test_template_names_are_unique_and_hold_the_run_id() -> None:
    exam = examination(lambda _: status("ready"))
    names = [exam.template(purpose).name for purpose in ("a", "a", "a-purpose" * 8, "b")]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"touchstone-r1-[a-z0-9]+(-[a-z0-9]+)*", name) and len(name) <= 64 for name in names)


def test_journal_comes_before_the_publish_and_a_failed_one_ends_the_case() -> None:
    exam = examination(lambda _: (201, {"digest": "d1"}, {}))
    template = exam.published("x")
    assert exam.ledger.rows == [("intend", template.ref, 0), ("published d1", template.ref, 1)]
    refused = refusal(lambda: examination(lambda _: (500, {"error": "disk full"}, {})).published("x"))
    assert (refused.verdict, "500 {'error': 'disk full'}" in refused.reason) == ("could-not-run", True)


def test_given_template_is_used_and_never_deleted() -> None:
    given = Templates(buildable=("team/mine@2.0.0",))
    exam = examination(lambda _: status("ready"), publish="never", templates=given)
    assert (exam.ready().ref, exam.unknown()) == ("team/mine@2.0.0", "team/mine@9.9.9")
    assert exam.clean_up()
    assert "deleteTemplate" not in {call.operation for call in exam.transport.calls}
    exam = examination(lambda _: (404, {"error": "no"}, {}), publish="never", templates=given)
    refused = refusal(exam.ready)
    assert (refused.verdict, "404" in refused.reason) == ("could-not-run", True)


def test_ready_version_is_built_once_an_account() -> None:
    exam = examination(publishing_and(status("ready")))
    ready = exam.ready()
    assert exam.ready() == ready
    assert exam.ready("second").owner == "second"
    starts = [call.credential for call in exam.transport.calls if call.operation == "startBuild"]
    assert starts == ["primary", "second"]
    unknown = {exam.unknown("version"), exam.unknown("name"), exam.unknown("namespace")}
    assert (len(unknown), ready.ref in unknown) == (3, False)
    assert exam.unknown("namespace").endswith(f"/{ready.name}@{ready.version}")


def test_ready_version_that_fails_is_tried_a_few_times() -> None:
    exam = examination(publishing_and(status("failed")))
    for _ in range(READY_TRIES):
        refused = refusal(exam.ready)
        assert (refused.verdict, "'failed'" in refused.reason) == ("could-not-run", True)
    requests = len(exam.transport.calls)
    assert refusal(exam.ready).verdict == "could-not-run"
    assert len(exam.transport.calls) == requests
    refusal(lambda: exam.ready("second"))
    assert len(exam.transport.calls) > requests


def test_sleeps_grow_with_latency_and_stretch_within_the_timeout() -> None:
    exam = examination(lambda _: (201, {}, {}))
    usual, long = exam.short("a").sleep_s, exam.long("a").sleep_s
    exam.latency_s = 0.15
    slow = exam.short("a").sleep_s
    exam.stretch = 4.0
    assert usual < slow
    assert usual < long
    assert exam.short("a").sleep_s == pytest.approx(4 * slow)
    exam.stretch, exam.latency_s = 1.0, 0.0
    assert exam.short("a", times=3).sleep_s == pytest.approx(3 * usual)
    exam = examination(lambda _: (201, {}, {}), build_timeout_s=2.0)
    exam.latency_s = 0.15
    assert exam.short("a", times=3).sleep_s == 1.0


# --- leaving nothing behind -------------------------------------------------------------------------------------------


def test_quieten_cancels_running_builds_with_their_owners_key() -> None:
    exam = examination(publishing_and(status("building")))
    theirs, done = exam.published("theirs", owner="second"), exam.published("done")
    exam.start(theirs.ref, "second")
    exam.start(done.ref)
    exam.transport.answer = lambda _: status("ready")
    exam.read(done.ref)
    exam.transport.calls.clear()
    exam.quieten()
    exam.quieten()
    assert [(c.operation, c.ref, c.credential) for c in exam.transport.calls] == [("cancelBuild", theirs.ref, "second")]
    exam.transport.answer = lambda call: (202, {}, {}) if call.operation == "cancelBuild" else status("building")
    exam.start(done.ref)
    exam.cancel(done.ref)
    exam._silent = SILENT_REMOVALS  # the clean-up of the case before got no response
    exam.quieten()
    assert [call.operation for call in exam.transport.calls][-2:] == ["cancelBuild", "cancelBuild"]


def test_clean_up_deletes_in_reverse_and_reports_what_stays() -> None:
    exam = examination(lambda _: (201, {}, {}))
    first, second, third = (exam.published(name) for name in ("a", "b", "c"))
    exam.budget.until_at = 0.0
    exam.transport.answer = lambda call: (500, {}, {}) if call.ref == second.ref else (200, {"deleted": True}, {})
    exam.transport.calls.clear()
    exam.ledger.rows.clear()
    assert not exam.clean_up()
    assert [call.ref for call in exam.transport.calls] == [third.ref, second.ref, first.ref]
    deeds = [(deed, ref) for deed, ref, _ in exam.ledger.rows]
    assert deeds == [("gone", third.ref), ("left", second.ref), ("gone", first.ref)]


def test_clean_up_ends_where_a_limit_lasts_or_nobody_answers() -> None:
    exam = examination(lambda _: (201, {}, {}), patience_s=5.0)
    for number in range(SILENT_REMOVALS + 3):
        exam.published(f"t{number}")
    exam.transport.answer = lambda _: BUSY
    assert not exam.clean_up()
    assert exam.ledger.rows[-1][0] == "left"
    exam.transport.answered = 0
    exam.transport.calls.clear()
    assert not exam.clean_up()
    assert len(exam.transport.calls) == SILENT_REMOVALS


def test_case_of_a_stopped_run_sends_nothing_even_during_the_clean_up() -> None:
    exam = examination(lambda _: (201, {}, {}))
    case = exam.for_case("late")
    exam.published("a")
    exam.stop()
    assert exam.clean_up() is False
    assert [call.operation for call in exam.transport.calls][-1] == "deleteTemplate"
    case.beside(lambda: case.start(REF))
    with pytest.raises(KeyboardInterrupt):
        case.join()


# --- at the same time -------------------------------------------------------------------------------------------------


def test_calls_go_out_together_and_are_answered_in_order() -> None:
    exam = examination(lambda _: status("ready"))
    barrier = threading.Barrier(4)

    def answer(call: Call) -> Answer:
        barrier.wait(20)
        return 200, {"ref": call.ref}, {}

    exam.transport.answer = answer
    refs = [f"default/demo@1.0.{number}" for number in range(4)]
    assert [one.body["ref"] for one in exam.together(*[Call("getBuild", ref) for ref in refs])] == refs


@pytest.mark.parametrize(
    "leave",
    [lambda exam, following: exam.closed(following), lambda exam, _: exam.quieten()],
    ids=["grace-is-over", "next-case"],
)
def test_follower_is_left(leave: Callable[[Any, Any], object]) -> None:
    exam = examination(lambda _: status("ready"), cancel_timeout_s=0.05)
    left: list[bool] = []

    def answer(call: Call) -> Answer:
        assert call.opened
        assert call.until
        call.opened.set()
        left.append(call.until.wait(20))
        return 200, {}, {}

    exam.transport.answer = answer
    leave(exam, exam.follow(REF))
    assert left == [True]


# --- versions that may be left ----------------------------------------------------------------------------------------


SENT = Template("x", "1.0.0", 0.0, False, "")
CALL = publish_call(SENT, wrapped=False)


def left_after(exam: Any) -> list[str]:
    """Versions that a clean-up could not remove."""
    exam.ledger.rows.clear()
    clean = exam.clean_up()
    left = [deed for deed, _, _ in exam.ledger.rows if deed != "gone"]
    assert clean == (not left)
    return left


def answers(publish: int, delete: int) -> Callable[[Call], Answer]:
    return lambda call: (publish if call.operation == "publishTemplate" else delete, {}, {})


@pytest.mark.parametrize("owner", ["primary", "second"])
@pytest.mark.parametrize(
    ("code", "left"),
    [(code, []) for code in (400, 401, 403, 413, 422, 429)]
    + [(code, ["may be left"]) for code in (408, 409, 500, 502)],
)
def test_version_is_left_unless_its_publish_was_refused(code: int, left: list[str], owner: str) -> None:
    exam = examination(answers(code, 401), patience_s=0.5)
    refusal(lambda: exam.published("x", owner=owner))
    assert left_after(exam) == left


def test_later_refusal_does_not_undo_a_publish() -> None:
    exam = examination(answers(201, 500))
    template = exam.published("x")
    exam.transport.answer = answers(401, 500)
    exam.publish(template)
    assert left_after(exam) == ["left"]


def test_unanswered_publish_may_be_done_and_an_unsent_one_is_not() -> None:
    exam = examination(lambda _: status("ready"), answered=0)
    refusal(lambda: exam.published("x"))
    exam.budget.until_at = -1.0
    refusal(lambda: exam.published("x"))
    assert left_after(exam) == ["may be left"]


def test_publish_that_was_cut_off_may_be_done() -> None:
    publications = Publications()
    publications.send(CALL, examination(answers(401, 401)).send)
    taken = replace(SENT, name="UPPER CASE")
    publications.taken_for(taken, SENT)
    assert [publications.standing(template) for template in (SENT, taken)] == ["absent", "absent"]

    def cut_off(_call: Call) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publications.send(CALL, cut_off)
    assert [publications.standing(template) for template in (SENT, replace(SENT, name="y"))] == ["unsure", "unsure"]
