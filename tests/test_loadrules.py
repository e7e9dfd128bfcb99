"""The load rules: a server that is correct, whatever its limits, is never accused by them, and a faulty one is."""

import dataclasses
import functools
import math
import random
from typing import Any

import pytest

from tests.crowd import Crowd, Server, Version
from tests.ruled import accused, outcomes, reasons, ruled
from tests.rules.exchanges import build, exchange
from tests.rules.limiting import LIMITERS
from touchstone.facts.events import RunLog
from touchstone.loadgen.rules import RULES

SEEDS = range(40)


def any_limits(chance: random.Random, server: type[Server] = Server, **fixed: Any) -> Server:
    """A server with limits of any kind and size."""
    make = LIMITERS[chance.choice(sorted(LIMITERS))]
    limit, window_s = chance.randint(1, 12), chance.uniform(0.3, 5.0)
    numbers: dict[str, Any] = {
        "limiter": functools.partial(make, limit, window_s),
        "capacity": chance.choice([None, 1, 2, 3, 6]),
        "build_s": chance.uniform(0.1, 2.0),
        "settle_s": chance.uniform(0.0, 0.5),
        "counts_refused": chance.random() < 0.3,
        "says_when": chance.random() < 0.7,
    }
    return server(**(numbers | fixed))


def storm(server: Server, seed: int, builds: int = 20, **more: Any) -> RunLog:
    """Many builds wanted at about the same time by two keys, some of them cancelled, and races for two versions."""
    chance = random.Random(seed)
    crowd = Crowd(server, chance, chance.uniform(0.001, 0.08), chance.uniform(2.0, 12.0), **more)
    for want in range(builds):
        ref = f"default/own-{want}{'-fails' if want % 5 == 4 else ''}@1.0.0"
        key = "second" if want % 7 == 6 else "primary"
        crowd.enter(chance.uniform(0.0, 2.0), crowd.wants(want, ref, key, cancels=want % 6 == 5))
    for want in range(builds, builds + 8):
        crowd.enter(chance.uniform(0.0, 4.0), crowd.races(want, f"default/shared-{want % 2}@1.0.0"))
    return crowd.run()


def fair(server: Server, seed: int, *, rate: float = 1.0, greedy: int = 20, duration_s: float = 24.0) -> RunLog:
    """A modest key alone, then beside a greedy one; both versions are ready."""
    chance = random.Random(seed)
    crowd = Crowd(server, chance, chance.uniform(0.001, 0.05))
    crowd.find_ready("default/modest@1.0.0", "primary")
    crowd.find_ready("default/greedy@1.0.0", "second")
    for number in range(int(duration_s * rate)):
        # Off the beat: who always comes when a window opens is served by any limit.
        at = (number + 0.7) / rate + chance.uniform(0.0, 0.02)
        phase = "alone" if at < duration_s / 2 else "beside-greedy"
        crowd.enter(at, crowd.starts_once(number, "default/modest@1.0.0", "primary", phase))
        for each in range(greedy if phase != "alone" else 0):
            want, due_at = 1000 * (number + 1) + each, at + (each + 1) / rate / (greedy + 1)
            crowd.enter(due_at, crowd.starts_once(want, "default/greedy@1.0.0", "second", phase))
    return crowd.run()


# --- a correct server is never accused -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_storm_on_a_correct_server_accuses_nobody(seed: int) -> None:
    """Whatever its limits and however it counts: refusals, give-ups and cancels under load are no breach."""
    assert accused(storm(any_limits(random.Random(seed)), seed)) == set()


@pytest.mark.parametrize("seed", SEEDS)
def test_greedy_key_on_a_correct_server_accuses_nobody(seed: int) -> None:
    """
    A modest key that uses up a rate of its own, or meets the edge of a window, is not taken for throttled by another.
    """
    chance = random.Random(1000 + seed)
    server = any_limits(chance, counts_refused=chance.random() < 0.3)
    log = fair(server, seed, rate=chance.uniform(0.6, 4.0), duration_s=chance.uniform(10.0, 24.0))
    assert accused(log) == set()


def test_correct_server_upholds_what_a_run_can_show() -> None:
    """Where there was an occasion the claim is held: what is never accused might as well say nothing."""
    limiter = functools.partial(LIMITERS["fixed-window"], 8, 1.0)
    log = storm(Server(limiter, capacity=4, build_s=0.6), 3)
    for claim in (
        *("status.build-ends", "status.build-does-not-vanish", "load.builds-admitted"),
        *("limit.refused-start-starts-nothing", "limit.ends-after-back-off", "limit.retry-after-is-honest"),
    ):
        assert "held" in outcomes(log, claim), claim
    assert outcomes(fair(Server(limiter), 3), "limit.is-per-key") == {"held"}


