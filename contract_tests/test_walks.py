"""Random walks through the life cycle of versions, and along the links of the contract."""

from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest
from links import Link, links
from walker import STEPS, Walker

from situations import needs_publishing
from touchstone.check.examination import Examination
from touchstone.check.run import Run
from touchstone.contract.document import Contract

WALKS = {"quick": 1, "standard": 4, "thorough": 30}  # of the links; the other walks are for thorough alone
LENGTH = 40
LINKS = 8


def walks(run: Run) -> Iterator[Random]:
    """Yields a random generator for each walk of the profile; equal seeds give equal walks."""
    for number in range(WALKS[run.settings.profile]):
        yield Random(f"{run.settings.seed}.{number}")


@pytest.mark.cancels
@pytest.mark.profile("thorough")
@pytest.mark.cost(builds=600, requests=9000)
@pytest.mark.claims(
    "status.build-ends",
    "status.ready-stays-ready",
    "status.changes-only-by-a-start",
    "start.visible-to-next-read",
    "start.while-building-is-harmless",
    "cancel.in-flight-is-202",
    "cancel.settles",
    "cancel.keeps-neighbours",
    "reuse.ready-at-once",
    "reuse.only-identical-digest",
    "publish.force-replaces",
    "template.read-shows-the-published",
)
def test_any_order_keeps_the_life_cycle(exam: Examination, run: Run) -> None:
    """Two versions of one name go through random steps; their responses always match the model of the life cycle."""
    needs_publishing(exam)
    for choices in walks(run):
        first = exam.published("walked", sleep_s=0.1)
        second = replace(first.revised(), version="1.0.1", sleep_s=0.05)
        exam.publish(second)
        pair = [Walker(exam, [first]), Walker(exam, [second])]
        for _ in range(LENGTH):
            walker, other = choices.sample(pair, 2)
            choices.choice(STEPS)(walker)
            walker.read_all()
            exam.read(other.ref)
            if run.has_trouble(exam.case):
                break
        for walker in pair:
            walker.rest()
            walker.read_all()


@pytest.mark.cancels
@pytest.mark.cost(builds=0, requests={"quick": 10, "standard": 40, "thorough": 300})
@pytest.mark.claims("http.status-is-documented", "lookup.existing-version-is-found", "status.answers-200")
def test_links_lead_where_they_say(exam: Examination, run: Run) -> None:
    """The links of the contract lead to operations that find the version."""
    needs_publishing(exam)
    document = Contract.load().document
    for choices in walks(run):
        exchange = exam.publish(exam.ready())
        for _ in range(LINKS):
            onward = [link for link in links(document, exchange.operation, exchange.status) if safe(link)]
            if not onward:
                break
            link = choices.choice(onward)
            exchange = exam.send(exam.call(link.operation, link.ref(exchange)))


def safe(link: Link) -> bool:
    """Whether the walk can continue after *link*."""
    return link.operation != "deleteTemplate"
