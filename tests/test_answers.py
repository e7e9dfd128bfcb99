"""A judge of fingerprints says of thousands of answers what one says who judges each anew."""

import functools
import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import pytest

from tests.answered import JSON, answer_of, corpus, head, keys, request_of, requests
from tests.encodings import ENCODINGS, left
from touchstone.contract import claims as ledger_of_claims
from touchstone.contract.claims import Ledger
from touchstone.contract.document import Contract
from touchstone.facts.events import tallies
from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Finding, Judgement, finding_id
from touchstone.loadgen import judge as load_judge
from touchstone.loadgen.client import LONG_BODY_BYTES, PreparedRequest, Requests
from touchstone.loadgen.judge import INLINE_RULES, AnswerJudge
from touchstone.rules.history import History
from touchstone.rules.judge import Judge
from touchstone.rules.rule import Rule, held, rule
from touchstone.target.answer import Answer
from touchstone.target.call import Call

REF = "default/touchstone-t1-hello@1.0.0"
SECRETS = [key for key in (keys().primary, keys().second, keys().restricted) if key]
BUILDING = json.dumps({"ref": REF, "digest": "ab" * 32, "status": "building"}, separators=(",", ":")).encode()
LIMITED = b'{"error":"Too many requests","request_id":"%d"}'

Shown = tuple[PreparedRequest, Answer]
Seen = tuple[tuple[Finding, ...], Exchange | None]


@functools.cache
def ledger() -> Ledger:
    return ledger_of_claims.load()


def judge_of(its: Requests, rules: Sequence[Rule[Exchange]] = INLINE_RULES) -> AnswerJudge:
    """A judge that has judged nothing."""
    return AnswerJudge(History(Contract.load()), ledger(), its, rules)


def load(its: Requests, number: int) -> Iterator[Shown]:
    """Answers of the corpus in an order of no sense, most of them several times, with times and bytes of their own."""
    chance = random.Random(7)
    asked = [exchange for _, exchanges in corpus() for exchange in exchanges]
    for at_s in range(number):
        exchange = chance.choice(asked)
        answer = answer_of(exchange)
        timed = replace(answer, sent_at=float(at_s), head_at=at_s + 0.5, done_at=at_s + 1.0)
        yield request_of(exchange, its), replace(timed, body=bytes(bytearray(answer.body)))


def anew(its: Requests, shown: Iterable[Shown]) -> tuple[list[Judgement], dict[str, int], Judge]:
    """What a judge says who looks at each answer: all judgements, and how many answers show each finding."""
    judge = Judge(History(Contract.load()), ledger(), INLINE_RULES, ())
    said = []
    times: Counter[str] = Counter()
    for seq, (request, answer) in enumerate(shown, 1):
        judgements = judge.see(its.exchange(request, answer, seq, ""))
        said += judgements
        times.update({judge.finding(j).id for j in judgements if j.outcome == "broken"})
    return said, dict(times), judge


def starts(its: Requests, bodies: Iterable[bytes], at_s: float = 0.0, status: int = 202) -> list[Shown]:
    """Answers to a start, all at one moment."""
    request = its.prepared(Call("startBuild", REF))
    return [(request, Answer(head(status), body, sent_at=at_s, head_at=at_s, done_at=at_s)) for body in bodies]


def see(judging: AnswerJudge, shown: Iterable[Shown]) -> list[Seen]:
    return [judging.judge(request, answer, seq, "case") for seq, (request, answer) in enumerate(shown, 1)]


# --- the same as a judge ---------------------------------------------------------------------------------------------


def test_load_is_judged_as_by_a_judge_of_each_answer() -> None:
    """Tallies, findings and how often each was seen are those of a judge who looks at every answer anew."""
    its = requests()
    shown = list(load(its, 4000))
    judging = judge_of(its)

    seen = see(judging, shown)

    said, times, judge = anew(its, shown)
    assert set(judging.tallies("case")) == set(tallies("case", said))
    assert judging.occurrences() == times
    first = {finding.id: finding for finding in map(judge.finding, reversed(of_broken(said)))}
    assert judging.findings == first
    assert [finding for each in seen for finding in each[0]] == list(judging.findings.values())
    assert sum(each[1] is None for each in seen) > 2500
    assert judging.partly_judged() == ""


def of_broken(judgements: Iterable[Judgement]) -> list[Judgement]:
    return [judgement for judgement in judgements if judgement.outcome == "broken"]


