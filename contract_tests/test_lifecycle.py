"""The life cycle of a version: not built, building, ready or failed."""

from dataclasses import replace

import pytest

from situations import published_without
from touchstone.check.examination import Examination, Unsuited
from touchstone.target.call import Call


@pytest.mark.cost(builds=1, requests=8)
@pytest.mark.claims(
    "start.answers-202",
    "start.fresh-is-building",
    "start.body-is-documented",
    "start.ref-is-the-path",
    "start.does-not-wait",
    "start.visible-to-next-read",
    "status.answers-200",
    "status.body-is-documented",
    "status.is-one-of-four",
    "status.ref-is-the-path",
    "status.unbuilt-is-not-built",
    "status.changes-only-by-a-start",
    "status.build-does-not-vanish",
    "status.ready-stays-ready",
    "status.good-template-ends-ready",
    "status.build-ends",
    "status.ready-after-its-steps",
    "status.ready-has-build-time",
    "status.build-time-is-ms",
    "status.build-time-only-when-ready",
    "status.error-only-when-failed",
    "reuse.only-when-reused",
    "digest.has-the-documented-form",
    "digest.is-the-published-one",
    "digest.is-stable",
    "http.answers",
    "http.no-server-error",
    "http.status-is-documented",
    "http.json-media-type",
    "http.body-is-json",
    "auth.valid-key-is-accepted",
    "lookup.existing-version-is-found",
    "publish.answers-201",
    "publish.body-is-documented",
    "publish.ref-is-the-document",
)
def test_fresh_build_runs_to_ready(exam: Examination) -> None:
    """A new version has the status not_built; after a start, it is building and finally ready."""
    template = exam.short("fresh")
    exam.read(template.ref)
    exam.read(template.ref)
    exam.start(template.ref)
    exam.read(template.ref)
    exam.wait(template.ref)
    exam.read(template.ref)
    exam.read(template.ref)


@pytest.mark.cost(builds=1, requests=8)
@pytest.mark.claims("start.while-building-is-harmless", "reuse.only-when-reused", "publish.ref-is-the-document")
def test_start_of_a_running_build_changes_nothing(exam: Examination) -> None:
    """A start during a build gets a documented response, and the build completes."""
    template = exam.short("joined")
    exam.start(template.ref)
    exam.read(template.ref)
    exam.rest(template.sleep_s / 2)
    exam.start(template.ref)
    exam.wait(template.ref)


@pytest.mark.cost(builds=2, requests=10)
@pytest.mark.claims(
    "status.answers-200",
    "status.good-template-ends-ready",
    "status.failed-has-error",
    "lookup.existing-version-is-found",
)
def test_builds_that_print_nothing(exam: Examination) -> None:
    """A version without build steps becomes ready; a build that fails without output still has a reason."""
    for template in (exam.template("bare"), exam.template("mute", fails=True)):
        silent = replace(template, silent=True)
        exam.publish(silent)
        exam.read(silent.ref)
        exam.start(silent.ref)
        exam.wait(silent.ref)
        exam.read(silent.ref)


@pytest.mark.given
@pytest.mark.cost(builds=0, requests=12)
@pytest.mark.claims(
    "reuse.ready-at-once",
    "reuse.is-flagged",
    "reuse.status-code",
    "status.ready-stays-ready",
    "status.build-time-is-stable",
    "status.concurrent-reads-agree",
    "cancel.finished-is-idle",
    "cancel.says-idle",
    "cancel.keeps-finished-golden",
    "error.has-no-upstream-status",
)
def test_finished_build_is_reused_and_kept(exam: Examination) -> None:
    """A ready version stays ready, also after a cancel; a start reuses its finished snapshot (golden)."""
    ref = exam.ready().ref
    exam.read(ref)
    exam.start(ref)
    exam.read(ref)
    exam.cancel(ref)
    exam.read(ref)
    exam.start(ref)
    exam.together(*[Call("getBuild", ref)] * 4)


@pytest.mark.cost(builds=2, requests=10)
@pytest.mark.claims(
    "status.failing-template-ends-failed",
    "status.failed-has-error",
    "status.failed-stays-failed",
    "start.after-failure-builds-again",
    "cancel.finished-is-idle",
    "status.error-only-when-failed",
    "start.fresh-is-building",
    "cancel.keeps-finished-golden",
)
def test_failing_build_ends_failed_and_can_be_repeated(exam: Examination) -> None:
    """A build whose last step fails ends with the status failed and a reason; the version can be started again."""
    template = exam.short("failing", fails=True)
    exam.start(template.ref)
    exam.wait(template.ref)
    exam.read(template.ref)
    exam.cancel(template.ref)
    exam.read(template.ref)
    exam.start(template.ref)
    exam.wait(template.ref)


@pytest.mark.cost(builds=0, requests=10)
@pytest.mark.claims(
    "status.unbuilt-is-not-built", "status.changes-only-by-a-start", "cancel.idle-is-404", "cancel.says-idle"
)
def test_idle_version_has_nothing_to_cancel(exam: Examination) -> None:
    """A version that was never started stays not_built, and a cancel gets 404."""
    for template in (exam.published("idle"), published_without(exam, "idle")):
        exam.read(template.ref)
        exam.cancel(template.ref)
        exam.read(template.ref)


@pytest.mark.given
@pytest.mark.cost(builds=4, requests=20)
@pytest.mark.claims(
    "status.good-template-ends-ready",
    "status.failing-template-ends-failed",
    "status.build-ends",
    "cancel.settles",
    "reuse.ready-at-once",
    "reuse.is-flagged",
    "cancel.finished-is-idle",
)
def test_given_templates_keep_their_promises(exam: Examination) -> None:
    """Existing templates become ready or fail as the settings say; their builds can be cancelled and reused."""
    templates = exam.target.templates
    if exam.target.publish != "never" or not (templates.buildable or templates.failing):
        raise Unsuited("not-applicable", "the settings list no existing templates")
    for ref in (*templates.buildable, *templates.failing):
        exam.read(ref)
        exam.start(ref)
        exam.read(ref)
        exam.cancel(ref)
        exam.settle(ref)
        exam.start(ref)
        exam.wait(ref)
        exam.cancel(ref)
        exam.read(ref)
        exam.start(ref)
        exam.wait(ref)
