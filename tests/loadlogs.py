"""Run logs of load runs that never took place: target, generator and clocks are worked out instead of waited for."""

import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.rules.exchanges import exchange
from touchstone.facts import events
from touchstone.facts.events import Attempt, Build, LedgerClaim, Limit, Remark, RunLog, Target, Workload
from touchstone.facts.exchange import Exchange
from touchstone.facts.runlog import RunLogWriter
from touchstone.facts.sample import UNSENT, Sample, Window
from touchstone.twin import limits

BEGAN_AT = 3.0  # a schedule begins on a whole second of the run
RTT_S = 0.004


def header(**changes: Any) -> events.Header:
    claims = (
        LedgerClaim(
            "load.p99", "must", "The p99 of response times keeps to its limit.", "load/thresholds.toml", "load"
        ),
        LedgerClaim("load.refusal-starts-nothing", "must", "A 429 starts no build.", "build#errors", "load"),
        LedgerClaim("load.no-5xx", "must", "No request is answered with 5xx under load.", "api-intro#statuses", "load"),
    )
    values: dict[str, Any] = {
        "run_id": "260102-030405-ab12cd", "tool_version": "0.1.0", "command": "load", "argv": ("load", "storm"),
        "started_at": "2026-01-02T03:04:05.678Z", "target": Target("staging", "http://127.0.0.1:8123/api", "url"),
        "profile": "standard", "seed": 20, "strict": False, "claims_glob": "load.*", "contract_sha256": "5f" * 32,
        "claims": claims,
    }  # fmt: skip
    return events.Header(**(values | changes))


def workload(scenario: str = "steady", **changes: Any) -> Workload:
    values: dict[str, Any] = {
        "scenario": scenario, "says": "A mix of reads, starts, cancels and streamed logs at a given rate.",
        "model": "open", "arrivals": "constant:50", "began_at": BEGAN_AT, "duration_s": 60.0,
        "scheduled": {"getBuild": 3000}, "workers": 1, "seed": 20, "options": {"mix": {"read": 1.0}},
    }  # fmt: skip
    return Workload(**(values | changes))


def log_of(planned: Workload, **facts: Any) -> RunLog:
    head = facts.pop("header", None) or header(argv=("load", planned.scenario))
    tallies = tuple(events.Tally("load", "load.rules", claim.id, held=7) for claim in head.claims)
    footer = events.Footer("2026-01-02T03:05:15Z", planned.began_at + planned.duration_s + 3.0, 0, "")
    return RunLog(**({"header": head, "workload": planned, "tallies": tallies, "footer": footer} | facts))


def write(log: RunLog, path: Path) -> Path:
    with RunLogWriter(path) as writer:
        writer.write(log.header)
        if log.workload is not None:
            writer.write(log.workload)
        writer.write(*log.windows, *log.attempts, *log.builds, *log.workers, *log.tallies, *map(Remark, log.warnings))
        writer.write(*log.occurrences)
        if log.footer is not None:
            writer.write(log.footer)
    return path


def fold(samples: Iterable[Sample], worker: int = 0, *, paced: bool = True) -> tuple[Window, ...]:
    windows: dict[tuple[int, str, str], Window] = {}
    for sample in samples:
        key = (math.floor(sample.intended_at), sample.operation, sample.outcome)
        windows.setdefault(key, Window(worker, *key, paced=paced)).add(sample)
    return tuple(windows.values())


def unsent(at_s: int, operation: str, count: int, worker: int = 0) -> Window:
    return Window(worker, at_s, operation, UNSENT, count)


def worker(number: int = 0, **changes: Any) -> events.Worker:
    values: dict[str, Any] = {
        "number": number, "state": "done", "at_s": BEGAN_AT + 61.0, "sent": 3000, "unsent": 0, "assigned": 3000,
        "late_p99_s": 0.0011, "cpu_share": 0.21, "rss_bytes": 61_000_000,
    }  # fmt: skip
    return events.Worker(**(values | changes))


NoLimit = limits.Limiter
FixedWindow = limits.FixedWindow


