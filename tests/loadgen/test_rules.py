"""The load rules: a correct server, whatever its limits, is never accused by them, and a faulty one is."""

import functools
import math
import random
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from tests.loadgen.rulings import REF, attempt, broken, ended, log_of, outcomes, read, ruling_of
from tests.loadgen.simulation import Answer, Crowd, Server, Version
from tests.rules.exchanges import exchange
from tests.rules.limiting import LIMITERS
from touchstone.facts.events import Attempt, Build, BuildEnd, RunLog, Worker
from touchstone.facts.exchange import Credential
from touchstone.loadgen.rules import RULES, rate_explains

ENDS, STAYS, ADMITTED = "status.build-ends", "status.build-does-not-vanish", "load.builds-admitted"
REFUSED, BACK_OFF = "limit.refused-start-starts-nothing", "limit.ends-after-back-off"
RETRY_AFTER, PER_KEY = "limit.retry-after-is-honest", "limit.is-per-key"


def limiter(limit: int, window_s: float, kind: str = "fixed-window") -> Callable[[], Any]:
    return functools.partial(LIMITERS[kind], limit, window_s)


def any_limits(chance: random.Random) -> Server:
    kind = chance.choice(sorted(LIMITERS))
    return Server(
        limiter=limiter(chance.randint(1, 12), chance.uniform(0.3, 5.0), kind),
        capacity=chance.choice([None, 1, 2, 3, 6]),
        build_s=chance.uniform(0.1, 2.0),
        settle_s=chance.uniform(0.0, 0.5),
        counts_refused=chance.random() < 0.3,
        has_retry_after=chance.random() < 0.7,
    )


def storm(server: Server, seed: int) -> RunLog:
    """Many builds wanted at about the same time by two keys, some of them cancelled, and races for two versions."""
    chance = random.Random(seed)
    crowd = Crowd(server, chance, chance.uniform(0.001, 0.08), chance.uniform(2.0, 12.0))
    for want in range(20):
        ref = f"default/own-{want}{'-fails' if want % 5 == 4 else ''}@1.0.0"
        key: Credential = "second" if want % 7 == 6 else "primary"
        crowd.enter(chance.uniform(0.0, 2.0), crowd.wants(want, ref, key, cancels=want % 6 == 5))
    for want in range(20, 28):
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


@pytest.mark.parametrize("seed", range(30))
def test_correct_server_is_not_accused(seed: int) -> None:
    chance = random.Random(seed)
    assert broken(storm(any_limits(chance), seed)) == set()
    log = fair(any_limits(chance), seed, rate=chance.uniform(0.6, 4.0), duration_s=chance.uniform(10.0, 24.0))
    assert broken(log) == set()


def test_correct_server_upholds_what_a_run_can_show() -> None:
    log = storm(Server(limiter(8, 1.0), capacity=4, build_s=0.6), 3)
    assert all("held" in outcomes(log, claim) for claim in (ENDS, STAYS, ADMITTED, REFUSED, BACK_OFF, RETRY_AFTER))
    assert outcomes(fair(Server(limiter(8, 1.0)), 3), PER_KEY) == {"held"}


def test_run_without_an_occasion_judges_nothing() -> None:
    ruling = ruling_of(Crowd(Server(), random.Random(1)).run())
    assert (ruling.findings, ruling.judgements) == ([], [])
    assert {notice.claim: notice.verdict for notice in ruling.notices} == {
        claim: "not-applicable" for _, claim, _ in RULES
    }


class NeverEnds(Server):
    """The fifth build that is in flight does not end."""

    lasts_share, ends_as = math.inf, "ready"

    def begin(self, version: Version, ref: str, at: float) -> None:
        is_fifth = len(self.in_flight(at)) >= 4
        super().begin(version, ref, at)
        if is_fifth:
            version.ends_at, version.ends_as = at + self.lasts_share * self.build_s, self.ends_as


class Loses(NeverEnds):
    """The fifth build that is in flight is lost half-way."""

    lasts_share, ends_as = 0.5, "not_built"


class BuildsAllTheSame(Server):
    """A start that is refused begins its build."""

    def start(self, ref: str, account: str, at: float) -> Answer:
        answer = super().start(ref, account, at)
        version = self.version(ref, account, at)
        if answer[0] == 429 and version.state == "not_built":
            self.begin(version, ref, at)
        return answer


class Shared(Server):
    """All keys use up one rate."""

    def key_of(self, account: str) -> str:
        return "all"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("server", "claim"),
    [
        (functools.partial(NeverEnds, limiter(40, 1.0), build_s=2.0), ENDS),
        (functools.partial(Loses, limiter(40, 1.0), build_s=2.0), STAYS),
        (functools.partial(BuildsAllTheSame, limiter(4, 1.0), capacity=6), REFUSED),
    ],
    ids=["never-ends", "loses", "builds-all-the-same"],
)
def test_fault_is_found_by_what_becomes_of_builds(server: Callable[[], Server], claim: str, seed: int) -> None:
    assert broken(storm(server(), seed)) == {claim}


