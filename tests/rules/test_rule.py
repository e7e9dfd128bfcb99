"""What a rule hands over: judgements that are signed, with their evidence, about claims that it declares."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.rules.exchanges import exchange, history
from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Judgement
from touchstone.rules.history import History
from touchstone.rules.rule import broken, held, judged, render, rule, unclear

FIRST, LAST = exchange("startBuild", 202, seq=3), exchange("getBuild", seq=8)


@rule("some.rule", "a.claim")
def some(subject: str, known: History) -> Iterator[Judgement]:
    """Speaks about the claim that it is told."""
    yield held(subject, LAST)


def test_judgement_is_signed_by_its_rule() -> None:
    """Whoever reads it knows which rule judged."""
    assert [judgement.check for judgement in some("a.claim", history())] == ["some.rule"]
    assert (some.id, some.claims) == ("some.rule", frozenset({"a.claim"}))


def test_signature_changes_nothing_else() -> None:
    """What a rule says comes out as it was said."""
    said = broken("a.claim", FIRST, LAST, expected="200", actual="500")

    @rule("another.rule", "a.claim")
    def repeats(_: str, known: History) -> Iterator[Judgement]:
        yield said

    assert list(repeats("", history())) == [replace(said, check="another.rule")]


def test_rule_that_speaks_about_another_claim_is_a_mistake_of_ours() -> None:
    """A rule may judge what it declares, and nothing else."""
    with pytest.raises(AssertionError, match=r"rule some\.rule speaks about another, which it does not declare"):
        list(some("another", history()))


@pytest.mark.parametrize(
    ("judgement", "outcome", "expected", "actual"),
    [
        (held("a.claim", FIRST, LAST), "held", "", ""),
        (broken("a.claim", FIRST, LAST, expected="200", actual="500"), "broken", "200", "500"),
        (unclear("a.claim", FIRST, LAST, why="a limit"), "indeterminate", "", "a limit"),
        (judged("a.claim", True, FIRST, LAST, expected="200", actual="200"), "held", "", ""),
        (judged("a.claim", False, FIRST, LAST, expected="200", actual="500"), "broken", "200", "500"),
    ],
)
def test_judgement_rests_on_its_evidence(judgement: Judgement, outcome: str, expected: str, actual: str) -> None:
    """The numbers of all exchanges in order, and the operation of the last one; words only where something is wrong."""
    assert judgement == Judgement("a.claim", outcome, "", "getBuild", (3, 8), expected, actual)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("length", "text"), [(118, "'" + "a" * 118 + "'"), (119, "'" + "a" * 118 + "…"), (300, "'" + "a" * 118 + "…")]
)
def test_value_is_shown_in_a_line(length: int, text: str) -> None:
    """A repr of up to 120 characters is whole; a longer one is cut to as many, and says so."""
    assert render("a" * length) == text


def test_evidence_is_made_of_exchanges() -> None:
    """What is handed over are numbers, which the run log has."""
    assert isinstance(LAST, Exchange)
    assert held("a.claim", FIRST, LAST) == Judgement("a.claim", "held", "", "getBuild", (3, 8), "", "")


def test_rule_is_made_of_its_id_its_claims_and_what_it_does() -> None:
    """The decorator leaves the function as it is and adds what a reader of findings has to know."""

    def judge(_: str, __: History) -> Iterator[Judgement]:
        yield held("b.claim", LAST)

    made = rule("made.here", "a.claim", "b.claim")(judge)

    assert (made.id, made.claims, made.judge) == ("made.here", frozenset({"a.claim", "b.claim"}), judge)


def test_object_and_list_are_shown_as_json() -> None:
    """As the wire has them, and cut as well."""
    assert render({"deleted": True, "error": "ä"}) == '{"deleted": true, "error": "ä"}'
    assert render([None, "a"]) == '[null, "a"]'
    assert render({"a": "b" * 200}, 10) == '{"a": "bb…'
