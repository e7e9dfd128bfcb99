"""Two answers have one fingerprint only where no rule that judges answers one by one can tell them apart."""

import itertools
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.answered import JSON, answer_of, corpus, head, keys, known_after, request_of, requests, set_up
from touchstone.contract import claims as ledger_of_claims
from touchstone.contract.document import Contract
from touchstone.facts.exchange import Exchange, Response
from touchstone.loadgen.client import Requests
from touchstone.loadgen.judge import INLINE_RULES, LARGE_BODY_BYTES, READ_HEADERS, STORY_TIME_RULES, AnswerJudge
from touchstone.rules import protocol
from touchstone.rules.catalogue import EXCHANGE_RULES
from touchstone.rules.history import Bounds, History
from touchstone.rules.rule import Rule
from touchstone.target.answer import NOT_REACHED, Answer
from touchstone.target.call import Call

REF = "default/touchstone-t1-hello@1.0.0"
KEY = keys().primary

Words = list[tuple[str, str, str, str, str]]


def words(rules: Sequence[Rule[Exchange]], exchange: Exchange, known: History) -> Words:
    """All that the rules say but for the numbers of exchanges."""
    said = (judgement for rule in rules for judgement in rule(exchange, known))
    return [(j.check, j.claim, j.outcome, j.expected, j.actual) for j in said]


def moved(exchange: Exchange) -> Exchange:
    """The exchange as it would be later in the run."""
    at_s = 1234.5
    times = (exchange.sent_at + at_s, exchange.head_at + at_s, exchange.done_at + 2 * at_s)
    later = replace(exchange, seq=exchange.seq + 5000, case="other", sent_at=times[0], head_at=times[1])
    return replace(later, done_at=times[2])


# --- which rules are inline ------------------------------------------------------------------------------------------


def test_each_exchange_rule_is_judged_at_one_time() -> None:
    """A rule is asked of every answer or after the run, never both, and none is forgotten."""
    inline, later = [rule.id for rule in INLINE_RULES], [rule.id for rule in STORY_TIME_RULES]
    assert sorted(inline + later) == sorted(rule.id for rule in EXCHANGE_RULES)
    assert set(later) == {"lookup.odd-spelling", "events.own-lines", "room.free"}


def test_inline_rule_says_the_same_whatever_else_the_run_did() -> None:
    """No other exchange, no number and no time changes what an inline rule says of an exchange, right or wrong."""
    for recording, exchanges in corpus():
        before, after = set_up(recording), known_after(recording, exchanges)
        for exchange in exchanges:
            assert words(INLINE_RULES, moved(exchange), after) == words(INLINE_RULES, exchange, before)


def test_rule_that_is_not_inline_depends_on_the_rest_of_the_run() -> None:
    """The comparison above tells a rule that looks at other exchanges: a log is judged by what other builds print."""
    told = set()
    for recording, exchanges in corpus():
        before, after = set_up(recording), known_after(recording, exchanges)
        for exchange in exchanges:
            if words(STORY_TIME_RULES, moved(exchange), after) != words(STORY_TIME_RULES, exchange, before):
                told.add(exchange.operation)
    assert told == {"streamBuildEvents"}


class Blind:
    """A history that can be asked for what was known before the run, and for nothing else."""

    def __init__(self, known: History) -> None:
        self.contract: Contract = known.contract
        self.given = known.given
        self.bounds: Bounds = known.bounds


def test_inline_rule_asks_for_no_other_exchange() -> None:
    """An inline rule speaks about every exchange of the corpus without the history of the run."""
    for recording, exchanges in corpus():
        known = set_up(recording)
        blind: Any = Blind(known)
        for exchange in exchanges:
            assert words(INLINE_RULES, exchange, blind) == words(INLINE_RULES, exchange, known)


def test_inline_rule_reads_no_other_header() -> None:
    """Other headers than those of a fingerprint may be missing, differ or come in any order, and no rule notices."""
    chance = random.Random(3)
    for recording, exchanges in corpus():
        known = set_up(recording)
        for exchange in exchanges:
            if exchange.response:
                other = replace(exchange, response=with_other_headers(exchange.response, chance))
                assert words(INLINE_RULES, other, known) == words(INLINE_RULES, exchange, known)


def with_other_headers(response: Response, chance: random.Random) -> Response:
    """The response with the same headers that count, among headers that do not."""
    read = [(name, value) for name, value in response.headers if name.lower() in READ_HEADERS]
    names = ["Date", "Content-Length", "X-Request-Id", "Content-Encoding", "Location", "Set-Cookie", "Allow", "Server"]
    for name in names:
        read.insert(chance.randrange(len(read) + 1), (name, chance.choice(["", "1", "gzip", "text/event-stream"])))
    return replace(response, headers=tuple(read))


