"""An appraiser says of thousands of answers what a judge says who looks at each, and looks at few."""

import functools
import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest

from tests.answered import JSON, answer_of, corpus, head, keys, shot_of, shots
from tests.encodings import ENCODINGS, left
from touchstone.contract import claims as ledger_of_claims
from touchstone.contract.claims import Ledger
from touchstone.contract.document import Contract
from touchstone.facts.events import tallies
from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Judgement, finding_id
from touchstone.loadgen.inline_judge import INLINE_RULES, Appraiser, Seen
from touchstone.loadgen.prepared_request import LONG_BODY_BYTES, Shot, Shots
from touchstone.rules.history import History
from touchstone.rules.judge import Judge
from touchstone.rules.rule import Rule, held, rule
from touchstone.target.answer import Answer
from touchstone.target.call import Call

REF = "default/touchstone-t1-hello@1.0.0"
SECRETS = [key for key in (keys().primary, keys().second, keys().restricted) if key]
BUILDING = json.dumps({"ref": REF, "digest": "ab" * 32, "status": "building"}, separators=(",", ":")).encode()
LIMITED = b'{"error":"Too many requests","request_id":"%d"}'

Shown = tuple[Shot, Answer]


@functools.cache
def ledger() -> Ledger:
    return ledger_of_claims.load()


def appraiser(its: Shots, **bounds: float) -> Appraiser:
    """An appraiser that has seen nothing; without bounds it judges whatever it has to."""
    most_looks = int(bounds.pop("most_looks", 50_000))
    per_s = bounds.pop("max_misses_per_s", 1e9)
    known = History(Contract.load())
    return Appraiser(known, ledger(), INLINE_RULES, its, max_misses_per_s=per_s, most_looks=most_looks)


def load(its: Shots, number: int) -> Iterator[Shown]:
    """Answers of the corpus in an order of no sense, most of them several times, with times and bytes of their own."""
    chance = random.Random(7)
    asked = [exchange for _, exchanges in corpus() for exchange in exchanges]
    for at_s in range(number):
        exchange = chance.choice(asked)
        answer = answer_of(exchange)
        timed = replace(answer, sent_at=float(at_s), head_at=at_s + 0.5, done_at=at_s + 1.0)
        yield shot_of(exchange, its), replace(timed, body=bytes(bytearray(answer.body)))


def anew(its: Shots, shown: Iterable[Shown]) -> tuple[list[Judgement], dict[str, int], Judge]:
    """What a judge says who looks at each answer: all judgements, and how many answers show each finding."""
    judge = Judge(History(Contract.load()), ledger(), INLINE_RULES, ())
    said = []
    times: Counter[str] = Counter()
    for seq, (shot, answer) in enumerate(shown, 1):
        judgements = judge.see(its.exchange(shot, answer, seq, "", 0.0))
        said += judgements
        times.update({judge.finding(j).id for j in judgements if j.outcome == "broken"})
    return said, dict(times), judge


def starts(its: Shots, bodies: Iterable[bytes], at_s: float = 0.0, status: int = 202) -> list[Shown]:
    """Answers to a start, all at one moment."""
    shot = its.shot(Call("startBuild", REF))
    return [(shot, Answer(head(status), body, sent_at=at_s, head_at=at_s, done_at=at_s)) for body in bodies]


def see(judging: Appraiser, shown: Iterable[Shown]) -> list[Seen]:
    return [judging.see(shot, answer, seq, "case") for seq, (shot, answer) in enumerate(shown, 1)]


# --- the same as a judge ---------------------------------------------------------------------------------------------


def test_load_is_judged_as_by_a_judge_of_each_answer() -> None:
    """Tallies, findings and how often each was seen are those of a judge who looks at every answer anew."""
    its = shots()
    shown = list(load(its, 4000))
    judging = appraiser(its)

    seen = see(judging, shown)

    said, times, judge = anew(its, shown)
    assert set(judging.tallies("case")) == set(tallies("case", said))
    assert judging.occurrences() == times
    first = {finding.id: finding for finding in map(judge.finding, reversed(of_broken(said)))}
    assert judging.findings == first
    assert [finding for each in seen for finding in each.findings] == list(judging.findings.values())
    assert sum(each.exchange is None for each in seen) > 2500
    assert judging.cheaply_judged == 0


