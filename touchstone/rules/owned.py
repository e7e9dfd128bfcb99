"""Judges what the owner of an existing version is answered: reading its status, reading it, deleting it."""

from collections.abc import Iterator

from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Judgement
from touchstone.rules.answers import garbled, told
from touchstone.rules.course import Course
from touchstone.rules.documents import document_problem
from touchstone.rules.history import History
from touchstone.rules.requests import excused, operation_of, spelling
from touchstone.rules.rule import Rule, judged, rule, unclear
from touchstone.rules.standing import standing


@rule("owned.status", "status.answers-200")
def status_answers_200(ref: str, history: History) -> Iterator[Judgement]:
    """Judges each status read of an existing version by its owner."""
    for exchange in _by_owner("getBuild", ref, history):
        if exchange.status == 429:
            yield unclear("status.answers-200", exchange, why="a limit got in the way")
        else:
            fits = exchange.status == 200
            yield judged("status.answers-200", fits, exchange, expected="200", actual=told(exchange))


@rule("owned.template", "template.read-shows-the-published")
def template_read(ref: str, history: History) -> Iterator[Judgement]:
    """Judges each read of an existing version by its owner: status, ref, digest and document."""
    claim = "template.read-shows-the-published"
    for exchange in _by_owner("getTemplate", ref, history):
        if exchange.status == 429:
            yield unclear(claim, exchange, why="a limit got in the way")
        elif exchange.status != 200:
            yield judged(claim, False, exchange, expected="200", actual=told(exchange))
        elif not garbled(exchange):
            expected = "ref, digest and document of the version"
            actual = document_problem(exchange, ref, history)
            yield judged(claim, not actual, exchange, expected=expected, actual=actual)


@rule("owned.delete", "template.delete-says-deleted")
def delete_refused(ref: str, history: History) -> Iterator[Judgement]:
    """Judges each delete of an existing version that its owner is refused; one that succeeds is judged by its answer.

    Facts 7.42: what a delete does to a running build is undocumented, so that it may be a conflict.
    """
    claim, course = "template.delete-says-deleted", history.once(Course, ref)
    for exchange in _by_owner("deleteTemplate", ref, history):
        if exchange.status == 429:
            yield unclear(claim, exchange, why="a limit got in the way")
        elif exchange.status >= 300 and exchange.status not in ({404} if course.over(exchange) else {404, 409}):
            expected = "200 and an object with deleted true"
            yield judged(claim, False, exchange, expected=expected, actual=told(exchange))


def _by_owner(operation: str, ref: str, history: History) -> Iterator[Exchange]:
    """The answered requests for *operation* by the owner of *ref* while it existed; 401 has a claim of its own.

    The plan of an account may keep more from it than starting and publishing (facts 7.22), so *restricted* is left out.
    """
    for exchange in history.story(ref):
        asked = operation_of(exchange, history.contract)
        if asked is None or asked.id != operation or exchange.credential == "restricted":
            continue
        if exchange.response is None or exchange.error or exchange.status == 401:
            continue
        if exchange.status in excused(exchange, history.contract):
            continue
        if spelling(exchange, history.contract) == "plain" and standing(exchange, history) == "own":
            yield exchange


STORY_RULES: tuple[Rule[str], ...] = (status_answers_200, template_read, delete_refused)
