"""Pages *Publish*, *Get* and *Delete*: names of maximum length or that differ in one letter, and pre-releases."""

from dataclasses import replace

from situations import LONG_VERSION, claims, cost, longest, profile, read_as_caches
from touchstone.check.examination import Examination
from touchstone.check.templates import Template

# Version numbers that are similar as texts, as numbers, or joined to a name that ends in a digit.
VERSIONS = ("1.0.0-rc.1", "1.0.0-rc.10", "1.0.1", "1.0.10", "1.10.0", "10.0.0", "11.0.0", LONG_VERSION)


def alike(exam: Examination) -> list[Template]:
    """Returns templates with similar names and version numbers, each with different content."""
    first = exam.short("alike")
    names = [replace(first, name=first.name + end, marker=first.marker + end) for end in ("1", "-1", "s", "-s")]
    versions = [replace(first, version=version, marker=f"{first.marker}-{version}") for version in VERSIONS]
    return [first, longest(first, "a"), longest(first, "b"), *names, *versions]


@profile("standard")
@cost(builds=0, requests=140)
@claims(
    "publish.answers-201 publish.ref-is-the-document publish.force-replaces template.read-shows-the-published",
    "status.ref-is-the-path status.unbuilt-is-not-built lookup.existing-version-is-found lookup.deleted-version-is-404",
    "digest.is-stable digest.is-the-published-one",
)
def test_versions_with_similar_names_stay_separate(exam: Examination) -> None:
    """Versions with similar names are published, read, replaced and deleted independently."""
    first, *more = templates = alike(exam)
    for template in more:
        exam.read(template).expect(404)
        exam.publish(template).expect(201, 200)
        exam.document(first).expect(200)
    changed = [template.revised() for template in templates[3::3]]
    for template in changed:
        exam.publish(template, force=True).expect(201, 200)
    gone = templates[4::3]
    for template in gone:
        exam.delete(template).expect(200)
    for template in templates:
        code = 404 if template in gone else 200
        exam.document(template).expect(code)
        exam.read(template).expect(code)
    for template in templates[3:5]:
        read_as_caches(exam, template, 404 if template in gone else 200)


@profile("thorough")
@cost(builds=5, requests=170)
@claims(
    "status.changes-only-by-a-start status.ready-stays-ready lookup.existing-version-is-found events.own-lines-only",
    "lookup.deleted-version-is-404 cancel.idle-is-404",
)
def test_versions_with_similar_names_are_built_separately(exam: Examination) -> None:
    """Versions with similar names are built, and deleted once built, independently."""
    templates = alike(exam)
    for template in templates[1:]:
        exam.publish(template).expect(201, 200)
    built = (templates[1], templates[3], templates[8], templates[-2], templates[-1])
    for one in built:
        exam.start(one).expect(202, status="building")
        for template in templates:
            exam.read(template).expect(200)
        exam.closed(exam.follow(one)).expect(200)
        exam.wait(one).expect(200, status="ready")
    for template in templates:
        exam.cancel(template).expect(404, status="idle")
        exam.read(template).expect(200, status="ready" if template in built else "not_built")
    for template in built[:2]:
        exam.delete(template).expect(200)
    for template in templates:
        exam.read(template).expect(404 if template in built[:2] else 200)