@dataclass(frozen=True)
class Storm:
    """Clients that want a build each, all at the same moment, and a target that lets in so many."""

    starts: int = 40
    capacity: int | None = 4
    rate: Callable[[], NoLimit] = NoLimit
    build_s: float = 1.0
    retry_s: float = 0.0  # when a refused client tries again; 0 for the advised time, in whole seconds
    poll_s: float = 0.2
    patience: int = 50  # tries after which a client gives up
    lengths: tuple[float, ...] = (1.0,)  # how long builds take, in turns, as multiples of build_s

    def run(self) -> RunLog:
        attempts, lives = self._starts()
        builds = tuple(self._build(attempt, began_at) for attempt, began_at in lives)
        tries: dict[bool, list[Sample]] = {True: [], False: []}
        for a in sorted(attempts, key=lambda a: a.sent_at):
            sample = Sample("startBuild", str(a.status), a.intended_at, a.sent_at, a.done_at)
            tries[a.number == 1].append(sample)
        reads = [sample for attempt, began_at in lives for sample in self._reads(attempt, began_at)]
        planned = workload(
            "storm",
            says="Many clients start builds at the same moment and retry refused starts.",
            arrivals="at once",
            duration_s=1.0,
            scheduled={"startBuild": self.starts},
            options={"builds": self.starts, "build_s": self.build_s},
        )
        end_at = max(build.ended_at for build in builds)
        return log_of(
            planned,
            attempts=tuple(attempts),
            builds=builds,
            windows=(*fold(tries[True]), *fold(tries[False], paced=False), *fold(reads, paced=False)),
            workers=(worker(sent=self.starts, assigned=self.starts, at_s=end_at),),
            footer=events.Footer("2026-01-02T03:05:15Z", end_at + 1.5, 0, ""),
        )

    def _starts(self) -> tuple[list[Attempt], list[tuple[Attempt, float]]]:
        limiter = self.rate()
        clients = [(BEGAN_AT + 0.0005 * want, want, 1) for want in range(self.starts)]
        ends: list[float] = []
        attempts, lives = [], []
        while clients:
            clients.sort()
            intended_at, want, number = clients.pop(0)
            sent_at = intended_at + 0.0004
            at = sent_at + RTT_S / 2
            ends = [end for end in ends if end > at]
            wait_s = limiter.wait_s(at)
            if not wait_s and self.capacity is not None and len(ends) >= self.capacity:
                wait_s = min(ends) - at
            retry_after_s = float(max(1, math.ceil(wait_s))) if wait_s else None
            gave_up = wait_s > 0 and number == self.patience
            done_at = sent_at + RTT_S * (1 + want % 7 / 10)
            attempt = Attempt(
                want, number, f"default/touchstone-{want}@1.0.0", "primary", "", True, intended_at, sent_at, done_at,
                429 if wait_s else 202, retry_after_s, gave_up, len(attempts) + 1,
            )  # fmt: skip
            attempts.append(attempt)
            if not wait_s:
                limiter.take(at)
                ends.append(at + self._length_s(want))
                lives.append((attempt, at))
            elif not gave_up:
                clients.append((done_at + (self.retry_s or retry_after_s or 0.0), want, number + 1))
        return attempts, lives

    def _length_s(self, want: int) -> float:
        return self.build_s * self.lengths[want % len(self.lengths)]

    def _build(self, attempt: Attempt, began_at: float) -> Build:
        reads = list(self._reads(attempt, began_at))
        running = [read.done_at for read in reads[:-1]]
        return Build(
            attempt.want, attempt.ref, "primary", attempt.done_at, reads[-1].done_at, "ready",
            running[-1] if running else None, attempt.seq,
        )  # fmt: skip

    def _reads(self, attempt: Attempt, began_at: float) -> Iterable[Sample]:
        at = attempt.done_at
        while True:
            at += self.poll_s
            yield Sample("getBuild", "200", at, at + 0.0002, at + 0.0002 + RTT_S)
            if at + RTT_S / 2 > began_at + self._length_s(attempt.want):
                return


def steady(
    per_s: float = 50.0,
    duration_s: float = 60.0,
    seed: int = 1,
    *,
    stall_s: float = 1.0,
    service_s: float = 0.004,
    slower: float = 1.0,
    **changes: Any,
) -> RunLog:
    chance = random.Random(seed)
    samples: list[Sample] = []
    for number in range(round(per_s * duration_s)):
        due_at = BEGAN_AT + number / per_s
        operation, outcome, factor = chance.choices(MIX, [part[3] for part in MIX])[0][:3]
        sent_at = due_at + chance.uniform(0.0001, 0.0009)
        took_s = slower * service_s * factor * chance.lognormvariate(0.0, 0.5)
        taken_up_at = sent_at + max(stall_s - sent_at % 5.0, 0.0)
        samples.append(Sample(operation, outcome, due_at, sent_at, taken_up_at + took_s))
    planned = workload(arrivals=f"constant:{per_s:g}", duration_s=duration_s, scheduled=_counted(samples))
    sent = len(samples)
    log = log_of(planned, windows=fold(samples), workers=(worker(sent=sent, assigned=sent),))
    return replace(log, **changes)


