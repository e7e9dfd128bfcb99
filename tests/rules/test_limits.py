"""Rules on limits: correct limiters of every kind are never blamed, and each broken promise is found."""

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rules.exchanges import (
    REF,
    broken,
    build,
    exchange,
    exchange_rules,
    history,
    publish,
    said,
    story_rules,
    story_verdicts,
    verdicts,
)
from tests.rules.limiting import LIMITERS, Driver, Never, Server
from touchstone.facts.backoff import retry_after_s
from touchstone.facts.exchange import Exchange
from touchstone.twin.limits import TokenBucket

ERROR = {"error": "Too many builds."}
HONEST, ENDS = "limit.retry-after-is-honest", "limit.ends-after-back-off"
PER_KEY, READS = "limit.is-per-key", "limit.reads-are-not-charged"
SHAPE, VALID = "limit.has-the-error-shape", "limit.retry-after-is-valid"


def driven(
    latency_s: float = 0.01, rest_s: float = 8.0, began_at: float = 101.3, builds: str = "", **server: Any
) -> list[Exchange]:
    made = {"make": lambda: LIMITERS["fixed-window"](8, 4.0)} | server
    return Driver(Server(**made), latency_s, began_at, rest_s, builds).run()


@pytest.mark.parametrize("builds", ["", "cancelled"])
@pytest.mark.parametrize("name", LIMITERS)
def test_correct_limiter_upholds_each_claim(name: str, builds: str) -> None:
    """Each usual kind of limiter upholds all four claims when it is driven as the rules ask."""
    found = story_verdicts(
        story_rules("limits", "room", "waiting"), *driven(make=lambda: LIMITERS[name](8, 4.0), builds=builds)
    )

    assert found == {(HONEST, "held"), (ENDS, "held"), (PER_KEY, "held"), (READS, "held")}


@settings(max_examples=150)
@given(
    name=st.sampled_from(sorted(LIMITERS)),
    limit=st.integers(1, 20),
    window_s=st.floats(0.2, 20.0),
    latency_s=st.floats(0.001, 0.4),
    rest_s=st.floats(0.0, 30.0),
    began_at=st.floats(100.0, 140.0),
    told=st.booleans(),
    burst=st.integers(1, 20),
    builds=st.sampled_from(["", "cancelled", "kept"]),
)
def test_correct_limiter_is_never_blamed(
    name: str,
    limit: int,
    window_s: float,
    latency_s: float,
    rest_s: float,
    began_at: float,
    told: bool,
    burst: int,
    builds: str,
) -> None:
    """Whatever its size, its phase and the speed of the network, a correct limiter breaks no claim."""
    make = {"make": lambda: LIMITERS[name](limit, window_s)}
    if name == "token-bucket":
        make = {"make": lambda: TokenBucket(limit, window_s, burst)}
    exchanges = driven(latency_s, rest_s, began_at, builds, **make, **({} if told else {"retry_after": None}))

    assert broken(story_verdicts(story_rules("limits", "room", "waiting"), *exchanges)) == set()


@pytest.mark.parametrize("builds", ["", "cancelled"])
@pytest.mark.parametrize(
    ("claim", "server"),
    [
        (PER_KEY, {"shared": True}),
        (READS, {"reads_charged": True}),
        (HONEST, {"retry_after": lambda wait_s: str(math.floor(wait_s / 2))}),
        (HONEST, {"retry_after": lambda _: "1"}),
        (HONEST, {"retry_after": lambda _: "0"}),
        (ENDS, {"make": lambda: Never(8, 4.0), "retry_after": None}),
    ],
)
def test_broken_limiter_is_blamed_on_its_claim_alone(claim: str, server: dict[str, Any], builds: str) -> None:
    """A limiter that breaks one promise is blamed on that promise and on no other."""
    assert broken(story_verdicts(story_rules("limits", "room", "waiting"), *driven(builds=builds, **server))) == {claim}


def test_other_key_is_not_judged_by_builds_that_fill_the_host() -> None:
    """
    While builds are in flight a full host refuses every key; one round of cancelled builds may meet somebody else's.
    """
    for exchanges in (driven(shared=True, builds="kept"), _first_round(driven(shared=True, builds="cancelled"))):
        found = story_verdicts(story_rules("limits", "room", "waiting"), *exchanges)
        assert (PER_KEY, "indeterminate") in found
        assert PER_KEY not in broken(found)


def _first_round(exchanges: list[Exchange]) -> list[Exchange]:
    return [e for e in exchanges if e.note.get("limit", {}).get("round", 1) == 1]


