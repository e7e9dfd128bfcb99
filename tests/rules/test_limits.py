"""Rules on limits: correct limiters of each kind pass, and each fault is found."""

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rules import judging
from tests.rules.exchanges import OTHER_REF, REF, UNKNOWN_REF, exchange, history, publish
from tests.rules.judging import broken, cases, findings, outcome, verdicts
from tests.rules.limiting import LIMITERS, Driver, Never, Server
from tests.rules.stories import cancel, delete, forced, read, reuse, start, template
from touchstone.facts.exchange import Exchange
from touchstone.rules import limits
from touchstone.rules.history import Bounds
from touchstone.twin.limits import Limiter, TokenBucket

RULES, SHAPES = judging.story_rules("limits", "room", "waiting"), judging.exchange_rules("limits")
HONEST, ENDS = "limit.retry-after-is-honest", "limit.ends-after-back-off"
PER_KEY, READS = "limit.is-per-key", "limit.reads-are-not-charged"
SHAPE, VALID, WAITS = "limit.has-the-error-shape", "limit.retry-after-is-valid", "start.does-not-wait"
Story = list[Exchange]

# --- limiters in virtual time -----------------------------------------------------------------------------------------


def driven(
    latency_s: float = 0.01, rest_s: float = 8.0, began_at: float = 101.3, builds: str = "", **server: Any
) -> Story:
    limiter = {"make": lambda: LIMITERS["fixed-window"](8, 4.0)} | server
    return Driver(Server(**limiter), latency_s, began_at, rest_s, builds).run()


def phase_of(request: Exchange) -> str:
    return str(request.note.get("limit", {}).get("phase"))


@pytest.mark.parametrize("builds", ["", "cancelled"])
@pytest.mark.parametrize("name", LIMITERS)
def test_correct_limiter_upholds_each_claim(name: str, builds: str) -> None:
    expected = {(claim, "held") for claim in (HONEST, ENDS, PER_KEY, READS)}

    assert verdicts(RULES, *driven(make=lambda: LIMITERS[name](8, 4.0), builds=builds)) == expected


NETWORKS = {"latency_s": st.floats(0.001, 0.4), "rest_s": st.floats(0.0, 30.0), "began_at": st.floats(100.0, 140.0)}
SIZES = st.tuples(st.integers(1, 20), st.floats(0.2, 20.0), st.integers(1, 20))


@settings(max_examples=100)
@given(
    st.sampled_from(sorted(LIMITERS)), SIZES, st.fixed_dictionaries(NETWORKS),
    st.sampled_from([{}, {"retry_after": None}]), st.sampled_from(["", "cancelled", "kept"]),
)  # fmt: skip
def test_correct_limiter_is_never_blamed(
    name: str, sizes: tuple[int, float, int], network: dict[str, float], server: dict[str, Any], builds: str
) -> None:
    def make() -> Limiter:
        return TokenBucket(*sizes) if name == "token-bucket" else LIMITERS[name](*sizes[:2])

    assert broken(verdicts(RULES, *driven(**network, builds=builds, make=make, **server))) == set()


@pytest.mark.parametrize("builds", ["", "cancelled"])
@cases(
    "claim server",
    {
        "one rate for all keys": (PER_KEY, {"shared": True}),
        "reads are charged": (READS, {"reads_charged": True}),
        "half of the wait": (HONEST, {"retry_after": lambda wait_s: str(math.floor(wait_s / 2))}),
        "always a second": (HONEST, {"retry_after": lambda _: "1"}),
        "always zero": (HONEST, {"retry_after": lambda _: "0"}),
        "for good": (ENDS, {"make": lambda: Never(8, 4.0), "retry_after": None}),
    },
)
def test_broken_limiter_is_blamed_on_its_claim_alone(claim: str, server: dict[str, Any], builds: str) -> None:
    assert broken(verdicts(RULES, *driven(builds=builds, **server))) == {claim}


def busy(sent_at: float) -> Story:
    return [exchange("startBuild", 202, json={}, credential="second", seq=-i, sent_at=sent_at) for i in range(1, 9)]


