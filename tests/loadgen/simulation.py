"""A simulated server with a limit and little room, and many clients, in virtual time: the run log that they leave.

`Server` is correct, whatever its numbers and its way of counting; a faulty one is a subclass that overrides a method.
Requests take time on their way, so they overlap. Clients do what those of `load/` do.
"""

import heapq
import itertools
import math
import random
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from tests.loadlogs import header, workload
from tests.rules.exchanges import build, exchange
from touchstone.facts.events import Attempt, Build, BuildEnd, RunLog, TemplateAction, Worker
from touchstone.facts.exchange import Credential, Exchange
from touchstone.twin.limits import Limiter

Answer = tuple[int, str, float | None]  # status, state of the build, Retry-After
Request = tuple[str, str, Credential]  # operation, ref, key
Reply = tuple[int, str, float | None, float, float, int]  # the answer, when sent and done, seq
Client = Generator[float | Request, Any, None]


@dataclass
class Version:
    state: str = "not_built"
    ends_at: float = math.inf
    ends_as: str = "ready"


@dataclass
class Server:
    limiter: Callable[[], Limiter] = Limiter
    capacity: int | None = None
    build_s: float = 0.5
    settle_s: float = 0.05
    counts_refused: bool = False  # whether a start that is refused for the rate counts like one that is served
    has_retry_after: bool = True
    versions: dict[tuple[str, str], Version] = field(default_factory=dict)
    limiters: dict[str, Limiter] = field(default_factory=dict)

    def version(self, ref: str, account: str, at: float) -> Version:
        version = self.versions.setdefault((account, ref), Version())
        if at >= version.ends_at:
            version.state, version.ends_at = version.ends_as, math.inf
        return version

    def in_flight(self, at: float) -> list[float]:
        """How long each build in flight still takes, the shortest first."""
        running = (v for v in self.versions.values() if v.state == "building" and v.ends_at > at)
        return sorted(version.ends_at - at for version in running)

    def key_of(self, account: str) -> str:
        return account

    def start(self, ref: str, account: str, at: float) -> Answer:
        limiter = self.limiters.setdefault(self.key_of(account), self.limiter())
        if limiter.wait_s(at) > 0:
            if self.counts_refused:
                limiter.take(at)
            return self.refuse(limiter.wait_s(at))
        version = self.version(ref, account, at)
        if version.state not in ("ready", "building") or version.ends_as == "not_built":
            left_s = self.in_flight(at)
            if self.capacity is not None and len(left_s) >= self.capacity:
                return self.refuse(left_s[0])
            self.begin(version, ref, at)
        limiter.take(at)
        return 202, version.state, None

    def begin(self, version: Version, ref: str, at: float) -> None:
        version.state, version.ends_at = "building", at + self.build_s
        version.ends_as = "failed" if "fails" in ref else "ready"

    def refuse(self, wait_s: float) -> Answer:
        """A refusal that says when to come back, in whole seconds that are never too few."""
        return 429, "", float(max(1, math.ceil(wait_s))) if self.has_retry_after else None

    def read(self, ref: str, account: str, at: float) -> Answer:
        return 200, self.version(ref, account, at).state, None

    def cancel(self, ref: str, account: str, at: float) -> Answer:
        version = self.version(ref, account, at)
        if version.state != "building":
            return 404, "", None
        if version.ends_as != "not_built":
            version.ends_at, version.ends_as = at + self.settle_s, "not_built"
        return 202, "", None

    def answer(self, request: Request, at: float) -> Answer:
        act = {"startBuild": self.start, "getBuild": self.read, "cancelBuild": self.cancel}[request[0]]
        return act(request[1], request[2], at)