def of_broken(judgements: Iterable[Judgement]) -> list[Judgement]:
    return [judgement for judgement in judgements if judgement.outcome == "broken"]


def test_finding_comes_once_with_its_evidence() -> None:
    """What is wrong is told with the exchange that showed it first, as a judge tells it; later answers are counted."""
    its = shots()
    judging = appraiser(its)
    judging.offset_s = -50.0
    first, again = starts(its, [b'{"ref":1}'] * 2, at_s=60.0)

    told = judging.see(*first, seq=41, case="storm")
    later = judging.see(*again, seq=42, case="storm")

    assert told.exchange == its.exchange(*first, 41, "storm", -50.0)
    assert told.exchange.sent_at == 10.0
    assert told.findings
    assert {finding.evidence for finding in told.findings} == {(41,)}
    assert {(finding.level, finding.operation) for finding in told.findings} == {("must", "startBuild")}
    assert all(finding.curl.startswith("curl ") for finding in told.findings)
    assert (later.findings, later.exchange) == ((), None)
    assert judging.occurrences() == {finding.id: 2 for finding in told.findings}


def test_wrong_byte_among_thousands_is_found() -> None:
    """One answer of five thousand that differs in a byte is judged by itself."""
    its = shots()
    judging = appraiser(its)
    wrong = BUILDING.replace(b"building", b"buildinG")
    bodies = [bytes(bytearray(BUILDING)) for _ in range(5000)]
    bodies[3210] = wrong

    seen = see(judging, starts(its, bodies))

    (number,) = (number for number, each in enumerate(seen) if each.findings)
    assert number == 3210
    assert [finding.claim for finding in seen[number].findings] == ["status.is-one-of-four"]
    evidence = seen[number].exchange
    assert evidence
    assert evidence.response
    assert evidence.response.body == wrong
    assert sum(each.exchange is not None for each in seen) == 2


@pytest.mark.parametrize("body", [BUILDING, LIMITED % 7], ids=["start", "limited"])
def test_every_byte_of_an_answer_counts(body: bytes) -> None:
    """Whichever byte of a known answer changes, what is said of it is what a judge says who has seen no other one."""
    its = shots()
    judging = appraiser(its)
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
    its = shots()
    judging = appraiser(its)
    shot = its.shot(Call("publishTemplate", REF, "restricted", note={"content": "hello"}))
    shown = [(shot, Answer(head(status), b'{"error":"no"}')) for status in (409, 422, 403, 409, 403, 403)]

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
    its = shots()
    rules: list[Rule[Exchange]] = [failing, *INLINE_RULES]
    judging = Appraiser(History(Contract.load()), ledger(), rules, its)
    see(judging, starts(its, [BUILDING] * 3))
    assert judging.failed == {"test.broken": "KeyError: 'of ours'"}
    assert {tally.held for tally in judging.tallies()} == {3}


# --- what hits -------------------------------------------------------------------------------------------------------


def test_date_and_request_id_that_change_are_hits() -> None:
    """A refusal with another date, another request id and other ids in its head is one look, told to the last one."""
    its = shots()
    judging = appraiser(its)
    shot = its.shot(Call("startBuild", REF))
    shown = [
        (shot, Answer(head(429, [*JSON, ("Date", f"at {n}"), ("X-Request-Id", str(n))]), LIMITED % n))
        for n in range(1000)
    ]
    seen = see(judging, shown)
    assert sum(each.exchange is not None for each in seen) == 1
    assert set(judging.tallies()) == set(tallies("", anew(its, shown)[0]))


