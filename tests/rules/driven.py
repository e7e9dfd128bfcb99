"""Drives a simulated server through the situations of the contract tests."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from tests.rules.exchanges import history
from tests.rules.judging import broken, outcomes
from tests.rules.simulated import Kind, Recipe, Server, Step, recorded
from touchstone.facts.exchange import Credential, Exchange
from touchstone.rules.history import Bounds
from touchstone.rules.lifecycle import life_cycle

SHORT, LONG = Recipe("short", sleep_ms=300), Recipe("long", sleep_ms=2000)
FAILING = Recipe("failing", "failed", 300)
ENDED = frozenset({"ready", "failed"})
IDLE = ENDED | {"not_built"}

# Simulated time limits for builds that never end.
BOUNDS = Bounds(build_timeout_s=30.0, cancel_timeout_s=5.0)


@dataclass
class Client:
    """Sends requests in simulated time and keeps the exchanges."""

    server: Server
    now: int = 0
    exchanges: list[Exchange] = field(default_factory=list)
    refs: list[str] = field(default_factory=list)

    def send(self, step: Step) -> Exchange:
        """Sends one request, which takes 2 ms and the server's delay."""
        acts = self.now + 1
        answer = self.server.act(step, acts, acts + 1)
        done = acts + 1 + self.server.delay_ms(step)
        exchange = recorded(len(self.exchanges) + 1, step, self.now, done, answer)
        self.exchanges.append(exchange)
        self.now = done + 1
        return exchange

    def together(self, *steps: Step) -> None:
        """Sends all requests at the same time; they take effect one after the other."""
        sent, done = self.now, self.now + len(steps) + 5
        answers = [self.server.act(step, sent + 1 + number, done) for number, step in enumerate(steps)]
        done += max(self.server.delay_ms(step) for step in steps)
        first = len(self.exchanges) + 1
        pairs = enumerate(zip(steps, answers, strict=True), first)
        self.exchanges += [recorded(number, step, sent, done, answer) for number, (step, answer) in pairs]
        self.now = done + 1

    def publish(self, purpose: str, recipe: Recipe = SHORT, *, force: bool = False) -> str:
        """Publishes a version; returns its ref."""
        ref = f"default/touchstone-t1-{purpose}@1.0.0"
        self.send(Step("publish", ref, recipe=recipe, force=force))
        if ref not in self.refs:
            self.refs.append(ref)
        return ref

    def do(self, ref: str, *steps: str, by: Credential = "primary") -> None:
        """Sends requests about one version; ``wait`` and ``settle`` poll it, ``pass`` waits for the time of a build."""
        for step in steps:
            if step == "wait":
                self.wait(ref)
            elif step == "settle":
                self.wait(ref, IDLE, 6_000)
            elif step == "pass":
                self.now += SHORT.sleep_ms
            else:
                self.send(Step(cast("Kind", step), ref, by))

    def wait(self, ref: str, until: frozenset[str] = ENDED, within_ms: int = 31_000) -> None:
        """Polls the status until it is one of *until*, or for *within_ms*."""
        began, limit = self.now, self.now + within_ms
        while self.send(Step("read", ref)).body.get("status") not in until and self.now <= limit:
            # A build that runs for so long never ends.
            self.now += 50 if self.now < began + 2 * LONG.sleep_ms else 1000

    def built(self, purpose: str, recipe: Recipe = SHORT) -> str:
        """Publishes and builds a version."""
        ref = self.publish(purpose, recipe)
        self.do(ref, "start", "wait")
        return ref


def fresh(client: Client) -> None:
    """A new version is not built, builds after a start, and ends ready."""
    client.do(client.publish("fresh"), "read", "read", "start", "read", "wait", "read", "read")


def joined(client: Client) -> None:
    """A start during a build gets a documented response, and the build completes."""
    client.do(client.publish("joined"), "start", "read", "start", "wait")


def finished(client: Client) -> None:
    """A ready version stays ready, is reused, and is not affected by a cancel."""
    client.do(client.built("finished"), "read", "start", "read", "cancel", "read")


def failing(client: Client) -> None:
    """A failed version stays failed, a cancel gets 404, and it can be started again."""
    client.do(client.built("failing", FAILING), "read", "cancel", "read", "start", "read", "wait")


def idle(client: Client) -> None:
    """A cancel of an unbuilt version gets 404."""
    client.do(client.publish("idle"), "read", "cancel", "read")


def cancelled(client: Client) -> None:
    """A running build is cancelled, again while it settles and afterwards; the next build completes."""
    ref = client.publish("cancelled")
    client.do(ref, "start", "read", "cancel", "cancel", "settle", "cancel", "pass", "read", "start", "wait")


def restarted(client: Client) -> None:
    """A start right after a cancel begins a new build."""
    client.do(client.publish("restarted"), "start", "cancel", "start", "wait")


def neighbours(client: Client) -> None:
    """A cancel does not affect a running and a ready neighbour."""
    ready, neighbour, victim = client.built("ready"), client.publish("neighbour"), client.publish("victim", LONG)
    client.do(neighbour, "start")
    client.do(victim, "start")
    client.do(ready, "read")
    client.do(neighbour, "read")
    client.do(victim, "cancel")
    client.do(neighbour, "read")
    client.do(victim, "settle")
    client.do(neighbour, "wait")
    client.do(ready, "read")


def replaced(client: Client) -> None:
    """Replaced content is built anew, with or without a read before."""
    for purpose, before in (("replaced", ["read"]), ("replaced-unread", [])):
        client.built(purpose)
        ref = client.publish(purpose, Recipe("revised", sleep_ms=200), force=True)
        client.do(ref, *before, "start", "wait")


def together(client: Client) -> None:
    """Simultaneous starts of one version share one build."""
    ref = client.publish("together")
    client.do(ref, "read")
    client.together(*[Step("start", ref)] * 3)
    client.do(ref, "read", "wait", "pass", "read")


def refused(client: Client) -> None:
    """Requests without a key, with a foreign key or with status 429 have no effect."""
    strangers: tuple[Credential, ...] = ("none", "second")
    for stranger in strangers:
        ref = client.publish(f"refused-{stranger}", LONG)
        for own, foreign in (
            (("read",), "start"),
            (("read", "start", "read"), "cancel"),
            (("read", "wait", "read"), "cancel"),
        ):
            client.do(ref, *own)
            client.do(ref, foreign, by=stranger)
        client.do(ref, "read")
    ref = client.publish("limited")
    client.do(ref, "read")
    client.send(Step("start", ref, limited=True))
    client.do(ref, "read")


SITUATIONS: tuple[Callable[[Client], None], ...] = (
    fresh, joined, finished, failing, idle, cancelled, restarted, neighbours, replaced, together, refused,
)  # fmt: skip


def findings(server: Server, situations: Sequence[Callable[[Client], None]] = SITUATIONS) -> set[tuple[str, str]]:
    """Claims and outcomes of the life-cycle rule for *server* in *situations*."""
    client = Client(server)
    for situation in situations:
        situation(client)
    known = history(*client.exchanges, bounds=BOUNDS)
    return outcomes(j for ref in client.refs for j in life_cycle(ref, known))


def broken_by(server: Server, *situations: Callable[[Client], None]) -> set[str]:
    """Claims that *server* breaks in *situations*, by default in all."""
    server.manners = replace(server.manners, settle_ms=server.manners.settle_ms or 20)
    return broken(findings(server, situations or SITUATIONS))