# --- the fingerprint -------------------------------------------------------------------------------------------------


def judge_of(its: Requests) -> AnswerJudge:
    """A judge of answers that has judged none."""
    return AnswerJudge(History(Contract.load()), ledger_of_claims.load(), its)


def fingerprints(*answers: Answer) -> list[object | None]:
    """The fingerprints of answers to one call."""
    its = requests()
    judging = judge_of(its)
    return [judging.fingerprint(its.prepared(Call("getBuild", REF)), answer) for answer in answers]


def error(request_id: str, text: str = "Too many requests") -> bytes:
    return b'{"error":"%b","request_id":%b}' % (text.encode(), request_id.encode())


@pytest.mark.parametrize(
    "headers",
    [
        (("Date", "Thu, 26 Nov 2026 21:33:41 GMT"), *JSON),
        (*JSON, ("X-Request-Id", "0b7f8c8e"), ("Content-Length", "2"), ("Set-Cookie", "a=b")),
        (("CONTENT-TYPE", "application/json"),),
    ],
)
def test_headers_that_tell_nothing_do_not_count(headers: Sequence[tuple[str, str]]) -> None:
    """Date, ids, lengths, cookies and the case of names leave the fingerprint as it is."""
    one, other = fingerprints(Answer(head(200), b"{}"), Answer(head(200, headers), b"{}"))
    assert one == other
    assert one is not None


OTHERS = {
    "status": Answer(head(201), b"{}"),
    "media type": Answer(head(200, [("Content-Type", "text/html")]), b"{}"),
    "no media type": Answer(head(200, []), b"{}"),
    "Retry-After": Answer(head(200, [*JSON, ("Retry-After", "1")]), b"{}"),
    "Retry-After twice": Answer(head(200, [*JSON, ("Retry-After", "1"), ("Retry-After", "2")]), b"{}"),
    "body": Answer(head(200), b"{ }"),
    "no body": Answer(head(200), b""),
    "long body": Answer(head(200), b"{}" * 1000),
    "other long body": Answer(head(200), b"{}" * 1001),
    "request id": Answer(head(200), error('"1"')),
    "broke off": Answer(head(200), b"{}", error="RemoteProtocolError: broke off"),
    "too long": Answer(head(200), b"{}", error="body not complete after 5.0 s and 2 bytes"),
    "left": Answer(head(200), b"{}", closed="client"),
    "ended": Answer(head(200), b"{}", closed="server"),
    "no answer": Answer(error="ReadTimeout: no byte within 5.0 s"),
    "hung up": Answer(error="RemoteProtocolError: hung up"),
    "gone": Answer(error="ConnectError: refused"),
}


def test_whatever_a_rule_can_tell_counts() -> None:
    """Status, media type, Retry-After, body, kind of error and who closed make fingerprints of their own."""
    seen = fingerprints(Answer(head(200), b"{}"), *OTHERS.values())
    assert len(set(seen)) == len(OTHERS) + 1
    assert None not in seen


def test_error_counts_by_its_kind() -> None:
    """How long a request took to fail is another number each time, and tells nothing new."""
    pairs = [("ReadTimeout: 5.0 s", "ReadTimeout: 5.1 s"), ("body not complete after 1 s", "body not complete after 2")]
    for one, other in pairs:
        assert len(set(fingerprints(Answer(error=one), Answer(error=other)))) == 1


def test_request_counts() -> None:
    """The same answer to another request has another fingerprint, whatever of the request is another one."""
    its = requests()
    judging = judge_of(its)
    call = Call("getBuild", REF)
    calls = [call, Call("startBuild", REF), Call("getBuild", "default/a@1"), Call("getBuild", REF, "second")]
    seen = [judging.fingerprint(its.prepared(each), Answer(head(), b"{}")) for each in calls]
    assert len(set(seen)) == len(calls)
    assert judging.fingerprint(its.prepared(call), Answer(head(), b"{}")) == seen[0]


def test_server_that_is_gone_looks_the_same_to_all_requests_of_an_operation() -> None:
    """
    Where no connection comes about it does not matter what was asked, but for a body that a server may have refused.
    """
    its = requests()
    judging = judge_of(its)
    gone = [Answer(error="ConnectError: refused"), Answer(error="ConnectTimeout: 5 s")]
    calls = [Call("publishTemplate", REF, body=b"x"), Call("publishTemplate", f"{REF}1", "second", body=b"y")]
    small = {judging.fingerprint(its.prepared(call), answer) for call, answer in itertools.product(calls, gone)}
    large = judging.fingerprint(its.prepared(Call("publishTemplate", REF, body=b"x" * (LARGE_BODY_BYTES + 1))), gone[0])
    other = judging.fingerprint(its.prepared(Call("startBuild", REF)), gone[0])
    assert len(small) == 1
    assert len({large, other, *small}) == 3