def test_request_id_that_is_a_number_is_found() -> None:
    """A request id of another type is another look, and wrong, after a thousand of the right one."""
    its = shots()
    judging = appraiser(its)
    see(judging, starts(its, [LIMITED % n for n in range(1000)], status=429))
    (seen,) = see(judging, starts(its, [b'{"error":"Too many requests","request_id":17}'], status=429))
    assert [finding.claim for finding in seen.findings] == ["error.request-id-is-a-string"]
    assert judging.occurrences() == {seen.findings[0].id: 1}


def test_server_that_is_gone_is_told_once_for_each_operation() -> None:
    """Connections that fail are one finding, as to a judge, and of each operation it is counted how many did."""
    its = shots()
    judging = appraiser(its)
    calls = [Call("startBuild", REF), Call("getBuild", REF), Call("cancelBuild", REF)]
    shown = [(its.shot(call), Answer(error="ConnectError: refused", done_at=1.0)) for call in calls * 100]

    seen = see(judging, shown)

    for number, one in enumerate(seen[: len(calls)]):
        said, _, judge = anew(its, shown[number :: len(calls)])
        assert [replace(judge.finding(j), evidence=()) for j in of_broken(said)] == [
            replace(finding, evidence=()) for finding in one.findings
        ]
    assert not any(one.findings for one in seen[len(calls) :])
    times = judging.occurrences()
    assert {f.operation: times[f.id] for f in judging.findings.values()} == dict.fromkeys(
        ("startBuild", "getBuild", "cancelBuild"), 100
    )


# --- secrets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
@pytest.mark.parametrize("per_s", [1e9, 0.0], ids=["all rules", "cheap rules"])
def test_key_in_an_answer_is_found_each_time(encoding: str, per_s: float) -> None:
    """An answer that repeats a key is never taken for a known one, and no exchange shows a part of the key.

    Also where no more looks may be judged: head, body and request id of thousands of good answers look the same.
    """
    chance = random.Random(2)
    its = shots()
    judging = appraiser(its, max_misses_per_s=per_s)
    see(judging, starts(its, [b"%d" % n for n in range(1200)] + [LIMITED % 1] * 3, status=401))
    shot = its.shot(Call("startBuild", REF))
    told = json.dumps(ENCODINGS[encoding](SECRETS[0], chance)).encode()
    leaks = [
        Answer(head(401), b'{"error":%b,"request_id":"1"}' % told),
        Answer(head(401), b'{"error":"Too many requests","request_id":%b}' % told),
        Answer(head(401, [*JSON, ("X-Echo", told.decode())]), LIMITED % 1),
    ]
    seen = see(judging, [(shot, leak) for leak in leaks for _ in range(3)])
    (leaked,) = (f.id for f in judging.findings.values() if f.claim == "error.does-not-repeat-the-key")
    assert judging.occurrences()[leaked] == 9
    assert all(each.exchange for each in seen)
    assert left(repr([seen, judging.findings]), SECRETS) == set()


# --- how much is judged, and how much is kept ------------------------------------------------------------------------


def numbered(its: Shots, first: int, number: int, at_s: float) -> list[Shown]:
    """Answers to a start that look different, all at one moment."""
    bodies = (BUILDING.replace(b"ab" * 32, b"%064x" % n) for n in range(first, first + number))
    return starts(its, bodies, at_s)


def judged_cheaply(judging: Appraiser, shown: list[Shown]) -> int:
    before = judging.cheaply_judged
    see(judging, shown)
    return judging.cheaply_judged - before


