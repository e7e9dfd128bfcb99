"""All pages: simultaneous requests, for one version or several."""

from dataclasses import replace

from situations import SETTLED, cancels, claims, cost, profile, publish_together, start_both, starts_together
from touchstone.check.examination import Examination, Unsuited
from touchstone.check.templates import Template
from touchstone.facts.backoff import FIRST_WAIT_S, retry_after_s

# Number of tries: other cases may have used up the rate limit.
TRIES = 3


@profile("standard")
@cost(builds=1, requests=86)
@claims(
    "start.concurrent-answers-are-documented start.concurrent-share-one-build digest.is-stable http.no-server-error",
    "status.ref-is-the-path status.concurrent-reads-agree template.read-shows-the-published http.answers",
)
def test_simultaneous_requests_share_one_build(exam: Examination) -> None:
    """Simultaneous starts share one build. Meanwhile two accounts read several versions at once, each its own."""
    ready, unbuilt = exam.ready(), exam.published("beside")
    build = started_together(exam, 4)
    log = exam.follow(build)
    exam.read(build).expect(200, status="building")
    templates = [ready, unbuilt, build, *([exam.ready("second")] if exam.target.second_api_key else [])]
    reads = [exam.call(operation, each) for operation in ("getBuild", "getTemplate") for each in templates]
    for _ in range(3):
        for reply in (*exam.together(*reads), *exam.together(*reversed(reads))):
            reply.expect(200)
    exam.wait(build).expect(200, status="ready")
    exam.closed(log).expect(200)
    for reply in (*exam.together(*reads), *exam.together(*[exam.call("getBuild", build)] * 6)):
        reply.expect(200)
    exam.rest(build.sleep_s)
    exam.read(build).expect(200, status="ready")


def started_together(exam: Examination, times: int) -> Template:
    """Starts a new version *times* times at once; returns the version once at least two starts got no 429.

    The build waits before it prints, so that a client can open the log first.

    Raises:
        Unsuited: a limit accepted fewer than two starts in each try.
    """
    for _ in range(TRIES):
        build = exam.short("together", times=3)
        exam.read(build).expect(200, status="not_built")
        replies = starts_together(exam, build, times)
        refused = [reply for reply in replies if reply.expect(202, 200, 409, 429, status="building").status == 429]
        if times - len(refused) > 1:
            return build
        exam.cancel(build).expect(202, 404, status=("cancelling", "idle"))
        exam.settled(build).expect(200, status=SETTLED)
        exam.rest(min(retry_after_s(refused[0].response) or FIRST_WAIT_S, exam.target.patience_s))
    raise Unsuited("indeterminate", f"a limit accepted fewer than two of {times} simultaneous starts")


@cancels
@profile("thorough")
@cost(builds=3, requests=10)
@claims("start.concurrent-answers-are-documented", "status.build-ends")
def test_start_and_cancel_at_once_leave_a_sane_version(exam: Examination) -> None:
    """After a simultaneous start and cancel, the build ends in some status, and the version can be built."""
    build = exam.running("racing")
    cancelled, started = exam.together(exam.call("cancelBuild", build), exam.call("startBuild", build))
    cancelled.expect(202, 404, status=("cancelling", "idle"))
    started.expect(202, 200, 409, 429)
    at_rest = ("ready", "failed", "not_built")
    exam.wait(build, at_rest).expect(200, status=at_rest)
    exam.start(build).expect(202, 200)
    exam.wait(build).expect(200, status="ready")


@cancels
@profile("thorough")
@cost(builds=6, at_once=3, requests=60)
@claims(
    "publish.answers-201 publish.ref-is-the-document template.read-shows-the-published cancel.keeps-neighbours",
    "lookup.existing-version-is-found lookup.deleted-version-is-404",
)
def test_simultaneous_changes_are_each_of_one_version(exam: Examination) -> None:
    """Publishes, starts, cancels and deletes that are sent at once each affect only the version that they name.

    A start may have to wait for another build to end. So the first two builds may end before they are cancelled.
    """
    templates = published_together(exam)
    for build in templates:
        exam.document(build).expect(200)
        exam.read(build).expect(200, status="not_built")
    for reply in start_both(exam, *templates):
        reply.expect(202, status="building")
    for build in templates:
        exam.read(build).expect(200)
    for reply in exam.together(*[exam.call("cancelBuild", build) for build in templates[:2]]):
        reply.expect(202, 404, status=("cancelling", "idle"))
    for build in templates[:2]:
        exam.settled(build).expect(200)
    exam.wait(templates[2]).expect(200, status="ready")
    for reply in start_both(exam, *templates):
        reply.expect(202, 200, status=("building", "ready"))
    for build in templates:
        exam.wait(build).expect(200, status="ready")
    for reply in exam.together(*[exam.call("deleteTemplate", build) for build in templates[1:]]):
        reply.expect(200)
    for build, code in zip(templates, (200, 404, 404), strict=True):
        exam.document(build).expect(code)
        exam.read(build).expect(code)


def published_together(exam: Examination) -> list[Template]:
    """Publishes three versions of one template at the same time; returns them."""
    first = exam.short("beside-others")
    templates = [replace(first, version=f"1.0.{number}") for number in range(1, 4)]
    templates = [replace(template, marker=f"{template.marker}-{template.version}") for template in templates]
    for reply in publish_together(exam, *templates):
        reply.expect(201, 200)
    return templates


@cost(builds=0, requests=20)
@claims(
    "publish.other-content-is-409 publish.republish-identical-is-accepted publish.conflict-keeps-content",
    "template.read-shows-the-published",
)
def test_simultaneous_publishes_leave_one_content(exam: Examination) -> None:
    """If clients publish different content for one version at once, one publish is stored and the other gets a 409.

    If they publish the same content at once, there is no conflict.
    """
    same = exam.template("shared")
    for reply in publish_together(exam, same, same, same):
        reply.expect(201, 200)
    for operation in ("getTemplate", "getBuild"):
        exam.request(operation, same).expect(200)
    for purpose in ("contested", "contested-again"):
        template = exam.template(purpose)
        for reply in publish_together(exam, template, template.revised()):
            reply.expect(201, 200, 409)
        for operation in ("getTemplate", "getBuild", "getTemplate"):
            exam.request(operation, template).expect(200)