@dataclass
class Crowd:
    """Clients of one server, and what they wrote down."""

    server: Server
    random: random.Random
    latency_s: float = 0.02  # at most, on the way there and on the way back
    patience_s: float = 8.0
    jitter_s: float = 0.25
    poll_s: float = 0.25
    attempts: list[Attempt] = field(default_factory=list)
    builds: list[Build] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)
    _due: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _seqs: Any = field(default_factory=lambda: itertools.count(1))
    _turns: Any = field(default_factory=itertools.count)
    now: float = 0.0

    def enter(self, at: float, client: Client) -> None:
        self._at(at, lambda: self._go_on(client, None))

    def find_ready(self, ref: str, key: Credential) -> None:
        """Has a version built beforehand, as the set-up of a run does."""
        self.server.versions[key, ref] = Version("ready")
        times = {"sent_at": -1.0, "done_at": -0.9, "seq": next(self._seqs)}
        self.exchanges.append(exchange("getBuild", json=build("ready", ref), ref=ref, credential=key, **times))

    def run(self) -> RunLog:
        while self._due:
            self.now, _, act = heapq.heappop(self._due)
            act()
        refs = sorted({e.ref for e in self.exchanges if e.ref} | {a.ref for a in self.attempts})
        return RunLog(
            header=header(argv=("load", "storm")),
            workload=workload("storm", began_at=0.0),
            attempts=tuple(self.attempts),
            builds=tuple(self.builds),
            exchanges=tuple(sorted(self.exchanges, key=lambda e: e.done_at)),
            workers=(Worker(0, "done", self.now, 1, 0, 1),),
            templates=tuple(TemplateAction(ref, "own", "", "published", 0.0) for ref in refs),
        )

    def _at(self, at: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._due, (at, next(self._turns), act))

    def _go_on(self, client: Client, reply: Reply | None) -> None:
        try:
            wish = client.send(reply)
        except StopIteration:
            return
        if isinstance(wish, tuple):
            self._send(client, wish)
        else:
            self._at(self.now + wish, lambda: self._go_on(client, None))

    def _send(self, client: Client, request: Request) -> None:
        seq, sent_at = next(self._seqs), self.now
        there_s, back_s = (self.random.uniform(0.0005, self.latency_s) for _ in range(2))

        def act() -> None:
            answer = self.server.answer(request, self.now)
            self._at(self.now + back_s, lambda: done(answer))

        def done(answer: Answer) -> None:
            operation, ref, key = request
            if operation != "startBuild":
                body = build(answer[1], ref) if operation == "getBuild" else {}
                facts = {"ref": ref, "credential": key, "sent_at": sent_at, "done_at": self.now, "seq": seq}
                self.exchanges.append(exchange(operation, answer[0], json=body, **facts))
            self._go_on(client, (*answer, sent_at, self.now, seq))

        self._at(sent_at + there_s, act)

    def start(
        self, want: int, ref: str, key: Credential, *, fresh: bool = True, patient: bool = True, phase: str = ""
    ) -> Generator[float | Request, Any, Reply]:
        waited_s, wait_s = 0.0, 1.0
        for number in itertools.count(1):
            reply = yield "startBuild", ref, key
            status, _, retry_after_s, sent_at, done_at, seq = reply
            pause_s = wait_s if retry_after_s is None else retry_after_s
            gave_up = status == 429 and patient and waited_s + pause_s > self.patience_s
            times = (sent_at, sent_at, done_at)
            attempt = Attempt(want, number, ref, key, phase, fresh, *times, status, retry_after_s, gave_up, seq)
            self.attempts.append(attempt)
            if status != 429 or not patient or gave_up:
                return reply
            if fresh:
                yield "getBuild", ref, key
            yield max(0.0, done_at + pause_s - self.now) + self.random.uniform(0.0, self.jitter_s)
            if fresh:
                yield "getBuild", ref, key
            waited_s, wait_s = waited_s + pause_s, 2 * wait_s
        raise AssertionError("it counts for ever")

    def await_end(
        self, want: int, ref: str, key: Credential, reply: Reply, *, cancelled: bool, timeout_s: float = 30.0
    ) -> Generator[float | Request, Any, None]:
        accepted_at, seq, running_at, idle = reply[4], reply[5], None, 0
        end: BuildEnd = "stuck"
        while self.now < accepted_at + timeout_s:
            yield self.poll_s
            _, state, _, _, done_at, seq = yield "getBuild", ref, key
            running_at = done_at if state == "building" else running_at
            idle = idle + 1 if state == "not_built" else 0
            if state in ("ready", "failed") or (idle and cancelled) or idle >= 4:
                end = "ready" if state == "ready" else "failed"
                end = end if not idle else "cancelled" if cancelled else "vanished"
                break
        self.builds.append(Build(want, ref, key, accepted_at, self.now, end, running_at, seq))

    def wants(self, want: int, ref: str, key: Credential = "primary", *, cancels: bool = False) -> Client:
        reply = yield from self.start(want, ref, key)
        if reply[0] == 202:
            if cancels:
                yield self.random.uniform(0.0, self.server.build_s)
                yield "cancelBuild", ref, key
            yield from self.await_end(want, ref, key, reply, cancelled=cancels)

    def races(self, want: int, ref: str) -> Client:
        """A client that starts and cancels a version that others start and cancel as well."""
        yield from self.start(want, ref, "primary", fresh=False)
        yield self.random.uniform(0.0, self.server.build_s)
        yield "cancelBuild", ref, "primary"
        yield "getBuild", ref, "primary"

    def starts_once(self, want: int, ref: str, key: Credential, phase: str) -> Client:
        """A client that starts a ready version, and does not mind a refusal."""
        yield from self.start(want, ref, key, fresh=False, patient=False, phase=phase)