def gave_up_early() -> Story:
    *before, refused, last = driven(make=lambda: Never(8, 4.0), retry_after=None)
    assert refused.response
    hour = replace(refused.response, headers=(*refused.response.headers, ("retry-after", "3600")))
    return [*before, replace(refused, response=hour), last]


def served_again() -> Story:
    again = exchange("startBuild", 202, json={}).response
    return [replace(e, response=again) if phase_of(e) == "confirm" else e for e in driven(shared=True)]


def with_reads(number: int) -> Story:
    exchanges = driven(reads_charged=True)
    dropped = [e.seq for e in exchanges if phase_of(e) == "reads"][number:]
    return [e for e in exchanges if e.seq not in dropped]


def elsewhere(*, charged: bool) -> Story:
    """A driver that also reads another version, and starts one before the key rests."""
    exchanges = driven(reads_charged=charged)
    reads = [e for e in exchanges if phase_of(e) == "reads"]
    others = {e.seq: replace(e, ref="default/other@1.0.0") for e in reads[::2]}
    rest_at = max(e.done_at for e in exchanges if e.note.get("limit", {}).get("round") == 2) + 0.01
    note = {"limit": {"round": 3, "phase": "beside"}}
    beside = start(0, ref="default/other@1.0.0", json={}, sent_at=rest_at, note=note, case=reads[0].case)
    return [beside, *(others.get(e.seq, e) for e in exchanges)]


LONG_START = exchange("startBuild", 202, json={}, seq=0, sent_at=0.0, done_at=1000.0)
ONCE = iter(["1", "1"])


@cases(
    "claim story expected",
    {
        "builds fill the host": (PER_KEY, driven(shared=True, builds="kept"), "indeterminate"),
        "one round of cancelled builds": (PER_KEY, [e for e in driven(shared=True,
            builds="cancelled") if e.note.get("limit", {}).get("round", 1) == 1], "indeterminate"),
        "no limit": (ENDS, driven(make=lambda: LIMITERS["fixed-window"](1000, 4.0)), ""),
        "refused for good, with an end": (HONEST, driven(make=lambda: Never(8, 4.0)), "broken"),
        "refused for good": (ENDS, driven(make=lambda: Never(8, 4.0)), "broken"),
        "given up sooner than asked": (ENDS, gave_up_early(), "indeterminate"),
        "refused once after the wait": (HONEST, driven(retry_after=lambda wait_s: next(ONCE, str(math.ceil(wait_s)))),
            "held indeterminate"),
        "starts beside a wrong wait": (HONEST, [LONG_START, *driven(retry_after=lambda _: "1")], ""),
        "starts beside charged reads": (READS, [LONG_START, *driven(reads_charged=True)], ""),
        "another key that was busy": (PER_KEY, [*busy(101.2), *driven(shared=True)], "indeterminate"),
        "another key that has rested": (PER_KEY, [*busy(60.0), *driven(shared=True)], "broken"),
        "the first key served": (PER_KEY, served_again(), ""),
        "no reads": (READS, with_reads(0), ""),
        "few reads": (READS, with_reads(5), "indeterminate"),
        "reads of other versions": (READS, elsewhere(charged=False), "held"),
    },
)  # fmt: skip
def test_limiter_is_judged_by_what_its_driver_can_prove(claim: str, story: Story, expected: str) -> None:
    assert outcome(RULES, claim, *story) == expected


# --- single answers ---------------------------------------------------------------------------------------------------


@cases(
    "answer expected",
    {
        "an error": (start(1, 429), {(SHAPE, "held")}),
        "nothing": (exchange("startBuild", 429), {(SHAPE, "broken")}),
        "another object": (exchange("startBuild", 429, json={"status": "building"}), {(SHAPE, "broken")}),
        "a text": (exchange("startBuild", 429, body=b"no", headers={"content-type": "text/plain"}),
            {(SHAPE, "broken")}),
        "another status": (start(1, 403), set()),
        "broken JSON": (exchange("startBuild", 429, body=b"{", headers={"content-type": "application/json"}), set()),
        "no operation": (exchange("", 429, method="PUT", body=b"x"), set()),
        "no answer": (start(1, 0), set()),
    },
)  # fmt: skip
def test_429_has_the_error_shape(answer: Exchange, expected: set[tuple[str, str]]) -> None:
    assert verdicts(SHAPES, answer) == expected


