"""All pages, as clients with bad connections use them: a request that breaks off affects nobody else."""

from dataclasses import replace

import pytest

from situations import LARGE, cancels, claims, cost, needs_publishing, profile, strangers
from touchstone.check.examination import Examination, Following
from touchstone.check.templates import Template, publish_call
from touchstone.contract.answers import AT_REST
from touchstone.target.call import Call

FOLLOWERS = 10
REPEAT_S = 0.2  # a client repeats a request without an answer after this time
# Together more than the buffers of a connection hold, so that a server has to wait for a client that does not read.
LONG_LINES = tuple(f"echo {number}-{12_000 * 'a'}" for number in range(20))


def publishing(exam: Examination, template: Template, *, force: bool = False) -> Call:
    """Returns the request that publishes a template, after listing it in the journal."""
    needs_publishing(exam)
    exam.register(template)
    return publish_call(template, wrapped=exam.target.publish == "wrapped", force=force)


@cancels
@profile("thorough")
@cost(builds=6, at_once=1, requests=60)
@claims(
    "start.concurrent-share-one-build events.carry-the-output status.good-template-ends-ready cancel.settles",
    "start.after-cancel-builds-again status.build-does-not-vanish publish.republish-identical-is-accepted",
    "lookup.deleted-version-is-404 lookup.existing-version-is-found",
)
def test_request_whose_answer_was_lost_is_sent_again(exam: Examination) -> None:
    """A start, cancel, publish or delete whose answer was lost is sent again, and has one effect."""
    for part in ("answer", "response"):
        lost, build = exam.template("lost"), exam.template("lost-start", sleep_s=exam.observable_s(4))
        for each in (lost, build):
            exam.send(replace(publishing(exam, each), leaves=part if each is lost else "response"))
            exam.rest(REPEAT_S)
            exam.publish(each).expect(201, 200)
        exam.read(build).expect(200, status="not_built")
        exam.send(replace(exam.call("startBuild", build), leaves=part))
        exam.wait(build, ("building", "ready")).expect(200)
        exam.start(build).expect(202, 200, 409, status=("building", "ready"))
        log = exam.follow(build)
        exam.wait(build).expect(200, status="ready")
        exam.closed(log).expect(200)
        exam.start(build).expect(202, 200, status="ready")
        other = replace(build.revised(), halved=True)
        exam.publish(other, force=True).expect(201, 200)
        exam.start(other).expect(202, status="building")
        exam.read(other).expect(200, status="building")
        exam.send(replace(exam.call("cancelBuild", other), leaves=part))
        exam.wait(other, AT_REST).expect(200)
        exam.cancel(other).expect(404, status="idle")
        exam.start(other).expect(202, 200)
        exam.wait(other).expect(200, status="ready")
        exam.send(replace(exam.call("deleteTemplate", other), leaves="response"))
        exam.delete(other).expect(404)
        exam.read(other).expect(404)


@profile("thorough")
@cost(builds=0, requests=70)
@claims(
    "publish.answers-201 publish.conflict-keeps-content template.read-shows-the-published http.no-server-error",
    "lookup.unknown-name-is-404 lookup.unknown-version-is-404 publish.force-replaces http.stays-fast",
)
def test_half_of_a_document_publishes_nothing(exam: Examination) -> None:
    """A publish that breaks off changes nothing; a document that arrives in two halves is published."""
    first = exam.template("halves")
    for number in range(FOLLOWERS):
        whole = replace(first, version=f"1.0.{number}", extras=LARGE if number % 3 else {})
        exam.send(replace(publishing(exam, whole), leaves="request"))
        exam.document(whole).expect(404)
        for by in strangers(exam, whole):
            exam.request("getBuild", whole, by).expect(401, 404)
        exam.send(replace(publishing(exam, whole), pause_s=0.05 * (number % 3), reuses=True)).expect(201, 200)
        exam.read(whole).expect(200, status="not_built")
        exam.send(replace(publishing(exam, whole.revised(), force=True), leaves="request"))
        exam.document(whole).expect(200)
        exam.read(whole).expect(200, status="not_built")


@profile("thorough")
@cost(builds=1, requests=90)
@claims(
    "template.read-shows-the-published status.ref-is-the-path access.others-version-is-404 http.answers",
    "status.ready-stays-ready events.answers-200 http.stays-fast",
)
def test_responses_that_nobody_reads_to_the_end_leave_nothing_behind(exam: Examination) -> None:
    """After reads whose clients left, the owner and others get complete responses of their own."""
    large, ready = replace(exam.template("large", sleep_s=exam.observable_s()), extras=LARGE), exam.ready()
    exam.publish(large).expect(201, 200)
    exam.start(large).expect(202, status="building")
    for part in ("answer", "response") * FOLLOWERS:
        for operation in ("getTemplate", "getBuild", "streamBuildEvents"):
            exam.send(replace(exam.call(operation, large), leaves=part, stream_s=0.0))
        exam.document(large).expect(200)
        exam.read(ready).expect(200, status="ready")
        for by, code in strangers(exam, large).items():
            exam.request("getTemplate", large, by).expect(code)
    exam.wait(large).expect(200, status="ready")


@profile("thorough")
@cost(builds=4, at_once=2, requests=50)
@claims(
    "events.watchers-agree events.carry-the-output events.open-while-building events.close-at-the-end",
    "events.answers-200 status.good-template-ends-ready status.build-does-not-vanish",
)
@pytest.mark.parametrize("ending", ["left", "slow", "unread"])
def test_other_followers_do_not_change_a_log(exam: Examination, ending: str) -> None:
    """Followers that leave, or that read slowly or not at all, change neither the build nor the logs of others."""
    sleep_s = exam.observable_s(5)
    build = replace(exam.template("followed", sleep_s=sleep_s), halved=True, more_lines=10, then=LONG_LINES)
    beside = exam.running("beside-followed", times=5)
    for template in (build, build.revised()):
        exam.publish(template, force=True).expect(201, 200)
        exam.start(template).expect(202, status="building")
        others = [exam.follow(template, delay_s=0.0 if ending == "left" else sleep_s) for _ in range(FOLLOWERS - 1)]
        log = exam.follow(template)
        exam.read(template).expect(200, status="building")
        leave(exam, others if ending == "left" else [])
        exam.rest(sleep_s / 2)
        leave(exam, others if ending == "unread" else [])
        late = exam.follow(template)
        exam.read(template).expect(200, status="building")
        exam.wait(template).expect(200, status="ready")
        for each in (log, late, *(others if ending == "slow" else ())):
            exam.closed(each).expect(200)
    exam.wait(beside).expect(200, status="ready")
    again = exam.running("after-followed", times=2)
    exam.closed(exam.follow(again)).expect(200)
    exam.wait(again).expect(200, status="ready")


def leave(exam: Examination, followings: list[Following]) -> None:
    """Closes streams from the client's side."""
    for following in followings:
        following.until.set()
        exam.closed(following)
