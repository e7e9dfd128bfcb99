"""The judge applies rules to a growing history and tells each judgement once."""

from collections.abc import Iterator

import pytest

from tests.rules.exchanges import REF, exchange, history, publish
from touchstone.contract import claims
from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Judgement
from touchstone.rules.history import History
from touchstone.rules.judge import Judge
from touchstone.rules.rule import Rule, broken, held, rule, unclear

CLAIM, OTHER = "status.answers-200", "start.answers-202"


@rule("test.each", CLAIM)
def each(exchange: Exchange, history: History) -> Iterator[Judgement]:
    if exchange.status == 200:
        yield held(CLAIM, exchange)
    else:
        yield broken(CLAIM, exchange, expected="200", actual=str(exchange.status))


@rule("test.story", OTHER)
def story(ref: str, history: History) -> Iterator[Judgement]:
    for one in history.story(ref):
        yield held(OTHER, one) if len(history.story(ref)) > 1 else unclear(OTHER, one, why="too early")


@rule("test.liar", CLAIM)
def liar(exchange: Exchange, history: History) -> Iterator[Judgement]:
    yield held(OTHER, exchange)


def judge(*exchange_rules: Rule[Exchange]) -> Judge:
    return Judge(history(), claims.load(), exchange_rules or (each,), (story,))


def test_exchange_is_in_the_history_when_it_is_judged() -> None:
    """A rule that looks at an exchange finds it among what is known."""
    judging = judge()

    judged = judging.see(exchange())

    assert [(j.claim, j.outcome, j.check, j.evidence) for j in judged] == [(CLAIM, "held", "test.each", (1,))]
    assert [e.seq for e in judging.history.exchanges] == [1]


def test_story_is_told_once() -> None:
    """What a story rule said before is not said again, and what it says anew is."""
    judging = judge()
    judging.see(exchange())

    first, again = judging.tell([REF]), judging.tell([REF, REF])
    judging.see(exchange(seq=2))
    later = judging.tell([REF])

    assert [(j.outcome, j.evidence) for j in first] == [("indeterminate", (1,))]
    assert again == []
    assert [(j.outcome, j.evidence) for j in later] == [("held", (1,)), ("held", (2,))]


def test_finding_tells_how_to_send_the_request_again() -> None:
    """A broken judgement becomes a finding with the level of its claim, the deciding request, and a command for it."""
    judging = judge()
    (judgement,) = judging.see(exchange(status=202))

    finding = judging.finding(judgement)

    assert (finding.claim, finding.level, finding.operation, finding.check) == (CLAIM, "must", "getBuild", "test.each")
    assert (finding.expected, finding.actual, finding.evidence) == ("200", "202", (1,))
    assert finding.where.startswith("GET http://")
    assert finding.where.removeprefix("GET ") in finding.curl


def test_finding_of_another_run_has_the_same_id() -> None:
    """The id of a finding depends on what was promised, not on when it was broken."""
    found = []
    for seq, status in ((1, 202), (7, 404)):
        judging = judge()
        (judgement,) = judging.see(exchange(status=status, seq=seq))
        found.append(judging.finding(judgement).id)

    assert found[0] == found[1]


def test_rule_that_speaks_about_an_undeclared_claim_is_a_bug() -> None:
    """A rule may only judge the claims that it names, or the map from claims to rules would lie."""
    with pytest.raises(AssertionError, match=r"test\.liar speaks about start\.answers-202"):
        list(liar(exchange(), history()))


def test_failing_rule_is_told_and_the_others_still_speak() -> None:
    """An error inside one rule costs no other rule its say, and the judge keeps it for the run to tell."""
    judging = judge(liar, each)

    assert [judgement.check for judgement in judging.see(exchange())] == ["test.each"]
    assert list(judging.failed) == ["test.liar"]
    assert "speaks about start.answers-202" in judging.failed["test.liar"]


@rule("test.owners", OTHER)
def owners(ref: str, known: History) -> Iterator[Judgement]:
    """Tells who has the version, by the number of exchanges about it."""
    yield held(OTHER, *known.story(ref))


def test_version_of_two_accounts_is_told_once_for_each() -> None:
    """Each account has a story of its own about a name that both have a version of."""
    judging = Judge(history(), claims.load(), (), (owners,))
    theirs = publish(3, credential="second")
    for each_one in (publish(1), exchange(seq=2), theirs, exchange(seq=4, credential="none")):
        judging.see(each_one)

    assert sorted(j.evidence for j in judging.tell([REF])) == [(1, 2, 4), (3, 4)]


def test_version_that_another_account_may_not_publish_is_told_for_it_too() -> None:
    """An account whose publish is refused has a story as well: that name is free for it."""
    judging = Judge(history(), claims.load(), (), (owners,))
    for each_one in (
        publish(1),
        publish(2, credential="second", status=409),
        publish(3, credential="none", status=401),
    ):
        judging.see(each_one)

    assert sorted(j.evidence for j in judging.tell([REF])) == [(1, 3), (2, 3)]


def test_versions_are_accused_by_what_is_broken() -> None:
    """Findings name the versions that their evidence is about; what is held names none."""
    judging = judge()
    judging.see(exchange())

    assert judging.accused([broken(OTHER, exchange(), expected="this", actual="that")]) == {REF}
    assert judging.accused(judging.tell([REF])) == set()