@pytest.mark.parametrize(("status", "found"), [(409, {(SHAPE, "broken")}), (404, set()), (503, set()), (429, set())])
def test_build_that_is_refused_otherwise_than_by_429_is_found(status: int, found: set[tuple[str, str]]) -> None:
    """
    Builds were begun before it and after a wait, so that a limit refused it; 404 and 503 have claims of their own.
    """
    exchanges = [publish(0, REF, sent_at=90.0)]
    for e in driven(builds="cancelled"):
        other = publish(1000 + e.seq, e.ref or REF, sent_at=90.0 + e.seq / 100)
        exchanges += [other] if e.ref and not any(x.ref == e.ref for x in exchanges) else []
        refused = exchange("startBuild", status, json=ERROR, ref=e.ref, seq=e.seq, sent_at=e.sent_at, note=e.note)
        exchanges.append(refused if e.status == 429 else e)

    assert {v for v in story_verdicts(story_rules("limits", "room", "waiting"), *exchanges) if v[0] == SHAPE} == found


@pytest.mark.parametrize(
    ("waited_s", "status", "headers", "found"),
    [
        (2.1, 202, {"retry-after": "2"}, {(ENDS, "held"), (HONEST, "held")}),
        (1.9, 202, {"retry-after": "2"}, set()),
        (1.0, 202, {}, {(ENDS, "held")}),
        (2.1, 429, {"retry-after": "2"}, set()),
    ],
)
def test_refusal_met_by_chance_that_ends_is_evidence(
    waited_s: float, status: int, headers: dict[str, str], found: set[tuple[str, str]]
) -> None:
    """The next start of the version that waited as asked and was served; a second refusal proves nothing."""
    refused = exchange("startBuild", 429, json=ERROR, headers=headers, seq=2, sent_at=10.0, done_at=10.1)
    after = exchange("startBuild", status, json=build("building"), seq=3, sent_at=10.1 + waited_s)

    assert (
        story_verdicts(story_rules("limits", "room", "waiting"), publish(1, REF, sent_at=1.0), refused, after) == found
    )


def test_refusal_for_good_that_promises_an_end_breaks_two_claims() -> None:
    """A limiter that refuses for good and says when to come back breaks both promises."""
    exchanges = driven(make=lambda: Never(8, 4.0))

    assert broken(story_verdicts(story_rules("limits", "room", "waiting"), *exchanges)) == {HONEST, ENDS}


def test_no_limit_shows_nothing() -> None:
    """A server that refuses nothing is no evidence about limits."""
    assert (
        story_verdicts(
            story_rules("limits", "room", "waiting"), *driven(make=lambda: LIMITERS["fixed-window"](1000, 4.0))
        )
        == set()
    )


def test_patience_shorter_than_retry_after_is_indeterminate() -> None:
    """Who gives up sooner than told cannot say that a refusal does not end."""
    exchanges = driven(make=lambda: Never(8, 4.0), retry_after=None)
    last = exchanges[-1]
    hour = exchange(
        "startBuild",
        429,
        json=ERROR,
        headers={"retry-after": "3600"},
        seq=last.seq - 1,
        case=last.case,
        sent_at=exchanges[-2].sent_at,
        done_at=exchanges[-2].done_at,
        note=exchanges[-2].note,
    )

    assert (ENDS, "indeterminate") in story_verdicts(
        story_rules("limits", "room", "waiting"), *exchanges[:-2], hour, last
    )


def test_one_refusal_after_an_honest_wait_may_be_the_hosts_load() -> None:
    """A single refusal after the whole wait is not proof."""
    said_once = iter(["1", "1"])
    exchanges = driven(retry_after=lambda wait_s: next(said_once, str(math.ceil(wait_s))))

    assert (HONEST, "indeterminate") in story_verdicts(story_rules("limits", "room", "waiting"), *exchanges)


@pytest.mark.parametrize("server", [{"retry_after": lambda _: "1"}, {"reads_charged": True}])
def test_starts_beside_the_driver_take_its_proof_away(server: dict[str, Any]) -> None:
    """A start under the same key, sent by somebody else in the run, explains what is refused to the driver."""
    beside = exchange("startBuild", 202, json={}, seq=0, sent_at=0.0, done_at=1000.0)

    assert broken(story_verdicts(story_rules("limits", "room", "waiting"), beside, *driven(**server))) == set()