def test_run_without_an_occasion_says_what_would_give_one() -> None:
    """No build, no refusal, no phases: each claim is not applicable, with what was missing and what to do."""
    ruling = ruled(Crowd(Server(), random.Random(1)).run())
    assert (ruling.findings, ruling.judgements) == ([], [])
    reasons = {notice.claim: notice.reason for notice in ruling.notices}
    assert set(reasons) == {rule.claim for rule in RULES}
    assert reasons["limit.is-per-key"].endswith("`touchstone load fairness` does, with a second key")
    assert {notice.verdict for notice in ruling.notices} == {"not-applicable"}


# --- a faulty one is -------------------------------------------------------------------------------------------------


class NeverEnds(Server):
    """The fifth build that is in flight does not end."""

    def begin(self, version: Version, ref: str, at: float) -> None:
        crowd = sum(v.state == "building" and v.ends_at > at for v in self.versions.values())
        super().begin(version, ref, at)
        version.ends_at = math.inf if crowd >= 4 else version.ends_at


class Loses(Server):
    """The fifth build that is in flight is lost half-way."""

    def begin(self, version: Version, ref: str, at: float) -> None:
        crowd = sum(v.state == "building" and v.ends_at > at for v in self.versions.values())
        super().begin(version, ref, at)
        if crowd >= 4:
            version.ends_at, version.ends_as = at + self.build_s / 2, "not_built"


class Revives(Server):
    """A build that failed reads building again a while later."""

    def read(self, ref: str, account: str, at: float) -> tuple[int, str, float | None]:
        status, state, asked_s = super().read(ref, account, at)
        self.seen = getattr(self, "seen", set())
        if state == "failed" and ref in self.seen:
            return status, "building", asked_s
        self.seen |= {ref} if state == "failed" else set()
        return status, state, asked_s


class BuildsAllTheSame(Server):
    """A start that is refused begins its build."""

    def start(self, ref: str, account: str, at: float) -> tuple[int, str, float | None]:
        answer = super().start(ref, account, at)
        version = self.version(ref, account, at)
        if answer[0] == 429 and version.state == "not_built":
            self.begin(version, ref, at)
        return answer


class NeverAgain(Server):
    """A key that was refused once is never served again."""

    def start(self, ref: str, account: str, at: float) -> tuple[int, str, float | None]:
        self.shut = getattr(self, "shut", set())
        answer = (429, "", 1.0) if account in self.shut else super().start(ref, account, at)
        self.shut |= {account} if answer[0] == 429 else set()
        return answer


class Impatient(Server):
    """Retry-After asks for a third of the time that is left."""

    def refuse(self, wait_s: float) -> tuple[int, str, float | None]:
        return 429, "", float(math.floor(wait_s / 3))


class Shared(Server):
    """All keys use up one rate."""

    def key_of(self, account: str) -> str:
        return "all"


class Contagious(Server):
    """While one key is refused, so are the others."""

    def start(self, ref: str, account: str, at: float) -> tuple[int, str, float | None]:
        waits_s = [limiter.wait_s(at) for limiter in self.limiters.values()]
        return self.refuse(max(waits_s)) if max(waits_s, default=0.0) > 0 else super().start(ref, account, at)


ROOMY = {"capacity": None}
LIMITED = {"limiter": functools.partial(LIMITERS["fixed-window"], 4, 1.0), "capacity": 6, "counts_refused": False}


@pytest.mark.parametrize(
    ("fault", "claim", "fixed"),
    [
        (NeverEnds, "status.build-ends", ROOMY | {"build_s": 2.0}),
        (Loses, "status.build-does-not-vanish", ROOMY | {"build_s": 2.0}),
        (Revives, "load.builds-admitted", ROOMY),
        (BuildsAllTheSame, "limit.refused-start-starts-nothing", LIMITED | {"build_s": 0.5}),
    ],
)
def test_fault_is_found_by_what_becomes_of_the_builds(fault: type[Server], claim: str, fixed: dict[str, Any]) -> None:
    """A build without an end, one that is lost, one that nobody admitted, and one that was refused."""
    for seed in range(5):
        server = fault(**({"limiter": functools.partial(LIMITERS["fixed-window"], 40, 1.0)} | fixed))
        log = storm(server, seed)
        if claim == "load.builds-admitted":
            log = seen_again(log)
        assert accused(log) == {claim}