@pytest.mark.parametrize("value", ["0", "120", "Sat, 14 Mar 2026 09:26:57 GMT", "Sat Mar 14 09:26:57 2026"])
def test_retry_after_is_seconds_or_a_date(value: str) -> None:
    answer = start(1, 429, headers={"retry-after": value})
    assert answer.response
    again = replace(answer.response, headers=(*answer.response.headers, ("Retry-After", value)))

    assert outcome(SHAPES, VALID, answer) == "held"
    assert outcome(SHAPES, VALID, replace(answer, response=again)) == "broken"


@pytest.mark.parametrize(
    "value", ["-1", "1.5", "", "soon", "4s", "2026-03-14T09:26:57Z", "Sat, 14 Mar 2026 09:26:57 +0100"]
)
def test_other_retry_after_is_found(value: str) -> None:
    assert outcome(SHAPES, VALID, start(1, 429, headers={"retry-after": value})) == "broken"


# --- starts refused outside the rounds, or with another status than 429 -----------------------------------------------


@pytest.mark.parametrize(
    ("waited_s", "status", "headers", "expected"),
    [
        (2.1, 202, {"retry-after": "2"}, {(ENDS, "held"), (HONEST, "held")}),
        (1.9, 202, {"retry-after": "2"}, set()),
        (1.0, 202, {}, {(ENDS, "held")}),
        (2.1, 429, {"retry-after": "2"}, set()),
    ],
)
def test_chance_refusal_that_ends_is_evidence(waited_s: float, status: int, headers: Any, expected: Any) -> None:
    refused = start(2, 429, headers=headers, sent_at=10.0, done_at=10.1)

    assert verdicts(RULES, publish(1), refused, start(3, status, sent_at=10.1 + waited_s)) == expected


FIRST, THEN, AFTER = reuse(20), start(30, 403), reuse(50)


@cases(
    "story expected",
    {
        **{f"{code}": ([FIRST, start(30, code), AFTER], [(SHAPE, (20, 50, 30))]) for code in (400, 403, 409, 422, 499)},
        **{f"{code}": ([FIRST, start(30, code), AFTER], []) for code in (401, 404, 429, 500)},
        "two refusals": ([FIRST, THEN, start(40, 403), AFTER], [(SHAPE, (20, 50, 30))]),
        "reads in between": ([FIRST, read(25, "ready"), template(26), THEN, AFTER], [(SHAPE, (20, 50, 30))]),
        "sent at the first answer": ([reuse(20, done_at=30.0), THEN, AFTER], [(SHAPE, (20, 50, 30))]),
        "sent before it": ([reuse(20, done_at=30.1), THEN, AFTER], []),
        "a build before": ([start(20), start(30, 409), AFTER], []),
        "a build in between": ([FIRST, start(30, 409), start(40), AFTER], []),
        "never served after": ([FIRST, THEN], []),
        **{f"{act.operation} before": ([FIRST, act, THEN, AFTER], []) for act in (cancel(25), forced(25), delete(25))},
        **{f"{act.operation} after": ([FIRST, THEN, act, AFTER], []) for act in (cancel(45), forced(45), delete(45))},
    },
)
def test_limit_that_refuses_otherwise_than_by_429_is_found(story: Story, expected: judging.Evidence) -> None:
    assert findings((limits.refused_otherwise,), publish(1), *story) == expected


@pytest.mark.parametrize(("status", "expected"), [(409, "broken"), (404, ""), (503, ""), (429, "")])
def test_build_that_a_limit_refuses_otherwise_is_found(status: int, expected: str) -> None:
    exchanges = [publish(0, sent_at=90.0)]
    for e in driven(builds="cancelled"):
        if e.ref and not any(x.ref == e.ref for x in exchanges):
            exchanges.append(publish(1000 + e.seq, e.ref, sent_at=90.0 + e.seq / 100))
        refused = start(e.seq, status, ref=e.ref, sent_at=e.sent_at, note=e.note)
        exchanges.append(refused if e.status == 429 else e)

    assert outcome(RULES, SHAPE, *exchanges) == expected


