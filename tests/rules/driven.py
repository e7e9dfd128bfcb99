"""Drives a simulated server, correct or not, through the situations that the contract tests bring about."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from tests.rules.exchanges import broken, history, said
from tests.rules.simulated import Recipe, Server, Step, recorded
from touchstone.facts.exchange import Credential, Exchange
from touchstone.rules.history import Bounds
from touchstone.rules.lifecycle import life_cycle

SHORT, LONG = Recipe("short", sleep_ms=300), Recipe("long", sleep_ms=2000)
FAILING = Recipe("failing", "failed", 300)
ENDED = frozenset({"ready", "failed"})
IDLE = ENDED | {"not_built"}

# A server whose builds never end is left alone after this; simulated seconds cost nothing.
BOUNDS = Bounds(build_timeout_s=30.0, cancel_timeout_s=5.0)


@dataclass
class Client:
    """Sends one request after the other in simulated time, and remembers the exchanges."""

    server: Server
    now: int = 0
    exchanges: list[Exchange] = field(default_factory=list)
    refs: list[str] = field(default_factory=list)

    def send(self, step: Step) -> Exchange:
        """Sends one request, which takes 2 ms and what the server makes it wait."""
        acts = self.now + 1
        answer = self.server.act(step, acts, acts + 1)
        done = acts + 1 + self.server.holds_back_ms(step)
        exchange = recorded(len(self.exchanges) + 1, step, self.now, done, answer)
        self.exchanges.append(exchange)
        self.now = done + 1
        return exchange

    def together(self, *steps: Step) -> list[Exchange]:
        """Sends all requests at the same moment; they take effect one after the other."""
        sent, done = self.now, self.now + len(steps) + 5
        answers = [self.server.act(step, sent + 1 + number, done) for number, step in enumerate(steps)]
        done += max(self.server.holds_back_ms(step) for step in steps)
        first = len(self.exchanges) + 1
        made = [
            recorded(first + n, step, sent, done, answer)
            for n, (step, answer) in enumerate(zip(steps, answers, strict=True))
        ]
        self.exchanges += made
        self.now = done + 1
        return made

    def publish(self, purpose: str, recipe: Recipe = SHORT, owner: Credential = "primary", **how: bool) -> str:
        """Publishes a version; its ref."""
        ref = f"default/touchstone-t1-{purpose}@1.0.0"
        self.send(Step("publish", ref, owner, recipe=recipe, **how))
        if ref not in self.refs:
            self.refs.append(ref)
        return ref

    def start(self, ref: str, credential: Credential = "primary") -> Exchange:
        """Starts a build."""
        return self.send(Step("start", ref, credential))

    def read(self, ref: str, credential: Credential = "primary") -> Exchange:
        """Reads the status."""
        return self.send(Step("read", ref, credential))

    def cancel(self, ref: str, credential: Credential = "primary") -> Exchange:
        """Cancels the build."""
        return self.send(Step("cancel", ref, credential))

    def wait(self, ref: str, until: frozenset[str] = ENDED, within_ms: int = 31_000) -> Exchange:
        """Polls the status until it is one of *until*, or for *within_ms*."""
        began, limit = self.now, self.now + within_ms
        while True:
            read = self.read(ref)
            if read.body.get("status") in until or self.now > limit:
                return read
            # What goes on for so long never ends.
            self.now += 50 if self.now < began + 2 * LONG.sleep_ms else 1000

    def settle(self, ref: str) -> Exchange:
        """Waits until a cancelled build has left the state building."""
        return self.wait(ref, IDLE, 6_000)

    def built(self, purpose: str, recipe: Recipe = SHORT) -> str:
        """A version that is built."""
        ref = self.publish(purpose, recipe)
        self.start(ref)
        self.wait(ref)
        return ref


def fresh(client: Client) -> None:
    """A new version is not built, builds once it is started, and ends ready."""
    ref = client.publish("fresh")
    client.read(ref)
    client.read(ref)
    client.start(ref)
    client.read(ref)
    client.wait(ref)
    client.read(ref)
    client.read(ref)


def joined(client: Client) -> None:
    """A start while the version builds is answered as documented, and that build runs to its end."""
    ref = client.publish("joined")
    client.start(ref)
    client.read(ref)
    client.start(ref)
    client.wait(ref)


def finished(client: Client) -> None:
    """A ready version stays ready, is reused, and does not mind a cancel."""
    ref = client.built("finished")
    client.read(ref)
    client.start(ref)
    client.read(ref)
    client.cancel(ref)
    client.read(ref)


def failing(client: Client) -> None:
    """A failing version ends failed, stays so, has nothing to cancel, and can be started again."""
    ref = client.built("failing", FAILING)
    client.read(ref)
    client.cancel(ref)
    client.read(ref)
    client.start(ref)
    client.read(ref)
    client.wait(ref)


def idle(client: Client) -> None:
    """A version that nobody started has nothing to cancel."""
    ref = client.publish("idle")
    client.read(ref)
    client.cancel(ref)
    client.read(ref)


def cancelled(client: Client) -> None:
    """A running build is cancelled, again while it settles and once it has, and the next one completes."""
    ref = client.publish("cancelled")
    client.start(ref)
    client.read(ref)
    client.cancel(ref)
    client.cancel(ref)
    client.settle(ref)
    client.cancel(ref)
    client.now += SHORT.sleep_ms
    client.read(ref)
    client.start(ref)
    client.wait(ref)


def restarted(client: Client) -> None:
    """A start right after a cancel begins a build of its own."""
    ref = client.publish("restarted")
    client.start(ref)
    client.cancel(ref)
    client.start(ref)
    client.wait(ref)


def neighbours(client: Client) -> None:
    """A cancel leaves a running and a ready neighbour alone."""
    ready, neighbour, victim = client.built("ready"), client.publish("neighbour"), client.publish("victim", LONG)
    client.start(neighbour)
    client.start(victim)
    client.read(ready)
    client.read(neighbour)
    client.cancel(victim)
    client.read(neighbour)
    client.settle(victim)
    client.wait(neighbour)
    client.read(ready)


def replaced(client: Client) -> None:
    """Replaced content is built afresh, whether it is looked at before or not."""
    for purpose in ("replaced", "replaced-unseen"):
        client.built(purpose)
        ref = client.publish(purpose, Recipe("revised", sleep_ms=200), force=True)
        if purpose == "replaced":
            client.read(ref)
        client.start(ref)
        client.wait(ref)


def together(client: Client) -> None:
    """Simultaneous starts of one version share one build."""
    ref = client.publish("together")
    client.read(ref)
    client.together(*[Step("start", ref)] * 3)
    client.read(ref)
    client.wait(ref)
    client.now += SHORT.sleep_ms
    client.read(ref)


def refused(client: Client) -> None:
    """Without a key, with another account's, and beyond the rate, nothing begins and nothing ends."""
    strangers: tuple[Credential, ...] = ("none", "second")
    for stranger in strangers:
        ref = client.publish(f"refused-{stranger}", LONG)
        client.read(ref)
        client.start(ref, stranger)
        client.read(ref)
        client.start(ref)
        client.read(ref)
        client.cancel(ref, stranger)
        client.read(ref)
        client.wait(ref)
        client.read(ref)
        client.cancel(ref, stranger)
        client.read(ref)
    ref = client.publish("limited")
    client.read(ref)
    client.send(Step("start", ref, limited=True))
    client.read(ref)


SITUATIONS: tuple[Callable[[Client], None], ...] = (
    fresh,
    joined,
    finished,
    failing,
    idle,
    cancelled,
    restarted,
    neighbours,
    replaced,
    together,
    refused,
)


def findings(server: Server, situations: Sequence[Callable[[Client], None]] = SITUATIONS) -> set[tuple[str, str]]:
    """What the life-cycle rule says of *server* in *situations*: claims and outcomes."""
    client = Client(server)
    for situation in situations:
        situation(client)
    known = history(*client.exchanges, bounds=BOUNDS)
    return said(j for ref in client.refs for j in life_cycle(ref, known))


def broken_by(server: Server, *situations: Callable[[Client], None]) -> set[str]:
    """The claims that *server* breaks in *situations*, by default in all of them."""
    server.manners = replace(server.manners, settle_ms=server.manners.settle_ms or 20)
    return broken(findings(server, situations or SITUATIONS))