def seen_again(log: RunLog) -> RunLog:
    """The same, with one more read of a version that failed, after everything else."""
    failed = next(e for e in log.exchanges if e.operation == "getBuild" and e.body["status"] == "failed")
    more = exchange(json=build("building", failed.ref or ""), ref=failed.ref, seq=99_999, sent_at=90.0, done_at=90.1)
    return dataclasses.replace(log, exchanges=(*log.exchanges, more))


def lonely(server: Server, seed: int, patience_s: float = 20.0, starts: int = 6) -> RunLog:
    """Clients of one key, each after the one before has ended; the first ones come too fast for the limit."""
    crowd = Crowd(server, random.Random(seed), 0.01, patience_s)
    for want in range(starts):
        crowd.enter(0.1 * want if want < 5 else 40.0 * want, crowd.wants(want, f"default/own-{want}@1.0.0"))
    return crowd.run()


@pytest.mark.parametrize(
    ("fault", "claim", "says_when"),
    [
        (NeverAgain, "limit.ends-after-back-off", False),
        (Impatient, "limit.retry-after-is-honest", True),
    ],
)
def test_fault_is_found_by_clients_that_wait(fault: type[Server], claim: str, says_when: bool) -> None:
    """A limit that does not end for whoever backs off, and one whose Retry-After is too short."""
    limit_s = 1.0 if fault is NeverAgain else 9.0
    limiter = functools.partial(LIMITERS["fixed-window"], 4, limit_s)
    found = accused(lonely(fault(limiter, build_s=0.2, says_when=says_when), 1))
    assert claim in found
    assert found <= {claim, "limit.retry-after-is-honest"}
    assert accused(lonely(Server(limiter, build_s=0.2, says_when=says_when), 1)) == set()


@pytest.mark.parametrize("fault", [Shared, Contagious])
@pytest.mark.parametrize("kind", sorted(LIMITERS))
def test_greedy_key_that_throttles_another_is_found(fault: type[Server], kind: str) -> None:
    """A shared rate, and a refusal that hits all keys, however the limit counts."""
    server = fault(functools.partial(LIMITERS[kind], 12, 1.0))
    assert accused(fair(server, 1, greedy=60)) == {"limit.is-per-key"}


# --- what proves nothing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"greedy": 1}, "the greedy key met no limit"),
        ({"duration_s": 6.0}, "at least 5 of each: run longer"),
        ({"rate": 6.0, "greedy": 4}, "starts were refused alone as well; lower the rate of the modest key"),
    ],
)
def test_disturbance_that_proves_nothing_is_told(change: dict[str, Any], why: str) -> None:
    """Too few starts, a greedy key that is not greedy, and a modest one that is not modest leave the claim open."""
    log = fair(Server(functools.partial(LIMITERS["fixed-window"], 8, 2.0)), 1, **change)
    assert outcomes(log, "limit.is-per-key") == {"indeterminate"}
    assert why in reasons(log, "limit.is-per-key")


def test_starts_of_the_greedy_key_are_counted_while_the_modest_one_starts() -> None:
    """What it started before the first or after the last start of the modest key is in no number that says so."""
    log = fair(Server(functools.partial(LIMITERS["fixed-window"], 8, 2.0)), 1, greedy=1)
    greedy = [a for a in log.attempts if a.credential == "second"]
    beside = [a for a in log.attempts if a.credential == "primary" and a.phase == "beside-greedy"]
    begins, ends = min(a.sent_at for a in beside), max(a.done_at for a in beside)
    meanwhile = sum(begins <= a.sent_at <= ends for a in greedy)
    assert 0 < meanwhile < len(greedy)
    told = f"the greedy key met no limit with {meanwhile} starts while the modest one started beside it; give it"
    assert told in reasons(log, "limit.is-per-key")


@pytest.mark.parametrize("says_when", [True, False])
@pytest.mark.parametrize(("kind", "limit"), [("fixed-window", 16), ("aligned-window", 16), ("token-bucket", 9)])
def test_key_that_uses_up_a_long_window_of_its_own_is_indeterminate(kind: str, limit: int, says_when: bool) -> None:
    """Served alone and refused beside, on a correct server: the window that it fills is longer than each phase."""
    log = fair(Server(functools.partial(LIMITERS[kind], limit, 24.0), says_when=says_when), 1)
    assert outcomes(log, "limit.is-per-key") == {"indeterminate"}
    assert "may have used up a rate of its own" in reasons(log, "limit.is-per-key")