# --- rounds of a driver -----------------------------------------------------------------------------------------------


def request(at: float, phase: str = "burst", status: int = 202, number: int = 1, **more: Any) -> Exchange:
    """A request of a driver: sent at *at*, with a response half a second later."""
    after, gave_up = more.pop("after", ""), {"gave_up": True} if more.pop("gave_up", False) else {}
    facts: dict[str, Any] = {"note": {"limit": {"round": number, "phase": phase} | gave_up}}
    facts |= {"headers": {"retry-after": after}} if after else {}
    make = read if phase == "reads" else start
    answer: dict[str, Any] = {"status": status, "state": "ready", "reused": True}
    return make(float(at), **(answer | facts | more))


def refused(at: float, phase: str = "burst", number: int = 1, **more: Any) -> Exchange:
    return request(at, phase, 429, number, **more)


@cases(
    "beside expected",
    {
        "in between": (start(20.0), True),
        "over when the first was sent": (start(12.0), False),
        "over later": (start(12.0, done_at=12.6), True),
        "sent before the last answer": (start(31.9), True),
        "sent with the last answer": (start(32.0), False),
        "another key": (start(20.0, credential="second"), False),
        "the driver's": (start(20.0, note={"limit": {}}), False),
        "another driver's": (start(20.0, note={"limit": {}}, case="another"), True),
        "a publish that builds": (publish(20.0, note={"auto_build": True}), True),
        "a publish": (publish(20.0), False),
    },
)
def test_start_from_outside_runs_beside_the_driver(beside: Exchange, expected: bool) -> None:
    first, last = refused(12.5), request(31.5)

    assert limits.started_beside(first, last, history(first, last, beside)) is expected


@pytest.mark.parametrize(("after", "at", "expected"), [("2", 3.5, True), ("2", 3.4, False), ("soon", 1.6, True)])
def test_retry_waits_as_long_as_the_refusal_asks(after: str, at: float, expected: bool) -> None:
    assert limits.waited_enough(refused(1, after=after), request(at, "retry")) is expected
    assert limits.waited_enough(request(1, status=0), request(2, "retry"))


HONEST_ROUND = [request(11, number=2), refused(12, after="1", number=2)]
TWICE = [request(1), refused(2, after="1"), refused(3.5, "retry", after="1"), *HONEST_ROUND, refused(14, "retry", 2)]
FULL_HOST = [refused(1, after="1"), refused(2.5, "retry", after="1")]


def test_retry_after_is_honest_where_whole_waits_are_served() -> None:
    rules = (limits.retry_after_honest,)
    third = [request(21, number=3), refused(22, number=3, after="1"), refused(24.5, "retry", 3)]

    assert findings(rules, *TWICE) == [(HONEST, (120, 140))]
    assert findings(rules, *TWICE, *third) == [(HONEST, (220, 245))]
    assert outcome(rules, HONEST, *TWICE[:3]) == "indeterminate"
    assert judging.upheld(rules, *FULL_HOST, *HONEST_ROUND, request(14, "retry", number=2)) == [(HONEST, (120, 140))]
    assert outcome(rules, HONEST, *FULL_HOST) == ""


@cases(
    "story expected",
    {
        "refused for good": ([request(1), refused(2, after="1"), refused(4, "retry"),
            refused(10.5, "retry", gave_up=True)], ("broken", (20, 105))),
        "served in the end": ([request(1), refused(2), refused(4, "retry"), request(6, "retry")], ("held", (20, 60))),
        "not given up": ([request(1), refused(2), refused(4, "retry")], None),
        "failed": ([request(1), refused(2), request(4, "retry", 500, gave_up=True)], None),
        "after a round without a limit": ([request(1), request(2), request(11, number=2), refused(12, number=2),
            request(14, "retry", number=2)], ("held", (120, 140))),
    },
)  # fmt: skip
def test_limit_ends_after_backing_off(story: Story, expected: tuple[str, tuple[int, ...]] | None) -> None:
    found = [(j.outcome, j.evidence) for j in limits.ends_after_back_off(REF, history(*story))]

    assert found == ([expected] if expected else [])


