"""All pages: the twentieth request is answered like the first, and leaves as little behind."""

from dataclasses import replace

from situations import SETTLED, cancels, claims, cost, profile, strangers
from touchstone.check.examination import Examination

TIMES = 21


@profile("standard")
@cost(builds=0, requests=380)
@claims(
    "status.ready-stays-ready status.build-time-is-stable reuse.ready-at-once reuse.is-flagged http.stays-fast",
    "cancel.finished-is-idle publish.republish-identical-is-accepted publish.other-content-is-409",
    "publish.conflict-keeps-content template.read-shows-the-published events.finished-version-closes http.answers",
    "access.others-version-is-404 auth.missing-key-is-401",
)
def test_ready_version_stands_many_requests(exam: Examination) -> None:
    """Many requests of each kind, on kept connections and with changing keys, change nothing in a ready version."""
    ready = exam.ready()
    for _ in range(TIMES):
        for by, code in (strangers(exam, ready) | {ready.owner: 200}).items():
            for operation in ("getBuild", "getTemplate"):
                exam.request(operation, ready, by).expect(code)
            cancel = replace(exam.call("cancelBuild", ready, by), reuses=True)
            exam.send(cancel).expect(404 if by == "primary" else code)
        exam.closed(exam.follow(ready)).expect(200, 404)
        exam.publish(ready).expect(201, 200)
        exam.publish(ready.revised()).expect(409)
    for _ in range(TIMES):
        exam.start(ready).expect(202, 200, status="ready")
        exam.read(ready).expect(200, status="ready")


@profile("standard")
@cost(builds=0, requests=150)
@claims(
    "publish.answers-201 publish.force-replaces lookup.deleted-version-is-404 template.read-shows-the-published",
    "template.delete-says-deleted status.unbuilt-is-not-built cancel.idle-is-404 http.stays-fast",
)
def test_version_is_published_and_deleted_many_times(exam: Examination) -> None:
    """The twentieth publish, replacement and delete of a version work like the first."""
    version = exam.template("worn")
    for _ in range(TIMES):
        exam.publish(version).expect(201, 200)
        exam.document(version).expect(200)
        version = version.revised()
        exam.publish(version, force=True).expect(201, 200)
        exam.read(version).expect(200, status="not_built")
        exam.cancel(version).expect(404, status="idle")
        exam.delete(version).expect(200)
        exam.read(version).expect(404)
        version = version.revised()


@cancels
@profile("thorough")
@cost(builds=3 * TIMES, lengths=TIMES, requests=16 * TIMES)
@claims(
    "status.good-template-ends-ready start.after-cancel-builds-again start.after-failure-builds-again cancel.settles",
    "status.failing-template-ends-failed cancel.next-build-completes events.carry-the-output http.stays-fast",
)
def test_version_is_built_many_times(exam: Examination) -> None:
    """The twentieth build, cancel and failure of a version are like the first."""
    version = exam.short("worn-builds", fails=True)
    for number in range(TIMES):
        for cancelled in (True, False):
            exam.start(version).expect(202, status="building")
            log = exam.follow(version)
            exam.read(version).expect(200, status="building")
            if cancelled:
                exam.cancel(version).expect(202, status="cancelling")
                exam.settled(version).expect(200, status=SETTLED)
            else:
                exam.wait(version).expect(200, status="failed")
            exam.closed(log).expect(200)
        if number % 6 < 5:
            continue
        version = replace(version.revised(), fails=False)
        exam.publish(version, force=True).expect(201, 200)
        exam.start(version).expect(202, status="building")
        exam.wait(version).expect(200, status=version.outcome)
        version = replace(version.revised(), fails=True)
        exam.publish(version, force=True).expect(201, 200)