def test_finding_comes_once_with_its_evidence() -> None:
    """What is wrong is told with the exchange that showed it first, as a judge tells it; later answers are counted."""
    its = requests()
    judging = judge_of(its)
    first, again = starts(its, [b'{"ref":1}'] * 2, at_s=60.0)

    findings, exchange = judging.judge(*first, seq=41, case="storm")
    later = judging.judge(*again, seq=42, case="storm")

    assert exchange == its.exchange(*first, 41, "storm")
    assert findings
    assert {finding.evidence for finding in findings} == {(41,)}
    assert {(finding.level, finding.operation) for finding in findings} == {("must", "startBuild")}
    assert all(finding.curl.startswith("curl ") for finding in findings)
    assert later == ((), None)
    assert judging.occurrences() == {finding.id: 2 for finding in findings}


def test_wrong_byte_among_thousands_is_found() -> None:
    """One answer of five thousand that differs in a byte is judged by itself."""
    its = requests()
    judging = judge_of(its)
    wrong = BUILDING.replace(b"building", b"buildinG")
    bodies = [bytes(bytearray(BUILDING)) for _ in range(5000)]
    bodies[3210] = wrong

    seen = see(judging, starts(its, bodies))

    (number,) = (number for number, each in enumerate(seen) if each[0])
    assert number == 3210
    assert [finding.claim for finding in seen[number][0]] == ["status.is-one-of-four"]
    evidence = seen[number][1]
    assert evidence
    assert evidence.response
    assert evidence.response.body == wrong
    assert sum(each[1] is not None for each in seen) == 2


@pytest.mark.parametrize("body", [BUILDING, LIMITED % 7], ids=["start", "limited"])
def test_every_byte_of_an_answer_counts(body: bytes) -> None:
    """Whichever byte of a known answer changes, what is said of it is what a judge says who has seen no other one."""
    its = requests()
    judging = judge_of(its)
    status = 202 if body == BUILDING else 429
    see(judging, starts(its, [body] * 3, status=status))
    chance = random.Random(5)
    for place in range(len(body)):
        changed = body[:place] + bytes([chance.choice(b' "{}[]:,x1\\\xff\n')]) + body[place + 1 :]
        shown = starts(its, [body, changed], status=status)
        before = judging.occurrences()
        see(judging, shown)
        _, times, _ = anew(its, shown)
        assert Counter(judging.occurrences()) - Counter(before) == Counter(times)


def test_unclear_answers_are_counted_with_the_first_reason() -> None:
    """Answers that allow no verdict are tallied beside those that do, and the reason is the one that came first."""
    its = requests()
    judging = judge_of(its)
    request = its.prepared(Call("publishTemplate", REF, "restricted", note={"content": "hello"}))
    shown = [(request, Answer(head(status), b'{"error":"no"}')) for status in (409, 422, 403, 409, 403, 403)]

    see(judging, shown)

    (tally,) = (tally for tally in judging.tallies("x") if tally.claim == "access.publish-needs-scale")
    assert (tally.held, tally.indeterminate) == (3, 3)
    assert tally.reason == "answered 409 before the plan was looked at"
    assert tally in tallies("x", anew(its, shown)[0])


@rule("test.broken", "http.answers")
def failing(exchange: Exchange, history: History) -> Iterator[Judgement]:
    if exchange.seq:
        raise KeyError("of ours")
    yield held("http.answers", exchange)


def test_rule_that_fails_is_told_and_the_others_speak() -> None:
    """An error of ours in a rule costs no other rule its say and is kept for the run to tell."""
    its = requests()
    rules: list[Rule[Exchange]] = [failing, *INLINE_RULES]
    judging = judge_of(its, rules)
    see(judging, starts(its, [BUILDING] * 3))
    assert judging.failed == {"test.broken": "KeyError: 'of ours'"}
    assert {tally.held for tally in judging.tallies()} == {3}


# --- what hits -------------------------------------------------------------------------------------------------------


def test_date_and_request_id_that_change_are_hits() -> None:
    """A refusal with another date, another request id and other ids in its head is one look, told to the last one."""
    its = requests()
    judging = judge_of(its)
    request = its.prepared(Call("startBuild", REF))
    shown = [
        (request, Answer(head(429, [*JSON, ("Date", f"at {n}"), ("X-Request-Id", str(n))]), LIMITED % n))
        for n in range(1000)
    ]
    seen = see(judging, shown)
    assert sum(each[1] is not None for each in seen) == 1
    assert set(judging.tallies()) == set(tallies("", anew(its, shown)[0]))


def test_request_id_that_is_a_number_is_found() -> None:
    """A request id of another type is another look, and wrong, after a thousand of the right one."""
    its = requests()
    judging = judge_of(its)
    see(judging, starts(its, [LIMITED % n for n in range(1000)], status=429))
    (seen,) = see(judging, starts(its, [b'{"error":"Too many requests","request_id":17}'], status=429))
    assert [finding.claim for finding in seen[0]] == ["error.request-id-is-a-string"]
    assert judging.occurrences() == {seen[0][0].id: 1}