def other_key(code: int = 202, number: int = 1, at: float = 100.0, **confirm: Any) -> Story:
    """A round with a start by another key between two refusals."""
    other = {"ref": OTHER_REF, "credential": "second"}
    return [
        request(at, number=number),
        request(at + 1, number=number),
        refused(at + 2, number=number),
        request(at + 3, "other-key", code, number, **other),
        request(at + 4, "confirm", **({"status": 429, "number": number} | confirm)),
        request(at + 6, "retry", number=number),
    ]


def ready(seq: int, state: str = "ready", **more: Any) -> Exchange:
    return read(seq, state, ref=OTHER_REF, credential="second", **({"sent_at": 0.3} | more))


def own_starts(*gaps_s: float) -> Story:
    """Starts of the other key that ended so many seconds before its refusal at 103."""
    facts: dict[str, Any] = {"ref": OTHER_REF, "credential": "second"}
    return [reuse(500 + n, sent_at=103 - gap - 0.1, done_at=103 - gap, **facts) for n, gap in enumerate(gaps_s)]


def regained(served: int) -> Story:
    """A later burst of the first key."""
    return [*own_starts(20.0, 30.0), *other_key(429), *(request(107 + 0.6 * n, number=2) for n in range(served))]


@cases(
    "story expected",
    {
        "served": (other_key(), "held"),
        "refused": (other_key(429), "broken"),
        "no start": (other_key()[:3] + other_key()[4:], ""),
        "no confirmation": (other_key(429)[:4] + other_key()[5:], ""),
        "never tried again": (other_key(429)[:5], "broken"),
        "served again": (other_key(429, status=202), ""),
        "no refusal": (other_key(429)[:2] + other_key(429)[3:], ""),
        "refused from the first on": (other_key(429)[2:], "indeterminate"),
        "a round without it before": ([*other_key()[:3], *other_key(429, 2, 300.0)], "broken"),
        "a failure before": ([*other_key(500), *other_key(429, 2, 300.0)], "broken"),
        "one start of its own": ([*own_starts(10.0), *other_key(429)], "broken"),
        "as many starts of its own": ([*own_starts(10.0, 20.0), *other_key(429)], "indeterminate"),
        "the first key regains two": (regained(2), "indeterminate"),
        "the first key regains many": (regained(6), "broken"),
    },
)  # fmt: skip
def test_limit_is_per_key(story: Story, expected: str) -> None:
    assert outcome((limits.per_key,), PER_KEY, ready(3), *story) == expected


@cases("before", {"never read": [], "read later": [ready(1031, sent_at=103.1)], "building": [ready(3, "building")]})
def test_other_key_needs_a_version_that_was_ready(before: Story) -> None:
    assert outcome((limits.per_key,), PER_KEY, *before, *other_key(429)) == "indeterminate"
    assert findings((limits.per_key,), ready(3), *other_key(429)) == [(PER_KEY, (1020, 1040, 1030))]


def with_burst(number: int, at: float, served: int, reads: int = 0, *, pace: float = 0.6, **more: Any) -> Story:
    """A round at *at* with reads before it, and a refusal and a served retry at its end."""
    more |= {"number": number}
    first = round(at * 10) - 20
    before = [
        request(at - 2 + 0.02 * n, "reads", 200, seq=first + n, done_at=at - 1.9 + 0.02 * n, **more)
        for n in range(reads)
    ]
    burst = [request(at + pace * n, **more) for n in range(served)]
    last = at + pace * served
    return [*before, *burst, refused(last, **more), request(last + 5, "retry", **more)]


def compared(plain: int, after_reads: int, reads: int = 12, pace: float = 0.0, **more: Any) -> Story:
    pace = pace or 0.6 * plain / after_reads + 0.1
    return [
        *with_burst(1, 100, 3),
        *with_burst(2, 200, plain),
        *with_burst(3, 310, after_reads, reads, pace=pace, **more),
    ]


