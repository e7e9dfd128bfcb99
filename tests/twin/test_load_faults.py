"""Load faults: the twin keeps its promises under low load and breaks them under high load."""

from collections.abc import Iterator

import pytest

from tests.twin.conftest import Serve
from tests.twin.life import describe
from tests.twin.virtual import SECOND, Api, Clock, served
from touchstone.contract import claims
from touchstone.errors import UsageError
from touchstone.proof import catalogue
from touchstone.proof.faults import FAULTS
from touchstone.proof.faults.crowded import FAILS_FROM, FOLLOWERS, KEPT_BYTES, READS_PER_S, REFUSALS_PER_S, REQUESTS
from touchstone.twin import RateLimit
from touchstone.twin.serve import Behaviour

UNDER_LOAD = {name: fault for name, fault in FAULTS.items() if fault.under == "load"}
# Each response makes these worse, from the first one on. Memory changes no response.
WEARING = {"answers-become-longer", "answers-become-slower", "memory-is-kept"}


def story(clock: Clock, behaviour: Behaviour, *, is_crowded: bool) -> Iterator[str]:
    """Responses while two builds run, or more than the host has room for, and afterwards."""
    rate = RateLimit.parse(f"{20 if is_crowded else 9}/3600")
    api = served(clock, behaviour, capacity=4 if is_crowded else 3, rate=rate, seed=1)
    builds, extra = (5, 1) if is_crowded else (2, 0)
    yield f"{api.built('ready')}"
    for number in range(builds):
        yield describe(api.publish(f"crowd-{number}", "sleep 9", f"echo {number}", *(f"echo {n}" for n in range(9))))
        yield describe(api.start(f"crowd-{number}"))
    followers = [api.follow("crowd-0") for _ in range(FOLLOWERS + 2 * extra)]
    others = [api.follow("crowd-1") for _ in range((REQUESTS - FOLLOWERS) * extra)]
    for name in ("ready", "crowd-0", f"crowd-{builds - 1}"):
        began_s = clock.now_s
        yield from (describe(api.status(name)) for _ in range(READS_PER_S * 3 * extra or 2))
        yield f"{clock.now_s - began_s:.4f} s"
    for _ in range((FAILS_FROM + 20) * extra):
        yield describe(api.template("ready"))
    # One key starts until it is rejected; then the other key starts.
    yield from (describe(api.start("ready")) for _ in range(20 + REFUSALS_PER_S if is_crowded else 6))
    other = api.with_key(SECOND)
    yield describe(other.publish())
    yield describe(other.start())
    clock.wait(30)
    yield from (describe(each) for each in (*followers, *others))
    yield from (describe(api.status(f"crowd-{number}")) for number in range(builds))


def same(fault: Behaviour, *, is_crowded: bool) -> bool:
    clocks = Clock(), Clock()
    pairs = zip(clocks, (Behaviour("faithful", ""), fault), strict=True)
    plain, faulty = (story(clock, each, is_crowded=is_crowded) for clock, each in pairs)
    try:
        return all(one == other for one, other in zip(plain, faulty, strict=True))
    finally:
        for clock in clocks:
            clock.end()


@pytest.mark.parametrize("name", UNDER_LOAD)
def test_load_fault_changes_responses_only_under_load(name: str, virtual_time: None) -> None:
    if name not in WEARING:
        assert same(UNDER_LOAD[name], is_crowded=False)
    if name != "memory-is-kept":
        assert not same(UNDER_LOAD[name], is_crowded=True)


def test_each_request_keeps_memory(serve: Serve) -> None:
    api: Api = serve(FAULTS["memory-is-kept"])
    api.publish()
    api.status()
    assert [len(kept) for kept in api.app.kept] == [KEPT_BYTES] * 2  # type: ignore[attr-defined]  # of this fault


def test_load_faults_break_claims_of_load_runs_and_are_not_in_prove() -> None:
    ledger = claims.load()
    known = {claim.id for claim in (*ledger.judged(), *ledger.judged("load"))}
    assert {claim for fault in UNDER_LOAD.values() for claim in fault.breaks} <= known
    assert all(fault.breaks for fault in UNDER_LOAD.values())
    assert {one.subject.name for one in catalogue.listed_faults()} == set(FAULTS) - set(UNDER_LOAD)
    assert {one.subject.name for one in catalogue.under_load()} == set(UNDER_LOAD)
    assert catalogue.fault("crowded-build-vanishes") is FAULTS["crowded-build-vanishes"]
    assert "crowded-answers-are-slow" in catalogue.proving("load.p99")
    with pytest.raises(UsageError, match="crowded-log-drops-lines"):
        catalogue.listed_faults("crowded-l*")
    assert catalogue.listed_faults("no-such-*") == []
