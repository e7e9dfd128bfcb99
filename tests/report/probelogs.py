"""Run logs of simulated probes: a client of a limiter of the twin, in virtual time."""

import math
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from types import SimpleNamespace

from tests.limiting import decide, limiter_for
from tests.loadlogs import header, log_of, workload
from tests.report.identities import identity
from touchstone.facts.events import Footer
from touchstone.facts.identity import Cost, Identity, Runner, Step
from touchstone.facts.probe import Answer, Terms
from touchstone.report.probe_view import probe_of
from touchstone.report.view import View, view
from touchstone.twin import RateLimit
from touchstone.twin.limits import Limiter

STIMULI = ("one request", "burst", "rest, drain", "3 spread, drain", "poll", "poll, one more", "6 spread")
ORIGIN_AT = 0.05
RUNNERS = (
    ("sliding-log", "sliding-log:5/28.3", "accepted at 18.4 s, but it would have refused: 5 were in its last 28.3 s"),
    ("fixed-window", "fixed-window:5/29", "accepted at 6.2 s, in a window that was full until 29 s"),
    ("sliding-counter", "sliding-counter:6/31.5", "accepted 1 at 18.4 s, but it would have accepted 3"),
    ("leaky-bucket", "leaky-bucket:5/25", "refused at 44.1 s, when its queue had room for 3"),
    ("minimum-gap", "minimum-gap:6", "5 requests were accepted within 40 ms"),
)


@dataclass(frozen=True)
class Identified:
    """Result of a probe, as in a run log."""

    identity: Identity
    steps: tuple[Step, ...]


@dataclass
class Client:
    """A client and its responses."""

    limiter: Limiter
    random: random.Random
    answers: list[Answer]
    now_at: float = ORIGIN_AT
    held: int = 0

    def send(self) -> bool:
        """Sends one request; the next one may follow before its response."""
        accepted, delay_s = decide(self.limiter, self.now_at + 0.001)
        took_s = delay_s + 0.0035 + self.random.random() * 0.0012
        hint_s = None if accepted else float(math.ceil(min(self.limiter.wait_s(self.now_at), 1e6)))
        self.answers.append(Answer(self.now_at, self.now_at + took_s, accepted, hint_s))
        self.now_at += took_s - delay_s
        self.held += accepted
        return accepted

    def cancel(self) -> None:
        for _ in range(self.held):
            self.limiter.ended()
        self.held = 0


def bursts(text: str, count: int, pause_s: float) -> tuple[list[Answer], list[float]]:
    """Responses to *count* requests in bursts, and the end of each stimulus."""
    client = Client(limiter_for(text), random.Random(7), [])
    ends: list[float] = []
    while len(client.answers) < count:
        number = len(ends)
        for _ in range(40 if number == 1 else 2 + 3 * (number % 4)):
            if not client.send() and number % 3 != 2:
                break
        ends.append(client.now_at)
        client.cancel()
        client.now_at += pause_s * (0.4 + client.random.random() + (number % 3))
    return client.answers, ends


def steps_of(ends: list[float], family: str, last: dict[str, float]) -> Iterator[Step]:
    """Steps that become ever more certain of *family*, and end with the probabilities *last*."""
    others = [name for name, _, _ in RUNNERS if name != family]
    for number, at in enumerate(ends):
        left = 0.85 * math.exp(-number / 3.2)
        shares = {name: left * 0.55**place / 1.9 for place, name in enumerate(others) if number < 14 - 3 * place}
        rest = 1 - sum(shares.values())
        bits = max(2.4 * math.exp(-number / 4), 0.002)
        yield Step(STIMULI[number % len(STIMULI)], at, bits, last if at in ends[-2:] else {family: rest, **shares})


def story(text: str, count: int = 150, pause_s: float = 5.0, operation: str = "startBuild", **parts: object) -> object:
    """A probe of the limiter *text*, with the attributes of `touchstone.facts.probe.ProbeStory`."""
    answers, ends = bursts(text, count, pause_s)
    refused = sum(not answer.accepted for answer in answers)
    cost = Cost(len(answers), refused, len(answers) - refused, answers[-1].done_at - ORIGIN_AT)
    family = RateLimit.parse(text).family
    runners = (
        Runner(family, 0.9994, text),
        *(Runner(name, 0.0001, *more) for name, *more in RUNNERS if name != family),
    )
    more = {"unlimited_to": cost.requests} if text == "none" else {"families": runners}
    found = identity(text, **({"cost": cost} | more | parts))
    steps = tuple(steps_of(ends, family, {one.family: one.probability for one in found.families}))
    evidence = [SimpleNamespace(answer=answer, is_evidence=True) for answer in answers]
    identified = Identified(found, steps if text != "none" else ())
    terms = asdict(Terms(1, operation == "startBuild", 1000, 400, 900.0))
    probing = SimpleNamespace(operation=operation, knee=None, terms=terms)
    return SimpleNamespace(probing=probing, answers=evidence, identified=identified, tried=(), knee=None)


def run_of(story_of_log: object) -> View:
    log = replace(log_of(workload()), header=replace(header(), command="probe", argv=("touchstone", "probe")))
    probe = probe_of(story_of_log)  # type: ignore[arg-type]  # built like the story of a run log
    assert probe
    sure = probe.identity.sure
    reason = "" if sure else "the limiter is not certain: the budget of 66 requests is spent; raise --max-requests"
    lasted_s = probe.identity.cost.seconds + (probe.knee.knee.seconds if probe.knee else 0.0) + 2.0
    ended = Footer("2026-01-02T03:05:06Z", round(lasted_s, 1), 0 if sure else 3, reason, False)
    run = view(replace(log, workload=None, windows=(), attempts=(), builds=(), workers=(), footer=ended))
    return replace(run, probe=probe)