def test_other_key_that_was_busy_is_indeterminate() -> None:
    """A refused key that may have used up its own rate proves nothing about another's."""
    exchanges = driven(shared=True)
    busy = [exchange("startBuild", 202, json={}, credential="second", seq=-i, sent_at=101.2) for i in range(1, 9)]

    found = story_verdicts(story_rules("limits", "room", "waiting"), *busy, *exchanges)

    assert (PER_KEY, "indeterminate") in found
    assert PER_KEY not in broken(found)


@pytest.mark.parametrize("status", [202, 200])
def test_first_key_served_again_takes_the_proof_away(status: int) -> None:
    """Where the first key is served right after the other one, nobody knows whether it was still refused."""
    exchanges = [
        exchange("startBuild", status, json={}, seq=e.seq, sent_at=e.sent_at, note=e.note)
        if _phase(e) == "confirm"
        else e
        for e in driven(shared=True)
    ]

    assert PER_KEY not in {claim for claim, _ in story_verdicts(story_rules("limits", "room", "waiting"), *exchanges)}


def _phase(sent: Exchange) -> str:
    return str(sent.note.get("limit", {}).get("phase"))


@pytest.mark.parametrize("charged", [True, False])
def test_reads_of_any_version_count(charged: bool) -> None:
    """What was read before the burst, and that a build was started before the rest, does not matter."""
    exchanges = driven(reads_charged=charged)
    reads = [e for e in exchanges if _phase(e) == "reads"]
    elsewhere = {e.seq: replace(e, ref="default/other@1.0.0") for e in reads[::2]}
    last = max(e.done_at for e in exchanges if e.note.get("limit", {}).get("round") == 2)
    start = exchange("startBuild", 202, json={}, ref="default/other@1.0.0", seq=0, sent_at=last + 0.01)
    beside = replace(start, case=reads[0].case, note={"limit": {"round": 3, "phase": "beside"}})

    found = story_verdicts(
        story_rules("limits", "room", "waiting"), beside, *(elsewhere.get(e.seq, e) for e in exchanges)
    )

    assert (READS, "broken" if charged else "held") in found


@pytest.mark.parametrize("reads", [0, 1, 5])
def test_few_reads_are_too_few_to_compare(reads: int) -> None:
    """Fewer reads than would use up the rate prove nothing, whatever is served after them."""
    exchanges = driven(reads_charged=True)
    kept = [e.seq for e in exchanges if _phase(e) == "reads"][reads:]

    found = story_verdicts(story_rules("limits", "room", "waiting"), *(e for e in exchanges if e.seq not in kept))

    assert READS not in broken(found)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (exchange("startBuild", 429, json=ERROR), "held"),
        (exchange("getBuild", 429, json=ERROR | {"code": "x"}), "held"),
        (exchange("startBuild", 429), "broken"),
        (exchange("startBuild", 429, json={"status": "building"}), "broken"),
        (exchange("publishTemplate", 429, json=[ERROR]), "broken"),
        (exchange("startBuild", 429, body=b"slow down", headers={"content-type": "text/plain"}), "broken"),
    ],
)
def test_refusal_for_a_limit_has_the_error_shape(answer: Exchange, outcome: str) -> None:
    """Any 429 is an error body as every other error is."""
    assert verdicts(exchange_rules("limits", "room", "waiting"), answer) == {(SHAPE, outcome)}


@pytest.mark.parametrize(
    "answer",
    [
        exchange("startBuild", 403, json=ERROR),
        exchange("startBuild", 429, body=b"{", headers={"content-type": "application/json"}),
        exchange("", 429, method="PUT", body=b"x"),
        exchange("startBuild", 0),
    ],
)
def test_shape_is_judged_where_a_limit_refuses_an_operation(answer: Exchange) -> None:
    """Other errors, broken JSON and requests outside the contract are told by other claims or by none."""
    assert verdicts(exchange_rules("limits", "room", "waiting"), answer) == set()