def test_looks_beyond_the_bound_are_judged_cheaply() -> None:
    """
    A thousand new looks are judged at once, then 200 a second by the clock of the engine, and no more after a rest.
    """
    its = shots()
    judging = appraiser(its, max_misses_per_s=200.0)
    assert judged_cheaply(judging, numbered(its, 0, 1500, at_s=1000.0)) == 500
    assert judged_cheaply(judging, numbered(its, 2000, 500, at_s=1001.0)) == 300
    assert judged_cheaply(judging, numbered(its, 3000, 500, at_s=1001.25)) == 450
    assert judged_cheaply(judging, numbered(its, 4000, 10, at_s=900.0)) == 10
    assert judged_cheaply(judging, numbered(its, 4500, 10, at_s=1001.25)) == 10
    assert judged_cheaply(judging, numbered(its, 5000, 1500, at_s=9999.0)) == 500
    assert judging.told() == (
        "1,770 answers were judged by the cheap rules only (status, media type, whether all of it came): "
        "more than 200 a second looked like none before"
    )


def test_known_looks_cost_nothing_of_the_bound() -> None:
    """Where no look may be judged any more, answers that look like judged ones still count for all rules."""
    its = shots()
    judging = appraiser(its, max_misses_per_s=0.0)
    see(judging, numbered(its, 0, 1000, at_s=1.0))
    assert judged_cheaply(judging, numbered(its, 0, 1000, at_s=2.0)) == 0
    assert judging.told() == ""
    assert judged_cheaply(judging, numbered(its, 1000, 1, at_s=3.0)) == 1
    assert judging.told().startswith("1 answer was judged")


@pytest.mark.parametrize(
    ("answer", "claims"),
    [
        (Answer(head(202), b'{"ref":1}'), []),
        (Answer(head(500), b"{}"), ["http.no-server-error"]),
        (Answer(head(418), b"{}"), ["http.status-is-documented"]),
        (Answer(head(202, [("Content-Type", "text/html")]), b"<p>"), ["http.json-media-type"]),
        (Answer(head(202), b"", error="ReadTimeout: x"), ["http.answers"]),
        (Answer(error="ReadTimeout: x"), ["http.answers"]),
    ],
)
def test_cheap_rules_see_status_type_and_completeness(answer: Answer, claims: list[str]) -> None:
    """Where only the cheap rules are asked, a wrong status, media type or end is found; what a body says is not."""
    its = shots()
    judging = appraiser(its, max_misses_per_s=0.0)
    see(judging, numbered(its, 0, 1001, at_s=0.0))
    shot = its.shot(Call("startBuild", REF))

    seen = see(judging, [(shot, answer)] * 3)

    assert sorted(finding.claim for finding in seen[0].findings) == claims
    assert [(each.findings, each.exchange) for each in seen[1:]] == [((), None), ((), None)]
    assert set(judging.occurrences().values()) <= {3}
    assert judging.cheaply_judged == 4


def test_look_that_was_judged_cheaply_is_judged_when_there_is_room() -> None:
    """What only the cheap rules saw is no known look: the next one of it is judged by all rules."""
    its = shots()
    judging = appraiser(its, max_misses_per_s=1.0)
    see(judging, numbered(its, 0, 1000, at_s=0.0))
    assert see(judging, starts(its, [b'{"ref":1}'], at_s=0.5))[0].findings == ()
    assert see(judging, starts(its, [b'{"ref":1}'], at_s=1.5))[0].findings != ()


def test_forgotten_looks_stay_counted() -> None:
    """However many looks come, few are kept, those that come again and again among them, and all are in the tallies."""
    its = shots()
    judging = appraiser(its, most_looks=100)
    often = numbered(its, 9999, 1, 0.0)
    seen = see(judging, [one for n in range(0, 2000, 10) for one in (*often, *numbered(its, n, 10, float(n)))])
    assert sum(each.exchange is not None for each in seen) == 2001
    assert len(judging._known) <= 100
    assert len(judging._verdicts) == 1
    assert {tally.held for tally in judging.tallies()} == {2200}
    assert see(judging, numbered(its, 0, 1, 2000.0))[0].exchange is not None


def test_looks_of_which_the_same_is_said_share_their_counts() -> None:
    """What is counted does not grow with the number of wrong answers, only with what is wrong with them."""
    its = shots()
    judging = appraiser(its)
    see(judging, starts(its, (b'{"ref":%d}' % n for n in range(300))))
    assert len(judging._verdicts) == len(judging._alike) == 1
    assert set(judging.occurrences().values()) == {300}


