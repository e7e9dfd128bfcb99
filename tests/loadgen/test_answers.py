"""A judge of fingerprints concludes of thousands of answers what a judge of each answer concludes."""

import itertools
import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.answered import JSON, answer_of, corpus, head, history_of, keys, request_of, requests, set_up
from tests.encodings import ENCODINGS, left
from tests.rules.exchanges import REF
from tests.rules.judging import cases
from touchstone.contract import claims
from touchstone.contract.document import Contract
from touchstone.facts.events import tallies
from touchstone.facts.exchange import Exchange, Response
from touchstone.facts.finding import Finding, Judgement
from touchstone.loadgen import judge as load_judge
from touchstone.loadgen.client import Requests
from touchstone.loadgen.judge import INLINE_RULES, LARGE_BODY_BYTES, READ_HEADERS, AnswerJudge
from touchstone.rules import protocol
from touchstone.rules.history import History
from touchstone.rules.judge import Judge
from touchstone.target.call import LONG_BODY_BYTES, NOT_REACHED, Answer, Call, OutgoingRequest

SECRETS = [key for key in (keys().primary, keys().second, keys().restricted) if key]
KEY = keys().primary
BUILDING = json.dumps({"ref": REF, "digest": "ab" * 32, "status": "building"}, separators=(",", ":")).encode()
LIMITED = b'{"error":"Too many requests","request_id":"%d"}'
LEDGER = claims.load()
GET, START = Call("getBuild", REF), Call("startBuild", REF)

Sent = tuple[OutgoingRequest, Answer]
Judged = tuple[tuple[Finding, ...], Exchange | None]


def judge_of(its: Requests) -> AnswerJudge:
    return AnswerJudge(History(Contract.load()), LEDGER, its)


def judge_all(judge: AnswerJudge, sent: Iterable[Sent]) -> list[Judged]:
    return [judge.judge(request, answer, seq, "case") for seq, (request, answer) in enumerate(sent, 1)]


def starts(its: Requests, bodies: Iterable[bytes], status: int = 202) -> list[Sent]:
    request = its.prepared(START)
    return [(request, Answer(head(status), body)) for body in bodies]


def load(its: Requests, number: int) -> Iterator[Sent]:
    chance = random.Random(7)
    recorded = [exchange for _, exchanges in corpus() for exchange in exchanges]
    for at_s in range(number):
        exchange = chance.choice(recorded)
        timed = replace(answer_of(exchange), sent_at=float(at_s), head_at=at_s + 0.5, done_at=at_s + 1.0)
        yield request_of(exchange, its), replace(timed, body=bytes(bytearray(timed.body)))


def test_load_is_judged_as_by_a_judge_of_each_answer() -> None:
    its = requests()
    sent = list(load(its, 1500))
    judge = judge_of(its)
    judged = judge_all(judge, sent)
    other, judgements, times = (
        Judge(History(Contract.load()), LEDGER, INLINE_RULES, ()),
        list[Judgement](),
        Counter[str](),
    )
    for seq, (request, answer) in enumerate(sent, 1):
        new = other.add(its.exchange(request, answer, seq, ""))
        judgements += new
        times.update({other.finding(j).id for j in new if j.outcome == "broken"})
    findings = [other.finding(judgement) for judgement in judgements if judgement.outcome == "broken"]
    assert set(judge.tallies("case")) == set(tallies("case", judgements))
    assert judge.occurrences() == times
    assert judge.findings == {finding.id: finding for finding in reversed(findings)}
    assert [finding for each in judged for finding in each[0]] == list(judge.findings.values())
    assert sum(each[1] is None for each in judged) > 400
    assert judge.partly_judged() == ""


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
def test_key_in_an_answer_is_found_each_time_and_never_kept(encoding: str) -> None:
    its = requests()
    judge, request = judge_of(its), its.prepared(START)
    judge_all(judge, starts(its, [LIMITED % 1] * 3, 401))
    text = json.dumps(ENCODINGS[encoding](SECRETS[0], random.Random(2))).encode()
    leaks = [
        Answer(head(401), b'{"error":%b,"request_id":"1"}' % text),
        Answer(head(401), b'{"error":"Too many requests","request_id":%b}' % text),
        Answer(head(401, [*JSON, ("X-Echo", text.decode())]), LIMITED % 1),
    ]
    judged = judge_all(judge, [(request, leak) for leak in leaks for _ in range(3)])
    (leaked,) = (f.id for f in judge.findings.values() if f.claim == "error.does-not-repeat-the-key")
    assert judge.occurrences()[leaked] == 9
    assert left(repr([judged, judge.findings]), SECRETS) == set()


