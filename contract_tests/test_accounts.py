"""Requests from other accounts, and from accounts below the Scale plan."""

from dataclasses import replace

from situations import (
    attempt,
    cancels,
    claims,
    cost,
    given,
    needs_publishing,
    needs_restricted,
    needs_second,
    profile,
    publish_refused,
    raw,
)
from touchstone.check.examination import Examination
from touchstone.contract.lifecycle import AT_REST
from touchstone.facts.exchange import Credential

OPERATIONS = ("getBuild", "getTemplate", "startBuild", "cancelBuild", "streamBuildEvents", "deleteTemplate")


@cost(builds=1, requests=56)
@claims(
    "access.others-version-is-404",
    "access.others-change-nothing",
    "auth.valid-key-is-accepted",
    "auth.refused-changes-nothing",
    "auth.missing-key-is-401",
)
def test_only_the_owner_sees_and_touches_a_version(exam: Examination) -> None:
    """A refused key or another account cannot find or change an idle, running or ready version."""
    template, has_second = exam.short("private", times=3), bool(exam.target.second_api_key)
    exam.read(template.ref)
    starters: tuple[Credential, ...] = ("none", "longer")
    for credential in starters:
        attempt(exam, "startBuild", template, credential)
        exam.read(template.ref)
    for operation in OPERATIONS if has_second else ():
        exam.request(operation, template.ref, "second")
        exam.read(template.ref)
    exam.start(template.ref)
    following = exam.follow(template.ref)
    exam.read(template.ref)
    cancellers: tuple[Credential, ...] = ("none", "unknown")
    for credential in cancellers:
        attempt(exam, "cancelBuild", template, credential)
    # No earlier read: if the server wrongly cancelled the build, its status may still be building for a moment.
    exam.rest(template.sleep_s / 3)
    exam.read(template.ref)
    for operation in OPERATIONS if has_second else ():
        exam.request(operation, template.ref, "second")
    exam.rest(template.sleep_s * 2 / 3)
    exam.wait(template.ref)
    exam.closed(following)
    for operation in OPERATIONS if has_second else ():
        exam.request(operation, template.ref, "second")
        exam.read(template.ref)


@cost(builds=0, requests=14)
@claims("access.others-version-is-404", "http.head-matches-get")
def test_isolation_holds_in_both_directions(exam: Examination) -> None:
    """The first account cannot find a version of the second account."""
    needs_second(exam)
    theirs = exam.ready("second")
    for operation in OPERATIONS:
        exam.request(operation, theirs.ref, "primary")
    for end in ("/build", ""):
        for method in ("GET", "HEAD"):
            raw(exam, method, f"/templates/default/{theirs.name}/{theirs.version}{end}")
    exam.read(theirs.ref, "second")


@given
@cost(builds=0, requests=24)
@claims(
    "access.start-needs-scale",
    "access.publish-needs-scale",
    "access.plan-is-no-key-matter",
    "access.others-change-nothing",
)
def test_building_needs_the_scale_plan(exam: Examination) -> None:
    """An account below the Scale plan gets 403 when it publishes or starts a build."""
    needs_restricted(exam)
    ready = exam.ready()
    if exam.target.publish != "never":
        publish_refused(exam, "below-scale-automatic", "restricted", auto_build=True)
        publish_refused(exam, "below-scale-forced", "restricted", force=True)
        refused = publish_refused(exam, "below-scale", "restricted")
        exam.document(refused.ref, "restricted")
    for ref in (ready.ref, exam.unknown("name"), *exam.target.templates.restricted):
        exam.request("getBuild", ref, "restricted")
        for _ in range(2):
            exam.start(ref, "restricted")
            exam.request("getBuild", ref, "restricted")
    exam.request("getBuild", ready.ref, "restricted")
    exam.read(ready.ref)


@cancels
@profile("standard")
@cost(builds=3, at_once=2, requests=40)
@claims(
    "publish.answers-201",
    "template.read-shows-the-published",
    "lookup.existing-version-is-found",
    "cancel.idle-is-404",
    "status.unbuilt-is-not-built",
    "status.ready-stays-ready",
)
def test_accounts_may_use_one_name(exam: Examination) -> None:
    """Two accounts use one name; each account reads, builds, cancels, replaces and deletes its own version."""
    needs_second(exam)
    needs_publishing(exam)
    # Long enough that both logs are open before the builds print.
    ours = exam.short("common", times=3)
    theirs = replace(ours.revised(), owner="second", fails=True)
    exam.publish(theirs)
    read_both(exam, ours.ref)
    exam.start(ours.ref)
    read_both(exam, ours.ref)
    exam.cancel(ours.ref, "second")
    read_both(exam, ours.ref)
    exam.start(ours.ref, "second")
    followings = [exam.follow(ours.ref), exam.follow(ours.ref, "second")]
    read_both(exam, ours.ref)
    exam.wait(ours.ref)
    exam.wait(ours.ref, by="second")
    for following in followings:
        exam.closed(following)
    read_both(exam, ours.ref)
    theirs = theirs.revised()
    exam.publish(theirs)
    exam.publish(theirs, force=True)
    read_both(exam, ours.ref)
    exam.start(ours.ref, "second")
    exam.read(ours.ref, "second")
    exam.cancel(ours.ref, "second")
    exam.wait(ours.ref, AT_REST, by="second")
    exam.start(ours.ref)
    read_both(exam, ours.ref)
    exam.delete(ours.ref, "second")
    read_both(exam, ours.ref)


def read_both(exam: Examination, ref: str) -> None:
    """Reads the versions of both accounts, which have the same ref."""
    for credential in ("primary", "second"):
        exam.read(ref, credential)
        exam.document(ref, credential)
