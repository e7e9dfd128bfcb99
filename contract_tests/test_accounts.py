"""Section *Errors* of the page, 403 and 404: accounts below the Scale plan, and versions of other accounts."""

from dataclasses import replace

from situations import (
    SETTLED,
    attempt,
    cancels,
    claims,
    cost,
    given,
    needs_publishing,
    needs_restricted,
    needs_second,
    not_found,
    path_of,
    profile,
    publish_refused,
    raw,
)
from touchstone.check.examination import Examination
from touchstone.check.templates import Template
from touchstone.contract.answers import AT_REST
from touchstone.facts.exchange import Credential

OPERATIONS = ("getBuild", "getTemplate", "startBuild", "cancelBuild", "streamBuildEvents", "deleteTemplate")


@cost(builds=1, requests=56)
@claims(
    "access.others-version-is-404 access.others-change-nothing auth.valid-key-is-accepted auth.refused-changes-nothing",
    "auth.missing-key-is-401",
)
def test_only_the_owner_sees_and_touches_a_version(exam: Examination) -> None:
    """A refused key or another account cannot find or change an idle, running or ready version."""
    build, has_second = exam.short("private", times=3), bool(exam.target.second_api_key)
    exam.read(build).expect(200, status="not_built")
    starters: tuple[Credential, ...] = ("none", "longer")
    for credential in starters:
        attempt(exam, "startBuild", build, credential).expect(401)
        exam.read(build).expect(200, status="not_built")
    for operation in OPERATIONS if has_second else ():
        exam.request(operation, build, "second").expect(*not_found(operation), 429)
        exam.read(build).expect(200, status="not_built")
    exam.start(build).expect(202, status="building")
    log = exam.follow(build)
    exam.read(build).expect(200, status="building")
    cancellers: tuple[Credential, ...] = ("none", "unknown")
    for credential in cancellers:
        attempt(exam, "cancelBuild", build, credential).expect(401)
    # No earlier read: if the server wrongly cancelled the build, its status may still be building for a moment.
    exam.rest(build.sleep_s / 3)
    exam.read(build).expect(200, status=("building", "ready"))
    for operation in OPERATIONS if has_second else ():
        exam.request(operation, build, "second").expect(*not_found(operation), 429)
    exam.rest(build.sleep_s * 2 / 3)
    exam.wait(build).expect(200, status="ready")
    exam.closed(log).expect(200)
    for operation in OPERATIONS if has_second else ():
        exam.request(operation, build, "second").expect(*not_found(operation), 429)
        exam.read(build).expect(200, status="ready")


@cost(builds=0, requests=14)
@claims("access.others-version-is-404", "http.head-matches-get")
def test_isolation_holds_in_both_directions(exam: Examination) -> None:
    """The first account cannot find a version of the second account."""
    needs_second(exam)
    theirs = exam.ready("second")
    for operation in OPERATIONS:
        exam.request(operation, theirs, "primary").expect(*not_found(operation), 429)
    for end in ("/build", ""):
        raw(exam, "GET", f"{path_of(theirs.ref)}{end}").expect(404)
        raw(exam, "HEAD", f"{path_of(theirs.ref)}{end}").expect(404, 405)
    exam.read(theirs).expect(200, status="ready")


@given
@cost(builds=0, requests=24)
@claims("access.start-needs-scale access.publish-needs-scale access.plan-is-no-key-matter access.others-change-nothing")
def test_building_needs_the_scale_plan(exam: Examination) -> None:
    """An account below the Scale plan gets 403 when it publishes or starts a build.

    If it starts a version that it cannot see, it may get 404 (ambiguity 7.21). Its reads may get 403, too (7.22).
    """
    needs_restricted(exam)
    ready, own = exam.ready(), exam.target.templates.restricted
    if exam.target.publish != "never":
        publish_refused(exam, "below-scale-automatic", "restricted", auto_build=True)
        publish_refused(exam, "below-scale-forced", "restricted", force=True)
        refused = publish_refused(exam, "below-scale", "restricted")
        exam.document(refused).expect(404, 403)
    for ref in (ready.ref, exam.unknown("name"), *own):
        found = 200 if ref in own else 404
        exam.request("getBuild", ref, "restricted").expect(found, 403)
        for _ in range(2):
            exam.start(ref, "restricted").expect(403, *(() if ref in own else (404,)))
            exam.request("getBuild", ref, "restricted").expect(found, 403)
    exam.request("getBuild", ready, "restricted").expect(404, 403)
    exam.read(ready).expect(200, status="ready")


@cancels
@profile("standard")
@cost(builds=3, at_once=2, requests=40)
@claims(
    "publish.answers-201 template.read-shows-the-published lookup.existing-version-is-found cancel.idle-is-404",
    "status.unbuilt-is-not-built status.ready-stays-ready",
)
def test_accounts_may_use_one_name(exam: Examination) -> None:
    """Two accounts use one name; each account reads, builds, cancels, replaces and deletes its own version."""
    needs_second(exam)
    needs_publishing(exam)
    # Long enough that both logs are open before the builds print.
    ours = exam.short("common", times=3)
    theirs = replace(ours.revised(), owner="second", fails=True)
    exam.publish(theirs).expect(201, 200)
    read_both(exam, (ours, "not_built"), (theirs, "not_built"))
    exam.start(ours).expect(202, status="building")
    read_both(exam, (ours, "building"), (theirs, "not_built"))
    exam.cancel(theirs).expect(404, status="idle")
    read_both(exam, (ours, "building"), (theirs, "not_built"))
    exam.start(theirs).expect(202, status="building")
    logs = [exam.follow(ours), exam.follow(theirs)]
    read_both(exam, (ours, ("building", "ready")), (theirs, "building"))
    exam.wait(ours).expect(200, status="ready")
    exam.wait(theirs).expect(200, status="failed")
    for log in logs:
        exam.closed(log).expect(200)
    read_both(exam, (ours, "ready"), (theirs, "failed"))
    theirs = theirs.revised()
    exam.publish(theirs).expect(409)
    exam.publish(theirs, force=True).expect(201, 200)
    read_both(exam, (ours, "ready"), (theirs, "not_built"))
    exam.start(theirs).expect(202, status="building")
    exam.read(theirs).expect(200, status="building")
    exam.cancel(theirs).expect(202, status="cancelling")
    exam.wait(theirs, AT_REST).expect(200, status=SETTLED)
    exam.start(ours).expect(202, 200, status="ready")
    read_both(exam, (ours, "ready"), (theirs, SETTLED))
    delete_both(exam, ours, theirs)


def delete_both(exam: Examination, ours: Template, theirs: Template) -> None:
    """Deletes versions of two accounts with one name, one after the other; the first one is published again."""
    exam.delete(theirs).expect(200)
    read_both(exam, (ours, "ready"), (theirs, ()))
    exam.publish(theirs).expect(201, 200)
    read_both(exam, (ours, "ready"), (theirs, "not_built"))
    exam.delete(ours).expect(200)
    read_both(exam, (ours, ()), (theirs, "not_built"))


def read_both(exam: Examination, *expected: tuple[Template, str | tuple[str, ...]]) -> None:
    """Reads versions of two accounts and their documents; expects a status, or 404 where none is given."""
    for version, status in expected:
        code = 200 if status else 404
        exam.read(version).expect(code, status=status)
        exam.document(version).expect(code)