@pytest.mark.parametrize(
    ("value", "outcome"),
    [
        ("0", "held"),
        ("120", "held"),
        ("Sat, 14 Mar 2026 09:26:57 GMT", "held"),
        ("Saturday, 14-Mar-26 09:26:57 GMT", "held"),
        ("Sat Mar 14 09:26:57 2026", "held"),
        ("-1", "broken"),
        ("1.5", "broken"),
        ("", "broken"),
        ("soon", "broken"),
        ("4s", "broken"),
        ("2026-03-14T09:26:57Z", "broken"),
        ("Sat, 14 Mar 2026 09:26:57 +0100", "broken"),
        ("Sat, 32 Mar 2026 09:26:57 GMT", "broken"),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, outcome: str) -> None:
    """Retry-After is a whole number of seconds or one of the three forms of an HTTP date."""
    answer = exchange("startBuild", 429, json=ERROR, headers={"retry-after": value})

    assert (VALID, outcome) in verdicts(exchange_rules("limits", "room", "waiting"), answer)


@pytest.mark.parametrize("values", [("1", "1"), ("1", "2")])
def test_retry_after_that_is_sent_twice_is_invalid(values: tuple[str, str]) -> None:
    """Clients read two fields of one name as one value with a comma, which is no number."""
    answer = exchange("startBuild", 429, json={"error": "busy"}, headers={"retry-after": values[0]})
    assert answer.response
    twice = replace(answer.response, headers=(*answer.response.headers, ("Retry-After", values[1])))
    assert (VALID, "broken") in verdicts(exchange_rules("limits", "room", "waiting"), replace(answer, response=twice))


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after": "4"}, 4.0),
        ({"retry-after": "Sat, 14 Mar 2026 09:26:57 GMT", "date": "Sat, 14 Mar 2026 09:26:53 GMT"}, 4.0),
        ({"retry-after": "Sat, 14 Mar 2026 09:26:50 GMT", "date": "Sat, 14 Mar 2026 09:26:53 GMT"}, 0.0),
        ({"retry-after": "Sat, 14 Mar 2026 09:26:57 GMT"}, None),
        ({"retry-after": "x"}, None),
        ({}, None),
    ],
)
def test_date_counts_from_the_servers_own_clock(headers: dict[str, str], expected: float | None) -> None:
    """A date is measured by the Date of the same answer; without one nobody knows how long to wait."""
    answer = exchange("startBuild", 429, json=ERROR, headers=headers)

    assert answer.response is not None
    assert retry_after_s(answer.response) == expected


def test_driver_without_a_burst_is_no_round() -> None:
    """Retries alone tell nothing."""
    alone = exchange("startBuild", 429, json=ERROR, note={"limit": {"round": 1, "phase": "retry", "gave_up": True}})

    assert said(j for r in story_rules("limits", "room", "waiting") for j in r(REF, history(alone))) == set()


def test_other_key_that_rested_as_long_as_the_first_needed_is_not_used_up() -> None:
    """Where a later round shows how soon a key regains its rate, only the other key's starts since then can count."""
    exchanges = driven(shared=True)
    busy = [exchange("startBuild", 202, json={}, credential="second", seq=-i, sent_at=60.0) for i in range(1, 9)]

    assert (PER_KEY, "broken") in story_verdicts(story_rules("limits", "room", "waiting"), *busy, *exchanges)


def starts(*answers: tuple[int, str], between: tuple[Exchange, ...] = ()) -> list[Exchange]:
    """A published version and one start after the other, each with its status code and build status."""
    made = [publish(seq=1, sent_at=1.0), *between]
    for number, (code, status) in enumerate(answers):
        body = {"error": "No."} if code >= 400 else build(status)
        made.append(exchange("startBuild", code, json=body, seq=10 + 2 * number, sent_at=10.0 + number))
    return made


@pytest.mark.parametrize("code", [400, 403, 409, 422])
def test_limit_that_is_no_429_is_found(code: int) -> None:
    """
    A start that is served before and after it, with the golden ready all the time, can only be refused for a limit.
    """
    exchanges = starts((202, "building"), (202, "ready"), (code, ""), (code, ""), (202, "ready"))

    assert broken(story_verdicts(story_rules("limits", "room", "waiting"), *exchanges)) == {SHAPE}


@pytest.mark.parametrize(
    "exchanges",
    [
        starts((202, "building"), (409, ""), (202, "ready")),
        starts((202, "ready"), (429, ""), (202, "ready")),
        starts((202, "ready"), (403, "")),
        starts((403, ""), (202, "ready")),
        starts((202, "ready"), (401, ""), (404, ""), (202, "ready")),
        starts((202, "ready"), (409, ""), (202, "building"), (202, "ready")),
        starts((202, "ready"), (409, ""), (202, "ready"), between=(publish(seq=11, sent_at=10.5, content="other"),)),
    ],
)
def test_refusal_that_something_else_explains_is_no_limit(exchanges: list[Exchange]) -> None:
    """
    While a build runs, before a version is ready, for good, or around a replacement, other refusals are no limit's.
    """
    assert SHAPE not in broken(story_verdicts(story_rules("limits", "room", "waiting"), *exchanges))