def test_lists_agree_with_the_rule_that_tells_it_once() -> None:
    """The rule on answers and the fingerprints mean the same by a server that is not reached and by a large body."""
    assert protocol._NOT_REACHED == NOT_REACHED
    assert protocol._LOSES_ITS_ANSWER_BYTES == LARGE_BODY_BYTES


# --- request ids -----------------------------------------------------------------------------------------------------


def test_request_id_does_not_count() -> None:
    """A request id is another text in each answer; whether there is one, and that it is a text, counts."""
    ids = ('"1"', '"0b7f8c8e-5d0c"', '""', '"*"', '"Root=1-67:89/ab+c="')
    alike = fingerprints(*(Answer(head(429), error(one)) for one in ids))
    apart = [Answer(head(429), error(one)) for one in ("1", "2", "null", "true", "[]", '"a b"', '"\\n"', '"ü"')]
    apart += [Answer(head(429), b'{"error":"Too many requests"}'), Answer(head(429), error('"1"', "Another"))]
    assert len(set(alike)) == 1
    assert len(set(fingerprints(*apart)) | set(alike)) == len(apart) + 1


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":"x","request_id":"%b"',  # no end
        b'<p>"request_id":"%b"</p>',
        b'{"error":"a" "request_id":"%b"}',
        b'data: {"request_id":"%b"}\n\n',
        b'\xff{"request_id":"%b"}',
        b'{"error":"x","request_id":"%b"}' + b" " * 5000,
    ],
)
def test_body_that_is_no_json_counts_to_the_byte(body: bytes) -> None:
    """Where nobody knows what a quote begins, and in a long body, nothing is masked."""
    one, other = fingerprints(Answer(head(), body % b"1"), Answer(head(), body % b"*"))
    assert one != other


def masks(body: bytes) -> Iterator[bytes]:
    """The body with other request ids in it, of characters that any id may be made of."""
    try:
        value = json.loads(body)
    except ValueError:
        return
    if isinstance(value, dict):
        for text in ("", "x", "-:/a.rb:1:in", "0" * 200):
            yield json.dumps(value | {"request_id": text}).encode("utf-8", "replace")


def test_inline_rule_reads_no_request_id() -> None:
    """Whatever id is in an answer, right or wrong, each inline rule says the same of it as of any other id."""
    for recording, exchanges in corpus():
        known = set_up(recording)
        for exchange in exchanges:
            response = exchange.response
            if response is None:
                continue
            bodies = (replace(response, body=body) for body in masks(response.body))
            said = [words(INLINE_RULES, replace(exchange, response=each), known) for each in bodies]
            assert all([word[:4] for word in each] == [word[:4] for word in said[0]] for each in said)


# --- secrets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        Answer(head(401, [*JSON, ("X-Echo", KEY)]), b"{}"),
        Answer(head(401, [*JSON, ("X-Echo", "<key:primary>")]), b"{}"),
        Answer(head(401, [*JSON, (f"X-{KEY}", "7")]), b"{}"),
        Answer(head(401, [*JSON, ("Location", f"/?api_key={KEY[:-1]}")]), b"{}"),
        Answer(head(401), error(f'"{KEY}"')),
        Answer(head(401), error(f'"at {KEY}"'.replace(" ", "-"))),
    ],
)
def test_answer_whose_fingerprint_would_hide_a_secret_has_none(answer: Answer) -> None:
    """A key in a head or in a request id is judged each time: the fingerprint would be that of an answer without it."""
    plain = Answer(head(401), error('"1"'))
    assert fingerprints(plain, answer, answer)[1:] == [None, None]


def test_fingerprints_of_the_corpus_tell_apart_what_rules_tell_apart() -> None:
    """In all that was recorded and distorted, rules say the same of answers with one fingerprint."""
    its = requests()
    judging = judge_of(its)
    said: dict[tuple[object, object], object] = {}
    for recording, exchanges in corpus():
        known = set_up(recording)
        for exchange in exchanges:
            fingerprint = judging.fingerprint(request_of(exchange, its), answer_of(exchange))
            now = [word[:4] for word in words(INLINE_RULES, exchange, known)]
            if fingerprint is not None:
                assert said.setdefault((recording.name, fingerprint), now) == now
    assert len(said) > 300