@pytest.mark.parametrize("kind", sorted(LIMITERS))
def test_key_that_throttles_another_is_found(kind: str) -> None:
    assert broken(fair(Shared(limiter(12, 1.0, kind)), 1, greedy=60)) == {PER_KEY}


@pytest.mark.parametrize(
    ("server", "change"),
    [
        *(
            (Server(limiter(8, 2.0)), change)
            for change in ({"greedy": 1}, {"duration_s": 6.0}, {"rate": 6, "greedy": 4})
        ),
        (Server(limiter(16, 24.0)), {}),
        (Server(limiter(16, 24.0, "aligned-window"), has_retry_after=False), {}),
        (Server(limiter(9, 24.0, "token-bucket")), {}),
    ],
    ids=["greedy-key-is-not-greedy", "too-few-starts", "modest-key-is-not-modest", "long", "aligned", "bucket"],
)
def test_disturbance_that_proves_nothing_leaves_the_claim_open(server: Server, change: dict[str, Any]) -> None:
    assert outcomes(fair(server, 1, **change), PER_KEY) == {"indeterminate"}


START, AGAIN = attempt(status=202), attempt(2, 202, 3.02)
REFUSED_SINCE, REFUSED_BEFORE = attempt(2, 429, 3.0), attempt(2, 429, 1.5)
RUNS, RUNS_LATE, READY = read("building", 2.0), read("building", 4.0), read("ready", 2.0)
OVER = (read("failed", 2.0), read("building", 3.0))
LATE_OVER = (read("failed", 2.5), read("building", 3.0))
CANCEL = exchange("cancelBuild", 202, ref=REF, sent_at=2.0, seq=3)
APART = Worker(0, "done", 9.0, 1, 0, 1, clock_error_s=0.6)
NOBODYS: dict[str, Any] = {"templates": ()}

BUILDS: dict[str, tuple[RunLog, set[str]]] = {
    "stuck": (log_of(START, ended("stuck")), {ENDS}),
    "vanished": (log_of(START, ended("vanished")), {STAYS}),
    "vanished after a cancel": (log_of(START, ended("vanished"), CANCEL), set()),
    "vanished beside a cancelled one": (log_of(START, ended("vanished"), ended("cancelled", want=2, seq=51)), set()),
    "running without a start": (log_of(read("building", 0.5)), {ADMITTED}),
    "running after a bad request": (log_of(attempt(status=400), RUNS), {ADMITTED}),
    **{f"running after a {status}": (log_of(attempt(status=status), RUNS), set()) for status in (0, 202, 500, 503)},
    "running after it was over": (log_of(START, *OVER), {ADMITTED}),
    "running, started again": (log_of(START, AGAIN, *OVER), set()),
    "running, of somebody else": (log_of(START, *OVER, **NOBODYS), set()),
    "running, refused since": (log_of(START, REFUSED_SINCE, OVER[0], RUNS_LATE), {REFUSED}),
    "running, refused before it was over": (log_of(attempt(1, 202, 0.5), REFUSED_BEFORE, *OVER), {ADMITTED}),
    "over just before": (log_of(START, *LATE_OVER), {ADMITTED}),
    "over just before, clocks apart": (log_of(START, *LATE_OVER, APART), set()),
    "ready though refused": (log_of(attempt(), READY), {REFUSED}),
}


@pytest.mark.parametrize("name", BUILDS)
def test_build_breaks_the_claim_that_it_shows(name: str) -> None:
    log, expected = BUILDS[name]
    assert broken(log) == expected


@pytest.mark.parametrize(
    ("log", "claim", "outcome"),
    [
        (log_of(START, ended("unread")), ENDS, "indeterminate"),
        (log_of(attempt(status=202, fresh=False)), ENDS, "not-applicable"),
        (log_of(START, ended("vanished"), CANCEL), STAYS, "indeterminate"),
        (log_of(attempt(status=500), RUNS), ADMITTED, "held"),
        (log_of(attempt(), read("not_built", 2.0)), REFUSED, "held"),
        (log_of(attempt(retry_after_s=60.0, gave_up=True)), BACK_OFF, "indeterminate"),
        (log_of(attempt(), attempt(2, 202, 3.0)), BACK_OFF, "held"),
        (log_of(attempt(retry_after_s=1.0), attempt(2, 202, 3.0)), RETRY_AFTER, "held"),
        (log_of(attempt(retry_after_s=5.0), attempt(2, 202, 3.0)), RETRY_AFTER, "not-applicable"),
    ],
)
def test_occasion_has_its_outcome(log: RunLog, claim: str, outcome: str) -> None:
    assert outcomes(log, claim) == {outcome}


def served_first(end: BuildEnd = "ready") -> tuple[Attempt, Build]:
    """Another client of the key, whose build was over before anything else happened, unless nobody saw its end."""
    start = attempt(status=202, sent_at=0.0, want=9, seq=91, ref="default/first@1.0.0")
    return start, ended(end, want=9, ref=start.ref, accepted_at=0.1, ended_at=0.9)