def test_few_fingerprints_are_kept_and_all_answers_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_judge, "MAX_FINGERPRINTS", 100)
    its = requests()
    judge = judge_of(its)
    bodies = [BUILDING.replace(b"ab" * 32, b"%064x" % n) for n in range(550)]
    judge_all(judge, starts(its, bodies))
    assert (len(judge._known), len(judge._verdicts)) == (50, 1)
    assert {tally.held for tally in judge.tallies()} == {550}
    assert judge_all(judge, starts(its, bodies[:1]))[0][1] is not None


def test_long_body_is_not_judged_by_its_beginning() -> None:
    its = requests()
    judge = judge_of(its)
    ((request, short),) = starts(its, [b'{"ref":"'])
    long = replace(short, body=short.body + b"x" * LONG_BODY_BYTES)
    assert [each[0] for each in judge_all(judge, [(request, long)] * 2)] == [(), ()]
    assert judge.partly_judged().startswith("2 ")
    failed = judge_all(judge, [(request, replace(long, head=head(500)))])[0][0]
    assert "http.no-server-error" in {finding.claim for finding in failed}
    assert judge.partly_judged().startswith("3 ")
    assert judge_all(judge, [(request, short)])[0][0]


def outcomes(exchange: Exchange, known: Any) -> list[tuple[str, ...]]:
    judgements = (judgement for rule in INLINE_RULES for judgement in rule(exchange, known))
    return [(j.check, j.claim, j.outcome, j.expected, j.actual) for j in judgements]


def moved(exchange: Exchange) -> Exchange:
    """The exchange as it would be later in the run."""
    times = (exchange.sent_at + 1e3, exchange.head_at + 1e3, exchange.done_at + 2e3)
    return replace(exchange, seq=exchange.seq + 5000, case="x", sent_at=times[0], head_at=times[1], done_at=times[2])


def with_other_headers(response: Response, chance: random.Random) -> Response:
    """The response with the same headers that count, among headers that do not."""
    read = [(name, value) for name, value in response.headers if name.lower() in READ_HEADERS]
    for name in ("Date", "Content-Length", "X-Request-Id", "Content-Encoding", "Location", "Set-Cookie", "Allow"):
        read.insert(chance.randrange(len(read) + 1), (name, chance.choice(["", "1", "gzip", "text/event-stream"])))
    return replace(response, headers=tuple(read))


def with_request_ids(response: Response) -> Iterator[Response]:
    try:
        value = json.loads(response.body)
    except ValueError:
        return
    if isinstance(value, dict):
        for text in ("", "x", "-:/a.rb:1:in", "0" * 200):
            yield replace(response, body=json.dumps(value | {"request_id": text}).encode("utf-8", "replace"))


class Blind:
    """A history that knows what was known before the run, and nothing else."""

    def __init__(self, known: History) -> None:
        self.contract, self.given, self.bounds = known.contract, known.given, known.bounds


def test_inline_rule_reads_only_what_a_fingerprint_has() -> None:
    its = requests()
    judge = judge_of(its)
    chance = random.Random(3)
    by_fingerprint: dict[tuple[object, object], object] = {}
    for recording, exchanges in corpus():
        before, after = set_up(recording), history_of(recording, exchanges)
        for exchange in exchanges:
            now = outcomes(exchange, before)
            kept = [each[:4] for each in now]
            assert outcomes(moved(exchange), after) == outcomes(exchange, Blind(before)) == now
            if response := exchange.response:
                assert outcomes(replace(exchange, response=with_other_headers(response, chance)), before) == now
                by_id = [outcomes(replace(exchange, response=r), before) for r in with_request_ids(response)]
                assert all([each[:4] for each in one] == [each[:4] for each in by_id[0]] for one in by_id)
            fingerprint = judge.fingerprint(request_of(exchange, its), answer_of(exchange))
            if fingerprint is not None:
                assert by_fingerprint.setdefault((recording.name, fingerprint), kept) == kept
    assert len(by_fingerprint) > 300


def fingerprints(*answers: Answer) -> list[object | None]:
    its = requests()
    judge = judge_of(its)
    return [judge.fingerprint(its.prepared(GET), answer) for answer in answers]


def error(request_id: str, text: str = "Too many requests") -> bytes:
    return b'{"error":"%b","request_id":%b}' % (text.encode(), request_id.encode())


