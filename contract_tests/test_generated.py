"""Requests generated from the contract: its examples, the limits of its schemas, and valid and invalid random data."""

import itertools
from collections import defaultdict
from typing import Any

import pytest
from schemathesis import Case

from touchstone.check.examination import Examination
from touchstone.check.handover import CheckHandover
from touchstone.check.run import Run
from touchstone.check.schemathesis_hooks import judgements, load_schema, prepare, send

_settings = CheckHandover.received().settings
schema = load_schema(_settings.seed, _settings.profile, publishes=_settings.target.publish != "never")

_numbers: defaultdict[str, "itertools.count[int]"] = defaultdict(itertools.count)


@pytest.mark.once
@pytest.mark.given
@pytest.mark.cost(builds=0, requests={"quick": 12, "standard": 60, "thorough": 300})
@pytest.mark.claims(
    "http.answers",
    "http.no-server-error",
    "http.status-is-documented",
    "http.json-media-type",
    "http.body-is-json",
    "http.wrong-method-is-405",
    "error.has-the-documented-shape",
    "error.shows-no-internals",
    "lookup.odd-spelling-is-404",
    "start.body-is-documented",
    "status.body-is-documented",
    "events.fields-are-documented",
    "events.media-type",
    "publish.invalid-is-422",
)
@schema.parametrize()
def test_operation(case: "Case[Any]", exam: Examination, run: Run) -> None:
    """Each operation responds as documented to generated data."""
    number = next(_numbers[case.operation.label])
    prepared = prepare(exam, case, number)
    if prepared:
        # Hypothesis does not need the responses, so it goes on with the next request meanwhile.
        exam.beside(lambda: run.add(exam.case, judgements(case, send(exam, *prepared))))