FEWEST_FIRST = [
    *with_burst(1, 100, 3),
    *with_burst(2, 200, 9),
    *with_burst(3, 300, 3),
    *with_burst(4, 410, 2, 12, pace=2),
]
LONGER_REST = [*with_burst(1, 100, 3), *with_burst(2, 250, 4), *with_burst(3, 340, 4, 12)]
ALONE = [*with_burst(1, 1000, 3, case="alone"), *with_burst(2, 1210, 4, 12, case="alone")]


@cases(
    "story expected",
    {
        "alike": (compared(4, 4), "held"),
        "less than a third": (compared(6, 1, 18), "broken"),
        "two starts": (compared(2, 2, 9), "indeterminate"),
        "too few reads": (compared(4, 4, 11), "indeterminate"),
        "a shorter burst": (compared(4, 3, pace=0.1), "indeterminate"),
        "nothing to compare": ([*with_burst(1, 100, 3), *with_burst(2, 310, 4, 12)], ""),
        "a longer rest": (LONGER_REST, ""),
        "another case with nothing to compare": ([*ALONE, *compared(4, 4, pace=0.7)], "held"),
        "the smallest of several, last": (FEWEST_FIRST, "held"),
    },
)
def test_reads_are_not_charged(story: Story, expected: str) -> None:
    assert outcome((limits.reads_not_charged,), READS, *story) == expected


def test_finding_on_charged_reads_has_both_bursts_and_the_last_read() -> None:
    assert findings((limits.reads_not_charged,), *compared(7, 1, 21, pace=5.0)) == [(READS, (2042, 3100, 3150))]


# --- starts that stay refused without any build -----------------------------------------------------------------------

LONGEST_S = Bounds().build_timeout_s + Bounds().cancel_timeout_s


def in_vain(gap_s: float = 1.0, after: str | None = "1", number: int = 3) -> Story:
    headers = {"retry-after": after} if after else {}
    times = [LONGEST_S + 1 + n * gap_s for n in range(number)]
    return [start(5 + n, 429, headers=headers, sent_at=at, done_at=at) for n, at in enumerate(times)]


SERVED = start(1, sent_at=0.0)


@cases(
    "story expected",
    {
        "two waits": ([SERVED, *in_vain()], "broken"),
        "two waits without Retry-After": ([SERVED, *in_vain(after=None)], "broken"),
        "too soon": ([SERVED, *in_vain(0.5)], ""),
        "one wait": ([SERVED, *in_vain(number=2)], ""),
        "a build may run": ([start(1, sent_at=LONGEST_S - 1), *in_vain()], ""),
    },
)  # fmt: skip
def test_start_is_not_refused_for_good(story: Story, expected: str) -> None:
    assert outcome((limits.room_is_free,), ENDS, *story) == expected


# --- starts that wait for a build or a log ----------------------------------------------------------------------------

THIRD_REF, LAST_REF = REF.replace("hello", "third"), REF.replace("hello", "last")
VERSIONS = [
    publish(n, ref, content=ref, digest=f"{n:02x}" * 32, sent_at=0.01 * n, note={"sleep_s": 1.0})
    for n, ref in enumerate((REF, OTHER_REF, THIRD_REF, LAST_REF), 1)
]


def begun(seq: int, ref: str, at: float, took_s: float = 0.01, state: str = "building") -> Exchange:
    return start(seq, state=state, ref=ref, sent_at=at, done_at=at + took_s)


def in_turn(took_s: float = 0.8, first_s: float = 0.01, state: str = "building") -> Story:
    """Four versions with a sleep of 1 s; each second start is sent 0.2 s after the one before."""
    return [
        begun(11, REF, 1.0, first_s, state),
        begun(12, OTHER_REF, 1.2, took_s),
        begun(13, THIRD_REF, 10.0, state=state),
        begun(14, LAST_REF, 10.2, took_s),
    ]


def joining(took_s: float = 0.8) -> Story:
    """Two versions whose builds are joined after 0.2 s."""
    return [
        begun(11, REF, 1.0),
        begun(12, REF, 1.2, took_s),
        begun(13, OTHER_REF, 10.0),
        begun(14, OTHER_REF, 10.2, took_s, "ready"),
    ]