# --- looks of another process ----------------------------------------------------------------------------------------


def test_look_of_another_process_is_counted_as_often_as_it_came() -> None:
    """A look that is told once counts as many answers as are told with it and after it, right or wrong."""
    its = shots()
    judging = appraiser(its)
    ((shot, right), (_, wrong)) = starts(its, [BUILDING, b'{"ref":1}'])

    good = judging.appraise_look(shot, right, 10, seq=1)
    bad = judging.appraise_look(shot, wrong, 1, seq=11)
    judging.add(good.look, 90)
    judging.add(bad.look, 4)
    judging.see(shot, right, 16)

    one_by_one = starts(its, [BUILDING] * 101 + [b'{"ref":1}'] * 5)
    said, times, _ = anew(its, one_by_one)
    assert set(judging.tallies()) == set(tallies("", said))
    assert judging.occurrences() == times
    assert (bool(good.exchange), good.findings, bool(bad.findings)) == (True, (), True)


def test_look_of_another_process_that_is_known_is_not_judged_again() -> None:
    """What this process has seen, or another one has told, is known from both; the number of its head says nothing."""
    its = shots()
    judging = appraiser(its)
    ((shot, answer), (_, limited)) = starts(its, [BUILDING, LIMITED % 1])
    assert answer.head
    limited = replace(limited, head=replace(head(429), kind=answer.head.kind))
    judging.see(shot, answer, 1)
    assert judging.appraise_look(shot, answer, 5, seq=2).exchange is None
    assert judging.appraise_look(shot, limited, 5, seq=3).exchange is not None
    assert judging.appraise_look(shot, limited, 5, seq=4).exchange is None


def test_look_of_another_process_beyond_the_bound_is_judged_cheaply() -> None:
    """The bound holds for them as well, and whatever is added to such a look later was judged cheaply, too."""
    its = shots()
    judging = appraiser(its, max_misses_per_s=0.0)
    see(judging, numbered(its, 0, 1000, at_s=0.0))
    ((shot, answer),) = starts(its, [b'{"ref":1}'])
    seen = judging.appraise_look(shot, answer, 7, seq=1)
    judging.add(seen.look, 3)
    assert (seen.findings, judging.cheaply_judged) == ((), 10)


def test_beginning_of_a_long_body_is_not_taken_for_the_body() -> None:
    """What is not here cannot be judged, which is told; a status that must not be is seen all the same."""
    its = shots()
    judging = appraiser(its)
    ((shot, good),) = starts(its, [b'{"ref":"'])
    seen = judging.appraise_look(shot, replace(good, is_partial=True), 2, seq=1)
    assert seen.findings == ()
    assert judging.told() == (
        "2 answers were judged by the cheap rules only (status, media type, whether all of it came): "
        "of a long body only the beginning is kept"
    )
    assert judging.appraise_look(shot, good, 1, seq=3).findings
    long = replace(good, body=good.body + b"x" * LONG_BODY_BYTES)
    assert see(judging, [(shot, long)])[0].findings == ()
    judging.add(seen.look, -1)
    failed = replace(good, head=head(500), is_partial=True)
    claims = {finding.claim for finding in judging.appraise_look(shot, failed, 1, seq=4).findings}
    assert "http.no-server-error" in claims
    judging.add(seen.look, 1)
    assert judging.told().startswith("4 answers")


def test_id_of_a_finding_is_the_one_of_a_judge() -> None:
    """Findings of a load run and of a check have the same ids, so that two runs can be compared."""
    its = shots()
    judging = appraiser(its)
    see(judging, starts(its, [b"{}"], status=500))
    named = [f for f in judging.findings.values() if f.claim == "http.no-server-error"]
    wanted = finding_id("http.no-server-error", "startBuild", "protocol.no-server-error", "no 5xx")
    assert [f.id for f in named] == [wanted]
