"""Pages *Publish*, *Get* and *Delete*: new, identical and other content, and the effects on builds."""

from dataclasses import replace
from typing import Any

from situations import another_version, cancels, claims, cost, digest, find_nothing, profile, publish_spoilt
from touchstone.check.examination import Examination, Unsuited
from touchstone.check.templates import Form, Template

LONGER_SLEEP_S = 0.3
# Rest after the end of a log, because the status may lag behind the log.
BEHIND_S = 0.5

# Each entry makes the content differ from that of the previous entry.
CHANGES: tuple[dict[str, Any], ...] = (
    {"then": ("echo one", "echo Two")},
    {"then": ("echo two", "echo one")},
    {"then": ("echo one", "echo three")},
    {"then": ("echo one", "echo one", "echo two")},
    {"then": ("echo one",)},
    {"extras": {"build": {"apt": ["curl"]}}},
    {"extras": {"build": {"apt": ["git"]}}},
    {"extras": {"build": {"pip": ["git"]}}},
    {"extras": {"build": {"pip": ["git"]}, "hardware": {"cpu": 4}}},
    {"extras": {"build": {"pip": ["git"]}, "hardware": {"cpu": 2}}},
    {"extras": {"env": {"MODE": "one"}}},
    {"extras": {"env": {"MODE": "two"}}},
)

# Each entry makes a document invalid.
INVALID: tuple[dict[str, Any], ...] = (
    {"api_version": "orgo.ai/v0"},
    {"hardware": {"cpu": 3}},
    {"build": {"run": "echo one"}},
    {"env": {"lower": "x"}},
)


@cost(builds=2, requests=50)
@claims(
    "publish.other-content-is-409 publish.conflict-keeps-content publish.force-replaces",
    "publish.republish-identical-is-accepted publish.auto-build-only-when-asked reuse.only-identical-digest",
    "digest.follows-content digest.is-the-published-one status.build-time-is-ms publish.invalid-is-422",
    "template.read-shows-the-published status.ready-stays-ready lookup.deleted-version-is-404",
    "start.refuses-deleted-version events.carry-the-output events.own-lines-only events.ready-ends-on-ready",
    "reuse.ready-at-once",
)
def test_replaced_content_is_built_afresh(exam: Examination) -> None:
    """Other content needs force and a new build; an invalid document changes nothing; a deleted version is gone."""
    build = exam.short("replaced")
    exam.read(build).expect(200, status="not_built")
    exam.start(build).expect(202, status="building")
    # Nothing reads the status meanwhile: the build must end without reads.
    exam.ended(exam.follow(build), build.ref).expect(200)
    exam.rest(BEHIND_S)
    exam.start(build).expect(202, 200, 409, status=("building", "ready"))
    exam.wait(build).expect(200, status="ready")
    exam.publish(build).expect(201, 200)
    exam.read(build).expect(200, status="ready")
    # The builds also differ in duration, so that the result of the first cannot pass for the result of the second.
    revised = replace(build.revised(), sleep_s=LONGER_SLEEP_S)
    exam.publish(revised).expect(409)
    exam.read(build).expect(200, status="ready")
    exam.document(build).expect(200)
    exam.publish(revised, force=True).expect(201, 200)
    exam.read(revised).expect(200, status="not_built")
    exam.document(revised).expect(200)
    exam.closed(exam.follow(revised)).expect(200, 404)
    exam.start(revised).expect(202, status="building")
    log = exam.follow(revised)
    exam.read(revised).expect(200, status="building")
    exam.publish(build).expect(409)
    exam.wait(revised).expect(200, status="ready")
    exam.closed(log).expect(200)
    exam.closed(exam.follow(revised)).expect(200, 404)
    exam.start(revised).expect(202, 200, status="ready")
    exam.read(revised).expect(200, status="ready")
    publish_all_invalid(exam, revised)
    exam.delete(revised).expect(200)
    find_nothing(exam, revised)


def publish_all_invalid(exam: Examination, ready: Template) -> None:
    """Publishes invalid variants of a ready version, with and without force, and reads the version after each."""
    for change in INVALID:
        for force in (False, True):
            publish_spoilt(exam, ready, ready.document() | change, force=force).expect(422)
            exam.read(ready).expect(200, status="ready")
            exam.document(ready).expect(200)