def followed(took_s: float = 0.8, before_s: float = 0.2, lasts_s: float = 1.0, seq: int = 11, **more: Any) -> Story:
    """Two starts while a log is open."""
    logs = [
        exchange("streamBuildEvents", seq=seq + n, ref=THIRD_REF, sent_at=at, done_at=at + lasts_s, frames=[], **more)
        for n, at in ((0, 20.2 - before_s), (2, 30.2 - before_s))
    ]
    return [*logs, begun(12, REF, 20.2, took_s), begun(14, LAST_REF, 30.2, took_s, "ready")]


def apart(alone_s: float) -> Story:
    """Starts with the given duration, and 0.75 s beside a build."""
    return [
        begun(11, REF, 1.0, alone_s),
        begun(12, OTHER_REF, 1.0 + alone_s, 0.75),
        begun(13, THIRD_REF, 16.0, alone_s),
        begun(14, LAST_REF, 16.0 + alone_s, 0.75),
    ]


def replaced(at: float) -> Exchange:
    return forced(15, digest="ef" * 32, sent_at=at)


def waits(wait_s: float) -> Story:
    late = exchange("startBuild", 202, seq=12, ref=OTHER_REF, json={}, sent_at=1.9 - wait_s, done_at=1.9)
    return [begun(11, REF, 1.0), late, *in_turn()[2:]]


SLOW = [begun(15 + n, REF, 20.0 + 10 * n, 0.5) for n in range(3)]
QUICK = [begun(15, REF, 20.0), begun(16, OTHER_REF, 20.2), begun(17, REF, 30.0), begun(18, LAST_REF, 30.2)]


@cases(
    "ref story expected",
    {
        "behind a build": (OTHER_REF, in_turn(), "broken"),
        "the first of two": (REF, in_turn(), ""),
        "answered while it runs": (OTHER_REF, in_turn(0.6), "held"),
        "one slow start": (OTHER_REF, in_turn()[:2], ""),
        "as many quick ones": (OTHER_REF, [*in_turn(), *QUICK], "held"),
        "every start is slow": (OTHER_REF, [*in_turn(), *SLOW], ""),
        "sent together": (OTHER_REF, in_turn(first_s=0.3), ""),
        "behind a reuse": (OTHER_REF, in_turn(state="ready"), ""),
        "behind a cancelled build": (OTHER_REF, [*in_turn(), cancel(15, sent_at=1.3)], ""),
        **{
            f"behind a build, cancelled at {at}": (OTHER_REF, [*in_turn(), cancel(15, sent_at=at)], "broken")
            for at in (0.5, 0.99, 2.0, 5.0)
        },
        "behind a build replaced later": (OTHER_REF, [*in_turn(), replaced(2.0)], "broken"),
        "an unknown version before": (OTHER_REF, [begun(10, UNKNOWN_REF, 0.9), *in_turn()], "broken"),
        "three times as long": (OTHER_REF, apart(0.25), "broken"),
        "not three times as long": (OTHER_REF, apart(0.2501), ""),
        "two tenths of a second": (OTHER_REF, waits(0.201), "broken"),
        "less": (OTHER_REF, waits(0.199), ""),
        "joined": (REF, joining(), "broken"),
        "joined, and replaced": (REF, [*joining(), replaced(1.3)], ""),
        "behind a log": (REF, followed(), "broken"),
        "answered while it is open": (REF, followed(0.7), ""),
        "behind another account's log": (REF, followed(credential="second"), ""),
        "behind the longer log": (REF, [*followed(1.0), *followed(1.0, lasts_s=1.2, seq=21)[:2]], "broken"),
        "before the longer log closes": (REF, [*followed(0.9), *followed(0.9, lasts_s=1.2, seq=21)[:2]], ""),
        "a log that closes soon": (REF, followed(before_s=0.9), ""),
    },
)
def test_start_does_not_wait_for_builds_and_logs(ref: str, story: Story, expected: str) -> None:
    assert outcome(RULES, WAITS, *VERSIONS, *story, ref=ref) == expected


def test_finding_on_a_wait_has_both_starts() -> None:
    assert findings(RULES, *VERSIONS, *in_turn(), ref=OTHER_REF) == [(WAITS, (11, 12))]
