"""The judge applies rules to a growing history and returns each judgement once."""

from collections.abc import Iterator

from tests.rules.exchanges import REF, exchange, history, publish
from touchstone.contract import claims
from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Judgement
from touchstone.rules.history import History
from touchstone.rules.judge import Judge
from touchstone.rules.rule import Rule, broken, held, judged, rule, story_rule, unclear

CLAIM, OTHER = "status.answers-200", "start.answers-202"


@rule("test.each", CLAIM)
def each(exchange: Exchange, _: History) -> Iterator[Judgement]:
    yield judged(CLAIM, exchange.status == 200, exchange, expected="200", actual=str(exchange.status))


@rule("test.undeclared", CLAIM)
def undeclared(exchange: Exchange, _: History) -> Iterator[Judgement]:
    yield held(OTHER, exchange)


@story_rule("test.story", OTHER)
def story(ref: str, history: History) -> Iterator[Judgement]:
    for one in history.story(ref):
        yield held(OTHER, one) if len(history.story(ref)) > 1 else unclear(OTHER, one, why="too early")


@story_rule("test.owners", OTHER)
def owners(ref: str, known: History) -> Iterator[Judgement]:
    yield held(OTHER, *known.story(ref))


def judge_of(*rules: Rule[Exchange]) -> Judge:
    return Judge(history(), claims.load(), rules or (each,), (story,))


def test_exchange_is_in_the_history_when_it_is_judged() -> None:
    judge = judge_of()
    judgements = judge.add(exchange())

    assert [(j.claim, j.outcome, j.check, j.evidence) for j in judgements] == [(CLAIM, "held", "test.each", (1,))]
    assert [e.seq for e in judge.history.exchanges] == [1]


def test_story_is_judged_anew_and_each_judgement_given_once() -> None:
    judge = judge_of()
    judge.add(exchange())
    first, again = judge.conclude([REF]), judge.conclude([REF, REF])
    judge.add(exchange(seq=2))

    assert [(j.outcome, j.evidence) for j in first] == [("indeterminate", (1,))]
    assert again == []
    assert [(j.outcome, j.evidence) for j in judge.conclude([REF])] == [("held", (1,)), ("held", (2,))]


def test_finding_has_its_level_the_request_and_a_stable_id() -> None:
    findings = []
    for seq, status in ((1, 202), (7, 404)):
        judge = judge_of()
        (judgement,) = judge.add(exchange(status=status, seq=seq))
        findings.append(judge.finding(judgement))

    one, other = findings
    assert (one.claim, one.level, one.operation, one.check) == (CLAIM, "must", "getBuild", "test.each")
    assert (one.expected, one.actual, one.evidence) == ("200", "202", (1,))
    assert one.where.startswith("GET http://")
    assert one.where.removeprefix("GET ") in one.curl
    assert one.id == other.id


def test_failing_rule_is_kept_and_the_others_still_judge() -> None:
    judge = judge_of(undeclared, each)

    assert [judgement.check for judgement in judge.add(exchange())] == ["test.each"]
    assert list(judge.failed) == ["test.undeclared"]


def test_version_of_two_accounts_is_judged_once_for_each() -> None:
    stories = {
        ((1, 2, 4), (3, 4)): [
            publish(1),
            exchange(seq=2),
            publish(3, credential="second"),
            exchange(seq=4, credential="none"),
        ],
        ((1, 3), (2, 3)): [
            publish(1),
            publish(2, credential="second", status=409),
            publish(3, credential="none", status=401),
        ],
    }
    for expected, exchanges in stories.items():
        judge = Judge(history(), claims.load(), (), (owners,))
        for one in exchanges:
            judge.add(one)
        assert tuple(sorted(j.evidence for j in judge.conclude([REF]))) == expected


def test_versions_are_accused_by_what_is_broken() -> None:
    judge = judge_of()
    judge.add(exchange())

    assert judge.accused([broken(OTHER, exchange(), expected="this", actual="that")]) == {REF}
    assert judge.accused(judge.conclude([REF])) == set()