def give_up(pause_s: float = 1.0, retry_after_s: float | None = 0.5, tries: int = 4) -> tuple[Attempt, ...]:
    facts: dict[str, Any] = {"retry_after_s": retry_after_s}
    return tuple(attempt(n, sent_at=n * pause_s, gave_up=n == 4, **facts) for n in range(1, tries + 1))


def other(status: int, sent_at: float, key: Credential = "primary") -> Attempt:
    return attempt(1, status, sent_at, want=2, ref="default/other@1.0.0", seq=90, credential=key)


SERVED, GIVE_UP = served_first(), give_up()


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (log_of(*SERVED, *GIVE_UP), {BACK_OFF, RETRY_AFTER}),
        (log_of(*SERVED, *GIVE_UP, other(202, 2.9)), set()),  # it may be what was in the way
        (log_of(*SERVED, *GIVE_UP, other(202, 0.2, "second")), set()),  # its build may fill the host
        (log_of(*SERVED, *GIVE_UP, other(429, 2.9, "second")), {BACK_OFF, RETRY_AFTER}),
        (log_of(*served_first("stuck"), *GIVE_UP), {ENDS}),  # it may still fill the host
        (log_of(*served_first("unread"), *GIVE_UP), set()),
        (log_of(*give_up(tries=3)), set()),  # a host full of others' builds may have refused it
        (log_of(*SERVED, *give_up(retry_after_s=5.0)), set()),  # it did not wait as it was to
        (log_of(*SERVED, *give_up(3.0, None)), set()),  # a limit that counts refused starts needs a longer rest
        (log_of(*SERVED, *give_up(5.0, None)), {BACK_OFF}),
        (log_of(*SERVED, attempt(retry_after_s=0.5), attempt(2, sent_at=2.0)), set()),  # once may be chance
    ],
)
def test_only_what_is_alone_with_the_limit_breaks_it(log: RunLog, expected: set[str]) -> None:
    assert broken(log) == expected


def test_finding_has_its_evidence() -> None:
    refused = ruling_of(log_of(attempt(), attempt(2, sent_at=1.5), RUNS, attempt(3, sent_at=2.5))).findings[0]
    assert (refused.claim, refused.evidence, refused.curl[:5]) == (REFUSED, (2, RUNS.seq), "curl ")
    lost = ruling_of(log_of(START, ended("vanished"))).findings[0]
    assert (lost.level, lost.evidence, lost.curl) == ("must", (50,), "touchstone load storm --seed 20")


def starts(served_at: Iterable[float], refused_at: Iterable[float] = ()) -> list[Attempt]:
    """The starts of one key, each answered within a millisecond."""
    moments = [*((at, 202) for at in served_at), *((at, 429) for at in refused_at)]
    return [attempt(n, status, at, done_at=at + 0.001, want=n) for n, (at, status) in enumerate(sorted(moments))]


def every(gap_s: float, number: int, from_s: float = 0.0) -> list[float]:
    return [from_s + n * gap_s for n in range(number)]


BURST = every(0.01, 8)
EDGES = [*every(0.01, 8, 3.9), *every(0.01, 8, 4.0), *every(0.01, 8, 8.0)]  # windows that follow each other
SLOW = [*every(1.0, 4), *every(1.5, 20, 30.0)]
TEN = [*every(0.1, 10), *every(0.1, 40, 10.0)]
GREEDY = starts(
    [at for window in range(4) for at in every(0.01, 8, 4.0 * window)],
    [at for window in range(4) for at in every(0.05, 70, 4.0 * window + 0.2)],
)
TWO = starts([*BURST, *every(0.01, 8, 2.0)], [1.0, 1.1, 3.0, 3.1])


@pytest.mark.parametrize(
    ("keys", "slack_s", "explained"),
    [
        ([starts(EDGES, [5.0, 5.5, 9.0, 9.5])], 0.0, True),
        ([starts([*BURST, *every(0.01, 8, 4.1), *EDGES], [1.0, 1.5, 5.0, 5.5])], 0.0, False),
        ([starts(SLOW, every(0.5, 34, 3.5))], 0.0, True),  # refused starts count
        ([starts(SLOW, every(4.0, 5, 5.0))], 0.0, False),
        ([GREEDY, starts(every(0.3, 8, 0.1), [2.9, 3.2, 3.5])], 0.0, True),  # only served ones count
        ([GREEDY, starts([0.1], [2.9, 3.2, 3.5])], 0.0, False),
        ([starts(TEN, [9.0])], 0.0, True),  # one refusal may be somebody else's doing
        ([starts(TEN, [8.0, 9.0])], 0.0, False),
        ([TWO, starts(every(0.01, 4, 0.7), [0.5, 0.6])], 0.0, False),
        ([TWO, starts(every(0.01, 4, 0.7), [0.5, 0.6])], 1.0, True),  # clocks may be wrong by that
    ],
)
def test_limit_of_each_key_explains_refusals(keys: list[list[Attempt]], slack_s: float, explained: bool) -> None:
    assert rate_explains(keys, slack_s=slack_s) is explained