@cost(builds=1, requests=8)
@claims("publish.auto-build-starts", "status.good-template-ends-ready", "reuse.ready-at-once")
def test_auto_build_starts_a_build(exam: Examination) -> None:
    """Publishing with auto_build starts a build, and a later start reuses its finished snapshot (golden)."""
    # If this start is served, the rate limit probably also accepts the build of the publish.
    exam.start(exam.ready()).expect(202, 200, status="ready")
    build = exam.template("automatic", sleep_s=exam.observable_s())
    exam.publish(build, auto_build=True).expect(201, 200)
    exam.read(build).expect(200, status="building")
    exam.wait(build).expect(200, status="ready")
    exam.start(build).expect(202, 200, status="ready")
    exam.read(build).expect(200, status="ready")


@cost(builds=0, requests=10)
@claims("digest.ignores-spelling", "publish.republish-identical-is-accepted", "digest.is-the-published-one")
def test_digest_does_not_depend_on_spelling(exam: Examination) -> None:
    """A document has the same digest in canonical form, short form (sugar), YAML, another key order, and with force."""
    template = exam.published("spelled")
    forms: tuple[Form, ...] = ("json", "sugar", "yaml", "shuffled")
    for form in forms:
        exam.publish(template, form=form).expect(201, 200)
    exam.read(template).expect(200, status="not_built")
    exam.publish(template, force=True).expect(201, 200)
    exam.document(template).expect(200)
    exam.read(template).expect(200, status="not_built")


@cost(builds=0, requests=34)
@claims("digest.follows-content", "publish.other-content-is-409", "publish.force-replaces")
def test_every_change_of_content_counts(exam: Examination) -> None:
    """Each change of content changes the digest: case, order, arguments, steps, packages, hardware."""
    first = replace(exam.template("varied"), then=("echo one", "echo two"))
    for force in (False, True):
        exam.publish(first, force=force).expect(201, 200)
        exam.read(first).expect(200, status="not_built")
    for change in CHANGES:
        other = replace(first, **change)
        exam.publish(other).expect(409)
        exam.publish(other, force=True).expect(201, 200)
        exam.read(other).expect(200, status="not_built")
    exam.publish(first, force=True).expect(201, 200)
    exam.read(first).expect(200, status="not_built")
    exam.document(first).expect(200)


@cancels
@profile("standard")
@cost(builds=4, at_once=3, lengths=2, requests=36)
@claims(
    "reuse.same-digest-elsewhere digest.follows-content reuse.only-identical-digest reuse.is-flagged",
    "status.ref-is-the-path start.ref-is-the-path template.read-shows-the-published status.ready-stays-ready",
)
def test_versions_with_one_content_share_only_the_golden(exam: Examination) -> None:
    """Versions with equal digests share a finished snapshot (golden), but keep their refs, and a delete is of one.

    They may share a running build, too. Where the digest covers name and version, each version has its own build.
    """
    first = exam.short("twins")
    second = another_version(exam, first)
    other = replace(first.revised(), version="1.0.2")
    exam.publish(other).expect(201, 200)
    twins = (first, second)
    exam.start(first).expect(202, status="building")
    exam.read(second).expect(200)
    exam.cancel(second).expect(202, 404)
    for version in twins:
        exam.read(version).expect(200)
    # If the two share builds, the cancel was of the build of both.
    for version in (*twins, other):
        exam.start(version).expect(202, 200, 409)
        exam.read(version).expect(200)
    for version in (*twins, other):
        exam.wait(version).expect(200, status="ready")
    third = replace(first, version="1.0.3")
    exam.publish(third).expect(201, 200)
    for version in (*twins, third):
        exam.start(version).expect(202, 200)
        exam.read(version).expect(200)
        exam.document(version).expect(200)
    exam.wait(third).expect(200, status="ready")
    one_digest = digest(exam, first) == digest(exam, second)
    exam.delete(first).expect(200)
    exam.read(second).expect(200, status="ready")
    exam.document(second).expect(200)
    exam.start(second).expect(202, 200, status="ready")
    # A first publish needs no force, but force is allowed.
    exam.publish(replace(first.revised(), version="1.0.4"), force=True).expect(201, 200)
    if not one_digest:
        why = "the digest covers name and version, so that no two versions share one"
        how = "touchstone serve --digest-scope content starts a twin where they do"
        raise Unsuited("not-applicable", f"{why} ({how})")


@cost(builds=0, requests=10)
@claims(
    "template.read-shows-the-published template.delete-says-deleted lookup.deleted-version-is-404",
    "start.refuses-deleted-version error.does-not-repeat-the-key",
)
def test_deleted_version_is_gone(exam: Examination) -> None:
    """A version can be read until it is deleted; after that, it is not found and cannot be built."""
    template = exam.published("deleted")
    exam.document(template).expect(200)
    exam.delete(template).expect(200)
    find_nothing(exam, template)