MIX = (
    ("getBuild", "200", 1.0, 0.86),
    ("getBuild", "404", 0.8, 0.02),
    ("startBuild", "202", 3.0, 0.04),
    ("startBuild", "429", 0.6, 0.01),
    ("cancelBuild", "202", 2.0, 0.04),
    ("streamBuildEvents", "200", 300.0, 0.03),
)


def _counted(samples: Iterable[Sample]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for sample in samples:
        counts[sample.operation] = counts.get(sample.operation, 0) + 1
    return counts


def behind(from_s: float = 20.0, duration_s: float = 40.0, per_s: float = 100.0) -> RunLog:
    samples, lost = [], []
    for number in range(round(per_s * duration_s)):
        due_s = number / per_s
        late_s = 0.0008 + max(0.0, due_s - from_s) * 0.02
        at = BEGAN_AT + due_s
        if due_s > from_s and number % 10 == 0:
            lost.append(math.floor(at))
        else:
            samples.append(Sample("getBuild", "200", at, at + late_s, at + late_s + 0.003 + number % 5 / 1000))
    windows = (*fold(samples), *(unsent(at_s, "getBuild", lost.count(at_s)) for at_s in sorted(set(lost))))
    scheduled = {"getBuild": round(per_s * duration_s)}
    planned = workload(duration_s=duration_s, arrivals=f"constant:{per_s:g}", scheduled=scheduled)
    slow = worker(
        sent=len(samples), unsent=len(lost), assigned=round(per_s * duration_s), late_p99_s=0.39,
        behind_from_s=BEGAN_AT + from_s + 1.0, behind_s=0.4, cpu_share=0.99,
    )  # fmt: skip
    return log_of(planned, windows=windows, workers=(slow,))


def four_workers() -> RunLog:
    duration_s, lost, lost_from_s = 30, 2, 18
    windows: list[Window] = []
    sent = [0, 0, 0, 0]
    chance = random.Random(4)
    for number in range(80 * duration_s):
        who, due_s = number % 4, number / 80
        if who == lost and due_s >= lost_from_s:
            continue
        at = BEGAN_AT + due_s
        sent_at = at + chance.uniform(0.0001, 0.0008) * (4 if who == 3 else 1)
        sent[who] += 1
        windows += fold([Sample("getBuild", "200", at, sent_at, sent_at + 0.003 + chance.expovariate(900))], who)
    workers = tuple(
        worker(
            number, sent=sent[number], assigned=20 * duration_s, state="lost" if number == lost else "done",
            cpu_share=0.2 + 0.04 * number, clock_offset_s=0.0012 * number, clock_error_s=0.0002, at_s=BEGAN_AT + 31,
            note="no word from it for 6 s" if number == lost else "",
        )
        for number in range(4)
    )  # fmt: skip
    scheduled = {"getBuild": 80 * duration_s}
    planned = workload(arrivals="constant:80", duration_s=float(duration_s), workers=4, scheduled=scheduled)
    return log_of(planned, windows=tuple(windows), workers=workers)


LIMITS = (
    Limit("startBuild", "p99_s", 0.5),
    Limit("getBuild", "p99_s", 0.05),
    Limit("*", "error_share", 0.001),
    Limit("*", "throughput_per_s", 40.0),
)


FILL = "fill:202 fill:202 fill:429"
QUICK = "full:429 cancel:200 again:202"
HELD = "full:429 wait full:429 wait full:429 cancel:200 again:202"
FULL_HOST = f"{FILL} {QUICK} {HELD} {QUICK} {HELD}"


def story(steps: str, *, wait_s: float = 0.5, step_s: float = 0.05) -> tuple[Exchange, ...]:
    """Exchanges of the client of load/room.py: steps with a status; ``wait`` passes time, ``full`` begins a turn."""
    at, turn, found, before = 500.0, 0, [], ""
    for step in steps.split():
        if step == "wait":
            at, before = at + wait_s, step
            continue
        name, status = step.split(":")
        turn += name == "full" and before != "wait"
        note = {"room": {"step": name, "turn": turn}}
        operation = "cancelBuild" if name == "cancel" else "startBuild"
        times = {"sent_at": at, "done_at": at + 0.01}
        found.append(exchange(operation, int(status), json={}, seq=5000 + len(found), note=note, **times))
        at, before = at + step_s, name
    return tuple(found)