APART = {
    "plain": Answer(head(200), b"{}"),
    "status": Answer(head(201), b"{}"),
    "media type": Answer(head(200, [("Content-Type", "text/html")]), b"{}"),
    "no media type": Answer(head(200, []), b"{}"),
    "Retry-After": Answer(head(200, [*JSON, ("Retry-After", "1")]), b"{}"),
    "body": Answer(head(200), b"{ }"),
    "no body": Answer(head(200), b""),
    "long body": Answer(head(200), b"{}" * 1000),
    "broke off": Answer(head(200), b"{}", error="RemoteProtocolError: broke off"),
    "left": Answer(head(200), b"{}", closed="client"),
    "ended": Answer(head(200), b"{}", closed="server"),
    "no answer": Answer(error="ReadTimeout: no byte within 5.0 s"),
    "hung up": Answer(error="RemoteProtocolError: hung up"),
    "gone": Answer(error="ConnectError: refused"),
    "no request id": Answer(head(429), b'{"error":"Too many requests"}'),
    "a request id": Answer(head(429), error('"1"')),
    "another error": Answer(head(429), error('"1"', "Another")),
    **{f"request id {one}": Answer(head(429), error(one)) for one in ("1", "2", "null", "true", "[]", '"a b"', '"ü"')},
}


def test_whatever_a_rule_can_tell_apart_counts() -> None:
    found = fingerprints(*APART.values())
    assert len({*found} - {None}) == len(APART)


@cases(
    "answers",
    {
        "a date": [APART["plain"], Answer(head(200, (("Date", "Thu, 26 Nov 2026 21:33:41 GMT"), *JSON)), b"{}")],
        "the case of a name": [APART["plain"], Answer(head(200, (("CONTENT-TYPE", "application/json"),)), b"{}")],
        "how long it took": [Answer(error="ReadTimeout: 5.0 s"), Answer(error="ReadTimeout: 5.1 s")],
        "a request id": [Answer(head(429), error(one)) for one in ('"1"', '"0b7f-5d0c"', '""', '"*"',
            '"Root=1-67:8/+="')],
    },
)  # fmt: skip
def test_what_means_nothing_does_not_count(answers: list[Answer]) -> None:
    assert len({*fingerprints(*answers)} - {None}) == 1


def test_body_that_is_no_json_counts_to_the_byte() -> None:
    long = b'{"error":"x","request_id":"%b"}' + b" " * 5000
    for body in (b'<p>"request_id":"%b"</p>', b'\xff{"request_id":"%b"}', long):
        one, other = fingerprints(Answer(head(), body % b"1"), Answer(head(), body % b"*"))
        assert one != other


def test_request_counts_unless_the_server_is_gone() -> None:
    its = requests()
    judge = judge_of(its)
    calls = [GET, START, Call("getBuild", "default/a@1"), Call("getBuild", REF, "second")]
    found = [judge.fingerprint(its.prepared(call), Answer(head(), b"{}")) for call in [*calls, GET]]
    gone = [Answer(error="ConnectError: refused"), Answer(error="ConnectTimeout: 5 s")]
    small = [Call("publishTemplate", REF, body=b"x"), Call("publishTemplate", f"{REF}1", "second", body=b"y")]
    large = Call("publishTemplate", REF, body=b"x" * (LARGE_BODY_BYTES + 1))
    of_small = {judge.fingerprint(its.prepared(call), answer) for call, answer in itertools.product(small, gone)}
    assert (len(set(found)), found[0], len(of_small)) == (len(calls), found[-1], 1)
    assert len({judge.fingerprint(its.prepared(call), gone[0]) for call in (large, START)} | of_small) == 3
    assert (protocol._NOT_REACHED, protocol._MAY_LOSE_RESPONSE_BYTES) == (NOT_REACHED, LARGE_BODY_BYTES)


@cases(
    "answer",
    {
        "a header": Answer(head(401, [*JSON, ("X-Echo", KEY)]), b"{}"),
        "a marker": Answer(head(401, [*JSON, ("X-Echo", "<key:primary>")]), b"{}"),
        "a part": Answer(head(401, [*JSON, ("Location", f"/?api_key={KEY[:-1]}")]), b"{}"),
        "a request id": Answer(head(401), error(f'"{KEY}"')),
        "within a request id": Answer(head(401), error(f'"at-{KEY}"')),
    },
)
def test_answer_whose_fingerprint_would_hide_a_secret_has_none(answer: Answer) -> None:
    assert fingerprints(answer, answer) == [None, None]
