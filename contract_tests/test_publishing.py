"""Publishing, replacing and deleting versions, and the effects on builds."""

from dataclasses import replace
from typing import Any

from situations import another_version, cancels, claims, cost, digest, find_nothing, profile, publish_spoilt
from touchstone.check.examination import Examination, Unsuited
from touchstone.check.templates import Template

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
    "publish.other-content-is-409",
    "publish.conflict-keeps-content",
    "publish.force-replaces",
    "publish.republish-identical-is-accepted",
    "publish.auto-build-only-when-asked",
    "reuse.only-identical-digest",
    "digest.follows-content",
    "digest.is-the-published-one",
    "status.build-time-is-ms",
    "publish.invalid-is-422",
    "template.read-shows-the-published",
    "status.ready-stays-ready",
    "lookup.deleted-version-is-404",
    "start.refuses-deleted-version",
    "events.carry-the-output",
    "events.own-lines-only",
    "events.ready-ends-on-ready",
    "reuse.ready-at-once",
)
def test_replaced_content_is_built_afresh(exam: Examination) -> None:
    """Other content needs force and a new build; an invalid document changes nothing; a deleted version is gone."""
    template = exam.short("replaced")
    exam.read(template.ref)
    exam.start(template.ref)
    # Nothing reads the status meanwhile: the build must end without reads.
    exam.ended(exam.follow(template.ref), template.ref)
    exam.rest(BEHIND_S)
    exam.start(template.ref)
    exam.wait(template.ref)
    exam.publish(template)
    exam.read(template.ref)
    # The builds also differ in duration, so that the result of the first cannot pass for the result of the second.
    revised = replace(template.revised(), sleep_s=LONGER_SLEEP_S)
    exam.publish(revised)
    exam.read(template.ref)
    exam.document(template.ref)
    exam.publish(revised, force=True)
    exam.read(template.ref)
    exam.document(template.ref)
    exam.closed(exam.follow(template.ref))
    exam.start(template.ref)
    following = exam.follow(template.ref)
    exam.read(template.ref)
    exam.publish(template)
    exam.wait(template.ref)
    exam.closed(following)
    exam.closed(exam.follow(template.ref))
    exam.start(template.ref)
    exam.read(template.ref)
    publish_all_invalid(exam, revised)
    exam.delete(template.ref)
    find_nothing(exam, template.ref)


def publish_all_invalid(exam: Examination, template: Template) -> None:
    """Publishes invalid variants of *template*, with and without force, and reads the version after each."""
    for change in INVALID:
        for force in (False, True):
            publish_spoilt(exam, template, template.document() | change, force=force)
            exam.read(template.ref)
            exam.document(template.ref)


@cost(builds=1, requests=8)
@claims(
    "publish.auto-build-starts",
    "status.good-template-ends-ready",
    "reuse.ready-at-once",
)
def test_auto_build_starts_a_build(exam: Examination) -> None:
    """Publishing with auto_build starts a build, and a later start reuses its finished snapshot (golden)."""
    # If this start is served, the rate limit probably also accepts the build of the publish.
    exam.start(exam.ready().ref)
    template = exam.template("automatic", sleep_s=exam.observable_s())
    exam.publish(template, auto_build=True)
    exam.read(template.ref)
    exam.wait(template.ref)
    exam.start(template.ref)
    exam.read(template.ref)


@cost(builds=0, requests=10)
@claims("digest.ignores-spelling", "publish.republish-identical-is-accepted", "digest.is-the-published-one")
def test_digest_does_not_depend_on_spelling(exam: Examination) -> None:
    """A document has the same digest in canonical form, short form (sugar), YAML, another key order, and with force."""
    template = exam.published("spelled")
    exam.publish(template)
    exam.publish(template, form="sugar")
    exam.publish(template, form="yaml")
    exam.publish(template, form="shuffled")
    exam.read(template.ref)
    exam.publish(template, force=True)
    exam.document(template.ref)
    exam.read(template.ref)


@cost(builds=0, requests=34)
@claims("digest.follows-content", "publish.other-content-is-409", "publish.force-replaces")
def test_every_change_of_content_counts(exam: Examination) -> None:
    """Each change of content changes the digest: case, order, arguments, steps, packages, hardware."""
    first = replace(exam.template("varied"), then=("echo one", "echo two"))
    for force in (False, True):
        exam.publish(first, force=force)
        exam.read(first.ref)
    for change in CHANGES:
        other = replace(first, **change)
        exam.publish(other)
        exam.publish(other, force=True)
        exam.read(other.ref)
    exam.publish(first, force=True)
    exam.read(first.ref)
    exam.document(first.ref)


@cancels
@profile("standard")
@cost(builds=4, at_once=3, lengths=2, requests=36)
@claims(
    "reuse.same-digest-elsewhere",
    "digest.follows-content",
    "reuse.only-identical-digest",
    "reuse.is-flagged",
    "status.ref-is-the-path",
    "start.ref-is-the-path",
    "template.read-shows-the-published",
    "status.ready-stays-ready",
)
def test_versions_with_one_content_share_only_the_golden(exam: Examination) -> None:
    """Versions with equal digests share a finished snapshot (golden), but keep their refs, and a delete is of one."""
    first = exam.short("twins")
    second = another_version(exam, first)
    other = replace(first.revised(), version="1.0.2")
    exam.publish(other)
    refs = (first.ref, second.ref)
    exam.start(first.ref)
    exam.read(second.ref)
    exam.cancel(second.ref)
    for ref in refs:
        exam.read(ref)
    # If the two share builds, the cancel was of the build of both.
    for ref in (*refs, other.ref):
        exam.start(ref)
        exam.read(ref)
    for ref in (*refs, other.ref):
        exam.wait(ref)
    third = replace(first, version="1.0.3")
    exam.publish(third)
    for ref in (*refs, third.ref):
        exam.start(ref)
        exam.read(ref)
        exam.document(ref)
    exam.wait(third.ref)
    one_digest = digest(exam, first) == digest(exam, second)
    exam.delete(first.ref)
    exam.read(second.ref)
    exam.document(second.ref)
    exam.start(second.ref)
    # A first publish needs no force, but force is allowed.
    exam.publish(replace(first.revised(), version="1.0.4"), force=True)
    if not one_digest:
        why = "the digest covers name and version, so that no two versions share one"
        how = "touchstone serve --digest-scope content starts a twin where they do"
        raise Unsuited("not-applicable", f"{why} ({how})")


@cost(builds=0, requests=10)
@claims(
    "template.read-shows-the-published",
    "template.delete-says-deleted",
    "lookup.deleted-version-is-404",
    "start.refuses-deleted-version",
    "error.does-not-repeat-the-key",
)
def test_deleted_version_is_gone(exam: Examination) -> None:
    """A version can be read until it is deleted; after that, it is not found and cannot be built."""
    template = exam.published("deleted")
    exam.document(template.ref)
    exam.delete(template.ref)
    find_nothing(exam, template.ref)
