"""Pages *Publish*, *Get* and *Delete*: names of maximum length or that differ in one letter, and pre-releases."""

from dataclasses import replace

from situations import claims, cost, needs_publishing, profile
from touchstone.check.examination import Examination
from touchstone.check.templates import Template

# Source: page templates/schema.
LONGEST_NAME = 64
VERSIONS = ("1.0.0", "1.0.0-rc.1", "1.0.0-rc.10", "10.20.30")


def alike(exam: Examination) -> list[Template]:
    """Returns templates with similar names and version numbers, each with different content."""
    first = exam.short("alike")
    longest = f"{first.name}-{'n' * (LONGEST_NAME - len(first.name) - 2)}"
    names = [replace(first, name=longest + letter, marker=f"{first.marker}-{letter}") for letter in "ab"]
    versions = [replace(first, version=version, marker=f"{first.marker}-{version}") for version in VERSIONS[1:]]
    return [first, *names, *versions]


@profile("thorough")
@cost(builds=3, requests=80)
@claims(
    "publish.answers-201",
    "template.read-shows-the-published",
    "status.ref-is-the-path",
    "status.changes-only-by-a-start",
    "lookup.existing-version-is-found",
    "lookup.deleted-version-is-404",
)
def test_versions_with_similar_names_stay_separate(exam: Examination) -> None:
    """Versions with similar names are published, read, built and deleted independently."""
    needs_publishing(exam)
    templates = alike(exam)
    for template in templates[1:]:
        exam.publish(template).expect(201, 200)
    built = (templates[1], templates[3], templates[-1])
    for one in built:
        exam.start(one).expect(202, status="building")
        for template in templates:
            exam.read(template).expect(200)
        exam.closed(exam.follow(one)).expect(200)
        exam.wait(one).expect(200, status="ready")
    gone = (templates[1], templates[3])
    for template in gone:
        exam.delete(template).expect(200)
    for template in templates:
        code = 404 if template in gone else 200
        exam.document(template).expect(code)
        exam.read(template).expect(code)
