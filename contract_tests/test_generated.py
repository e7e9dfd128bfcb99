"""Requests generated from the contract: its examples, the limits of its schemas, and valid and invalid random data."""

from typing import Any

import pytest
from schemathesis import Case

from generation import follow_links, generate, judgements, labels, load_schema, prepare, send
from situations import cancels, claims, cost, given, once, profile
from touchstone.check.examination import Examination, Unsuited
from touchstone.check.handover import CheckHandover
from touchstone.check.run import Run
from touchstone.check.schemathesis_hooks import Aims
from touchstone.check.templates import Template
from touchstone.facts.exchange import Exchange

_settings = CheckHandover.received().settings
schema = load_schema(_settings.seed, _settings.profile, publishes=_settings.target.publish != "never")

_loose: list[Template] = []


@once
@given
@cost(builds=0, requests={"quick": 70, "standard": 130, "thorough": 250})
@claims(
    "http.answers http.no-server-error http.status-is-documented http.json-media-type http.body-is-json",
    "http.wrong-method-is-405 error.has-the-documented-shape error.shows-no-internals lookup.odd-spelling-is-404",
    "start.body-is-documented status.body-is-documented events.fields-are-documented events.media-type",
    "publish.invalid-is-422",
)
@pytest.mark.parametrize("label", labels(schema))
def test_operation(label: str, exam: Examination, run: Run) -> None:
    """Each operation responds as documented to generated data."""
    aims = Aims(exam, loose=_loose)

    def each(case: "Case[Any]") -> None:
        if prepared := prepare(aims, case):
            # Hypothesis does not need the responses, so it goes on with the next request meanwhile.
            exam.beside(lambda: run.add(exam.case, judgements(case, send(aims, case, *prepared))))

    generate(schema, label, each)


SCENARIOS = {"quick": 0, "standard": 30, "thorough": 198}
PARTS = 3  # a build that ends in between ends a part early
BUILDS = {"quick": 0, "standard": 0, "thorough": 60}  # where none is left, links start a version that is ready


@once
@cancels
@profile("standard")
@cost(builds=BUILDS, lengths=0, requests={"quick": 0, "standard": 80, "thorough": 1000})
@claims(
    "http.status-is-documented lookup.existing-version-is-found status.answers-200 status.changes-only-by-a-start",
    "start.visible-to-next-read start.while-building-is-harmless cancel.in-flight-is-202",
    "template.read-shows-the-published template.delete-says-deleted lookup.deleted-version-is-404",
)
def test_links(exam: Examination, run: Run) -> None:
    """Requests along the links of the contract keep the life cycle of the versions that they publish."""
    if exam.target.publish != "raw":
        raise Unsuited("not-applicable", 'the links of the contract need publish = "raw"')
    aims = Aims(exam, builds=BUILDS[_settings.profile])

    def judge(case: "Case[Any]", exchange: Exchange) -> None:
        run.add(exam.case, judgements(case, exchange))

    for part in range(PARTS):
        follow_links(schema, aims, judge, _settings.seed + part, SCENARIOS[_settings.profile] // PARTS)
