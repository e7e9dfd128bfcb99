"""
Versions with unusual names: as long as may be, alike but for the last letter, and versions that are no plain numbers.
"""

from dataclasses import replace

import pytest

from situations import ask, needs_publishing
from touchstone.check.examination import Examination
from touchstone.check.templates import Template

# Source: templates/schema; facts, section 6.
LONGEST_NAME = 64
VERSIONS = ("1.0.0", "1.0.0-rc.1", "1.0.0-rc.10", "10.20.30")


def alike(exam: Examination) -> list[Template]:
    """Templates whose names and versions begin alike; each has content of its own."""
    first = exam.short("alike")
    longest = f"{first.name}-{'n' * (LONGEST_NAME - len(first.name) - 2)}"
    named = [replace(first, name=longest + letter, marker=f"{first.marker}-{letter}") for letter in "ab"]
    versioned = [replace(first, version=version, marker=f"{first.marker}-{version}") for version in VERSIONS[1:]]
    return [first, *named, *versioned]


@pytest.mark.profile("standard")
@pytest.mark.cost(builds=3, requests=80)
@pytest.mark.claims(
    "publish.answers-201",
    "template.read-shows-the-published",
    "status.ref-is-the-path",
    "status.changes-only-by-a-start",
    "lookup.existing-version-is-found",
    "lookup.deleted-version-is-404",
)
def test_versions_whose_names_begin_alike_are_told_apart(exam: Examination) -> None:
    """Each is published, read, built and deleted by itself."""
    needs_publishing(exam)
    templates = alike(exam)
    for template in templates[1:]:
        exam.publish(template)
    built = (templates[1], templates[3], templates[-1])
    for one in built:
        exam.start(one.ref)
        for template in templates:
            exam.read(template.ref)
        exam.closed(exam.follow(one.ref))
        exam.wait(one.ref)
    ask(exam, "deleteTemplate", templates[1].ref)
    ask(exam, "deleteTemplate", templates[3].ref)
    for template in templates:
        ask(exam, "getTemplate", template.ref)
        exam.read(template.ref)
