"""Starts of a running build, and simultaneous requests for one version and for several."""

from dataclasses import replace

from situations import cancels, claims, cost, profile, publish_together, start_both, starts_together
from touchstone.check.examination import Examination, Unsuited
from touchstone.check.templates import Template
from touchstone.facts.backoff import FIRST_WAIT_S, retry_after_s

# Number of tries: other cases may have used up the rate limit.
TRIES = 3


@cost(builds=1, requests=8)
@claims("start.while-building-is-harmless", "reuse.only-when-reused", "publish.ref-is-the-document")
def test_start_of_a_running_build_changes_nothing(exam: Examination) -> None:
    """A start during a build gets a documented response, and the build completes."""
    template = exam.short("joined", times=3)
    exam.start(template.ref)
    exam.read(template.ref)
    exam.rest(template.sleep_s / 2)
    exam.start(template.ref)
    exam.wait(template.ref)


@profile("standard")
@cost(builds=1, requests=14)
@claims(
    "start.concurrent-answers-are-documented",
    "start.concurrent-share-one-build",
    "digest.is-stable",
    "http.no-server-error",
)
def test_simultaneous_starts_share_one_build(exam: Examination) -> None:
    """Simultaneous starts get documented responses and share one build."""
    template = started_together(exam, 4)
    following = exam.follow(template.ref)
    exam.read(template.ref)
    exam.wait(template.ref)
    exam.closed(following)
    exam.read(template.ref)
    exam.rest(template.sleep_s)
    exam.read(template.ref)


def started_together(exam: Examination, times: int) -> Template:
    """Starts a new version *times* times at once; returns the version once at least two starts got no 429.

    The build waits before it prints, so that a client can open the log first.

    Raises:
        Unsuited: a limit accepted fewer than two starts in each try.
    """
    for _ in range(TRIES):
        template = exam.short("together", times=3)
        exam.read(template.ref)
        answers = starts_together(exam, template.ref, times)
        refused = [answer for answer in answers if answer.status == 429]
        if times - len(refused) > 1:
            return template
        exam.cancel(template.ref)
        exam.settled(template.ref)
        exam.rest(min(retry_after_s(refused[0].response) or FIRST_WAIT_S, exam.target.patience_s))
    raise Unsuited("indeterminate", f"a limit accepted fewer than two of {times} simultaneous starts")


@cancels
@profile("thorough")
@cost(builds=3, requests=10)
@claims("start.concurrent-answers-are-documented", "status.build-ends")
def test_start_and_cancel_at_once_leave_a_sane_version(exam: Examination) -> None:
    """After a simultaneous start and cancel, the build ends in some status, and the version can be built."""
    template = exam.short("racing")
    exam.start(template.ref)
    exam.together(exam.call("cancelBuild", template.ref), exam.call("startBuild", template.ref))
    exam.wait(template.ref, {"ready", "failed", "not_built"})
    exam.start(template.ref)
    exam.wait(template.ref)


@profile("standard")
@cost(builds=1, requests=72)
@claims("status.ref-is-the-path", "status.concurrent-reads-agree", "template.read-shows-the-published", "http.answers")
def test_answers_to_simultaneous_requests_are_not_mixed_up(exam: Examination) -> None:
    """Two accounts read several versions at once; each response shows the requested version."""
    ready, unbuilt, running = exam.ready(), exam.published("beside"), exam.short("running")
    templates = [ready, unbuilt, running, *([exam.ready("second")] if exam.target.second_api_key else [])]
    exam.start(running.ref)
    operations = ("getBuild", "getTemplate")
    reads = [exam.call(operation, each.ref, each.owner) for operation in operations for each in templates]
    for _ in range(3):
        exam.together(*reads)
        exam.together(*reversed(reads))
    exam.wait(running.ref)
    exam.together(*reads)
    exam.together(*[exam.call("getBuild", running.ref)] * 6)


@cancels
@profile("thorough")
@cost(builds=6, at_once=3, requests=60)
@claims(
    "publish.answers-201",
    "publish.ref-is-the-document",
    "template.read-shows-the-published",
    "cancel.keeps-neighbours",
    "lookup.existing-version-is-found",
    "lookup.deleted-version-is-404",
)
def test_simultaneous_changes_are_each_of_one_version(exam: Examination) -> None:
    """Publishes, starts, cancels and deletes that are sent at once each affect only the version that they name."""
    first = exam.short("beside-others")
    templates = [replace(first, version=f"1.0.{number}") for number in range(1, 4)]
    templates = [replace(template, marker=f"{template.marker}-{template.version}") for template in templates]
    publish_together(exam, *templates)
    refs = [template.ref for template in templates]
    for ref in refs:
        exam.document(ref)
        exam.read(ref)
    start_both(exam, *refs)
    for ref in refs:
        exam.read(ref)
    exam.together(*[exam.call("cancelBuild", ref) for ref in refs[:2]])
    for ref in refs[:2]:
        exam.settled(ref)
    exam.wait(refs[2])
    start_both(exam, *refs)
    for ref in refs:
        exam.wait(ref)
    exam.together(*[exam.call("deleteTemplate", ref) for ref in refs[1:]])
    for ref in refs:
        exam.document(ref)
        exam.read(ref)


@cost(builds=0, requests=20)
@claims(
    "publish.other-content-is-409",
    "publish.republish-identical-is-accepted",
    "publish.conflict-keeps-content",
    "template.read-shows-the-published",
)
def test_simultaneous_publishes_leave_one_content(exam: Examination) -> None:
    """If clients publish different content for one version at once, one publish is stored and the other gets a 409.

    If they publish the same content at once, there is no conflict.
    """
    same = exam.template("shared")
    publish_together(exam, same, same, same)
    for operation in ("getTemplate", "getBuild"):
        exam.request(operation, same.ref)
    for purpose in ("contested", "contested-again"):
        template = exam.template(purpose)
        publish_together(exam, template, template.revised())
        for operation in ("getTemplate", "getBuild", "getTemplate"):
            exam.request(operation, template.ref)
