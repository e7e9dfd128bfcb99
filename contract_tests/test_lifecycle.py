"""The page's introduction and *Get build status*: a start, and the life of its build. These cases run first."""

from dataclasses import replace

from situations import claims, cost, needs_second
from touchstone.check.examination import Examination


@cost(builds=1, requests=8)
@claims(
    "start.answers-202 start.fresh-is-building start.body-is-documented start.ref-is-the-path start.does-not-wait",
    "start.visible-to-next-read status.answers-200 status.body-is-documented status.is-one-of-four",
    "status.ref-is-the-path status.unbuilt-is-not-built status.changes-only-by-a-start status.build-does-not-vanish",
    "status.ready-stays-ready status.good-template-ends-ready status.build-ends status.ready-after-its-steps",
    "status.ready-has-build-time status.build-time-is-ms status.build-time-only-when-ready",
    "status.error-only-when-failed reuse.only-when-reused digest.has-the-documented-form digest.is-the-published-one",
    "digest.is-stable http.answers http.no-server-error http.status-is-documented http.json-media-type",
    "http.body-is-json auth.valid-key-is-accepted lookup.existing-version-is-found publish.answers-201",
    "publish.body-is-documented publish.ref-is-the-document",
)
def test_fresh_build_runs_to_ready(exam: Examination) -> None:
    """A new version has the status not_built; after a start, it is building and finally ready."""
    build = exam.short("fresh")
    exam.read(build).expect(200, status="not_built")
    exam.read(build).expect(200, status="not_built")
    exam.start(build).expect(202, status="building")
    exam.read(build).expect(200, status="building")
    exam.wait(build).expect(200, status="ready")
    exam.read(build).expect(200, status="ready")
    exam.share(build, exam.read(build).expect(200, status="ready"))


@cost(builds=1, requests=10)
@claims("status.good-template-ends-ready", "status.build-ends")
def test_build_of_another_account_runs_to_ready(exam: Examination) -> None:
    """A version of another account becomes ready as well; later cases read it."""
    needs_second(exam)
    exam.ready("second")


@cost(builds=2, at_once=2, requests=10)
@claims("status.answers-200 status.good-template-ends-ready status.failed-has-error lookup.existing-version-is-found")
def test_builds_that_print_nothing(exam: Examination) -> None:
    """A version without build steps becomes ready; a build that fails without output still has a reason."""
    bare, mute = (replace(exam.template(name, fails=name == "mute"), silent=True) for name in ("bare", "mute"))
    for build in (bare, mute):
        exam.publish(build).expect(201, 200)
        exam.read(build).expect(200, status="not_built")
        exam.start(build).expect(202, status="building")
    for build, status in ((bare, "ready"), (mute, "failed")):
        exam.wait(build).expect(200, status=status)
        exam.read(build).expect(200, status=status)


@cost(builds=2, requests=10)
@claims(
    "status.failing-template-ends-failed status.build-ends status.failed-has-error status.failed-stays-failed",
    "start.after-failure-builds-again status.error-only-when-failed start.fresh-is-building",
)
def test_failing_build_ends_failed_and_can_be_repeated(exam: Examination) -> None:
    """A build whose last step fails ends with the status failed and a reason; the version can be started again."""
    build = exam.short("failing", fails=True)
    exam.start(build).expect(202, status="building")
    exam.wait(build).expect(200, status="failed")
    exam.read(build).expect(200, status="failed")
    exam.start(build).expect(202, status="building")
    exam.wait(build).expect(200, status="failed")