def test_server_that_is_gone_is_told_once_for_each_operation() -> None:
    """Connections that fail are one finding, as to a judge, and of each operation it is counted how many did."""
    its = requests()
    judging = judge_of(its)
    calls = [Call("startBuild", REF), Call("getBuild", REF), Call("cancelBuild", REF)]
    shown = [(its.prepared(call), Answer(error="ConnectError: refused", done_at=1.0)) for call in calls * 100]

    seen = see(judging, shown)

    for number, one in enumerate(seen[: len(calls)]):
        said, _, judge = anew(its, shown[number :: len(calls)])
        assert [replace(judge.finding(j), evidence=()) for j in of_broken(said)] == [
            replace(finding, evidence=()) for finding in one[0]
        ]
    assert not any(one[0] for one in seen[len(calls) :])
    times = judging.occurrences()
    assert {f.operation: times[f.id] for f in judging.findings.values()} == dict.fromkeys(
        ("startBuild", "getBuild", "cancelBuild"), 100
    )


# --- secrets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
def test_key_in_an_answer_is_found_each_time(encoding: str) -> None:
    """An answer that repeats a key is never taken for one that does not, and no exchange shows a part of the key."""
    chance = random.Random(2)
    its = requests()
    judging = judge_of(its)
    see(judging, starts(its, [LIMITED % 1] * 3, status=401))
    request = its.prepared(Call("startBuild", REF))
    told = json.dumps(ENCODINGS[encoding](SECRETS[0], chance)).encode()
    leaks = [
        Answer(head(401), b'{"error":%b,"request_id":"1"}' % told),
        Answer(head(401), b'{"error":"Too many requests","request_id":%b}' % told),
        Answer(head(401, [*JSON, ("X-Echo", told.decode())]), LIMITED % 1),
    ]
    seen = see(judging, [(request, leak) for leak in leaks for _ in range(3)])
    (leaked,) = (f.id for f in judging.findings.values() if f.claim == "error.does-not-repeat-the-key")
    assert judging.occurrences()[leaked] == 9
    assert left(repr([seen, judging.findings]), SECRETS) == set()


# --- how much is judged, and how much is kept ------------------------------------------------------------------------


def numbered(its: Requests, first: int, number: int) -> list[Shown]:
    """Answers to a start of which each is another one."""
    return starts(its, (BUILDING.replace(b"ab" * 32, b"%064x" % n) for n in range(first, first + number)))


def test_forgotten_fingerprints_stay_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many fingerprints come, few are kept, and all answers are in the tallies."""
    monkeypatch.setattr(load_judge, "MAX_FINGERPRINTS", 100)
    its = requests()
    judging = judge_of(its)
    see(judging, numbered(its, 0, 550))
    assert len(judging._known) == 50
    assert len(judging._verdicts) == 1
    assert {tally.held for tally in judging.tallies()} == {550}
    assert see(judging, numbered(its, 0, 1))[0][1] is not None


def test_fingerprints_of_which_the_same_is_said_share_their_counts() -> None:
    """What is counted does not grow with the number of wrong answers, only with what is wrong with them."""
    its = requests()
    judging = judge_of(its)
    see(judging, starts(its, (b'{"ref":%d}' % n for n in range(300))))
    assert len(judging._verdicts) == 1
    assert set(judging.occurrences().values()) == {300}


def test_long_body_is_not_judged_by_its_beginning() -> None:
    """What is not kept cannot be judged, and the report says so; a status that must not be is found all the same."""
    its = requests()
    judging = judge_of(its)
    ((request, good),) = starts(its, [b'{"ref":"'])
    long = replace(good, body=good.body + b"x" * LONG_BODY_BYTES)
    failed = replace(long, head=head(500))
    assert [each[0] for each in see(judging, [(request, long)] * 2)] == [(), ()]
    assert judging.partly_judged() == (
        "2 answers were judged by the cheap rules only (status, media type, whether all of it came): "
        "of a long body only the beginning is kept"
    )
    assert "http.no-server-error" in {finding.claim for finding in see(judging, [(request, failed)])[0][0]}
    assert judging.partly_judged().startswith("3 answers")
    assert see(judging, [(request, good)])[0][0]


def test_id_of_a_finding_is_the_one_of_a_judge() -> None:
    """Findings of a load run and of a check have the same ids, so that two runs can be compared."""
    its = requests()
    judging = judge_of(its)
    see(judging, starts(its, [b"{}"], status=500))
    named = [f for f in judging.findings.values() if f.claim == "http.no-server-error"]
    wanted = finding_id("http.no-server-error", "startBuild", "protocol.no-server-error", "no 5xx")
    assert [f.id for f in named] == [wanted]
