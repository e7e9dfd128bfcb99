"""
Drives a target into the situations that the rules judge: patient starts, bounded waits, followers, simultaneous calls.

It asserts nothing. What cannot be brought about ends the case with `Unsuited`, which says why and for which verdict.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from touchstone.check.budget import SPENT, Budget, Received
from touchstone.check.followers import Following
from touchstone.check.outage import SILENT_REMOVALS, UNHEARD_REQUESTS, Silence
from touchstone.check.published import Made
from touchstone.check.templates import VERSION, Form, Template, given, publish_call
from touchstone.check.terms import PUBLISH_ADVICE, Ledger, Unsuited, how_ended
from touchstone.check.waits import IDLE, Waits
from touchstone.config import TargetSettings
from touchstone.facts.exchange import Credential, Exchange
from touchstone.facts.patience import GIVEN_UP_AFTER, Vain, back_off_s, retry_after_s
from touchstone.target.transport import Call, Transport, may_publish

# An in-flight build has to outlive the requests that are sent while it runs; each takes about one latency.
SHORT_SLEEP_S, LONG_SLEEP_S = 0.15, 2.0
SHORT_SLEEP_LATENCIES, LONG_SLEEP_LATENCIES = 12, 60

# A version to share that does not become ready is built anew as often as this, and then not again in every case.
READY_TRIES = 3


@dataclass(repr=False)
class Examination(Waits):
    """One run against one target.

    Attributes:
        case: Id of the case that is running; stamped on each exchange.
        latency_s: How long a status read takes, as measured before the first case.
        stretch: Multiplies the sleeps of templates; more than 1 where a first try met no occasion.
    """

    transport: Transport
    target: TargetSettings
    run_id: str
    ledger: Ledger
    budget: Budget
    latency_s: float = 0.0
    stretch: float = 1.0
    case: str = ""
    templates: list[Template] = field(default_factory=list)
    made: Made = field(default_factory=Made)
    _running: set[str] = field(default_factory=set)
    _dying: set[str] = field(default_factory=set)
    vain: Vain = field(default_factory=Vain)
    _owners: dict[str, Credential] = field(default_factory=dict)
    _made: dict[str, Template] = field(default_factory=dict)
    _unmade: list[str] = field(default_factory=list)
    _serial: dict[str, int] = field(default_factory=dict)
    _followings: list[Following] = field(default_factory=list)
    _silence: Silence = field(default_factory=lambda: Silence(UNHEARD_REQUESTS))
    _silent: int = 0

    # --- single requests ---------------------------------------------------------------------------------------------

    def send(self, call: Call) -> Exchange:
        """Sends one request as it is, if the run may."""
        return self.made.hear(call, self._send)

    def _send(self, call: Call) -> Exchange:
        if self.target.publish == "never" and may_publish(call):
            raise Unsuited("not-applicable", PUBLISH_ADVICE)
        if self.transport.now() > self.budget.until_at:
            raise Unsuited("could-not-run", "the time of the run is spent; raise --max-seconds")
        if self._silence.lasts(self.transport.now()):
            raise Unsuited("could-not-run", f"nobody answered the last {UNHEARD_REQUESTS} requests; the run gave up")
        reserved = self.budget.may_begin(call)
        if reserved and not self.budget.reserve(call.ref or "", self.look):
            raise Unsuited("could-not-run", SPENT)
        self.budget.sends(call)
        exchange = self.transport.send(call, self.case)
        self._silence.hear(exchange.sent_at, answered=exchange.response is not None)
        lasts_s = next((one.sleep_s for one in self.templates if one.ref == exchange.ref), 0.0)
        self.budget.receive(Received.of(call, exchange), reserved=reserved, lasts_s=lasts_s)
        self._note(exchange)
        return exchange

    def look(self, ref: str) -> None:
        """Reads whether a start that was refused began a build."""
        call = Call("getBuild", ref, self._owners.get(ref, "primary"))
        self.budget.receive(Received.of(call, self.transport.send(call, self.case)), reserved=False)

    def _note(self, exchange: Exchange) -> None:
        status, ref = str(exchange.body.get("status")), exchange.ref or ""
        starts = exchange.operation in ("startBuild", "publishTemplate")
        if starts and "building" in (status, exchange.body.get("auto_build")):
            self._running.add(ref)
        elif exchange.operation == "getBuild" and status in IDLE and exchange.credential == self._owners.get(ref):
            self._running.discard(ref)
        elif exchange.operation == "cancelBuild" and exchange.status == 202:
            self._running.discard(ref)
            self._dying.add(ref)

    def patiently(self, call: Call) -> Exchange:
        """Sends a request and waits out each 429 as the documentation advises.

        Raises:
            Unsuited: it is still refused after the target's patience_s.
        """
        key, waited_s = (call.operation, "429"), 0.0
        patience_s = self.vain.limit_s(key, self.target.patience_s)
        for wait_s in back_off_s():
            exchange = self.send(call)
            if exchange.status != 429:
                self.vain.lift(key, 0 if waited_s else GIVEN_UP_AFTER - 1, waited_s)
                return exchange
            asked_s = retry_after_s(exchange.response) or wait_s
            if waited_s + asked_s > patience_s:
                break
            self.rest(asked_s)
            waited_s += asked_s
        self.vain.add(key)
        raise Unsuited("indeterminate", f"still refused with 429 after {waited_s:.0f} s of patience")

    def start(self, ref: str, credential: Credential = "primary") -> Exchange:
        """Starts a build."""
        return self.patiently(Call("startBuild", ref, credential))

    def read(self, ref: str, credential: Credential = "primary") -> Exchange:
        """Reads the status."""
        return self.patiently(Call("getBuild", ref, credential))

    def cancel(self, ref: str, credential: Credential = "primary") -> Exchange:
        """Cancels the build."""
        return self.patiently(Call("cancelBuild", ref, credential))

    def rest(self, seconds: float) -> None:
        """Waits: for a refusal to end, or for the next poll."""
        self.transport.clock.rest(seconds)

    def outlast(self, template: Template) -> None:
        """
        Waits as long as the build steps of *template* take: a build that should not be running would be over by then.
        """
        self.rest(template.sleep_s)

    def together(self, *calls: Call) -> list[Exchange]:
        """
        Sends all *calls* at the same moment, each on a connection of its own; the answers in the order of the calls.
        """
        barrier = threading.Barrier(len(calls))

        def one(call: Call) -> Exchange:
            barrier.wait()
            return self.send(call)

        with ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(one, calls))

    # --- templates ---------------------------------------------------------------------------------------------------

    def template(
        self, purpose: str, *, sleep_s: float = 0.0, fails: bool = False, owner: Credential = "primary"
    ) -> Template:
        """A template of this run that is not published yet; each call gives another one."""
        number = self._serial[purpose] = self._serial.get(purpose, 0) + 1
        name = f"touchstone-{self.run_id}-{purpose}" + (f"-{number}" if number > 1 else "")
        return Template(name[:64].rstrip("-"), VERSION, sleep_s, fails, f"mark-{self.run_id}-{purpose}-{number}", owner)

    def publish(
        self, template: Template, *, form: Form = "json", force: bool = False, auto_build: bool = False
    ) -> Exchange:
        """Publishes *template*, journal first, and takes any answer.

        Raises:
            Unsuited: the target is set up with ``publish = "never"``.
        """
        if self.target.publish == "never":
            raise Unsuited("not-applicable", PUBLISH_ADVICE)
        self.register(template)
        wrapped = self.target.publish == "wrapped"
        call = publish_call(template, wrapped=wrapped, form=form, force=force, auto_build=auto_build)
        exchange = self.patiently(call)
        if 200 <= exchange.status < 300:
            self.ledger.published(template, str(exchange.body.get("digest", "")))
        return exchange

    def register(self, template: Template) -> None:
        """Writes *template* to the journal before anything may create it."""
        if not any((one.ref, one.owner) == (template.ref, template.owner) for one in self.templates):
            self.ledger.intend(template)
            self.templates.append(template)
            self._owners.setdefault(template.ref, template.owner)

    def forget(self, template: Template) -> None:
        """Takes *template* off the list of what is to be removed: the target refused to make it."""
        self.templates.remove(template)
        self._owners.pop(template.ref, None)
        self.ledger.removed(template, gone=True)

    def published(
        self, purpose: str, *, sleep_s: float = 0.0, fails: bool = False, owner: Credential = "primary"
    ) -> Template:
        """A new template, published.

        Raises:
            Unsuited: publishing did not work, so nothing can be shown with it.
        """
        template = self.template(purpose, sleep_s=sleep_s, fails=fails, owner=owner)
        exchange = self.publish(template)
        if not 200 <= exchange.status < 300:
            told = exchange.error or f"{exchange.status} {exchange.body}"
            raise Unsuited("could-not-run", f"publishing {template.ref} failed: {told}")
        return template

    def short(self, purpose: str, *, fails: bool = False, times: int = 1) -> Template:
        """
        A published template whose build can be seen running and still ends soon, or takes some *times* as long as that.
        """
        return self.published(purpose, sleep_s=self.seen_running_s(times), fails=fails)

    def seen_running_s(self, times: int = 1) -> float:
        """Seconds that a build has to sleep to be seen running, or some *times* as many."""
        return min(times * self._sleep_s(SHORT_SLEEP_S, SHORT_SLEEP_LATENCIES), self.target.build_timeout_s / 2)

    def long(self, purpose: str, *, fails: bool = False, owner: Credential = "primary") -> Template:
        """A published template whose build is surely still running while a handful of requests are sent."""
        sleep_s = self._sleep_s(LONG_SLEEP_S, LONG_SLEEP_LATENCIES)
        return self.published(purpose, sleep_s=sleep_s, fails=fails, owner=owner)

    def _sleep_s(self, least_s: float, latencies: int) -> float:
        return round(self.stretch * (least_s + latencies * self.latency_s), 2)

    def ready(self, owner: Credential = "primary") -> Template:
        """The ready version that cases share; built on first use.

        Raises:
            Unsuited: it could not be built.
        """
        made = f"ready-{owner}"
        if self._unmade.count(made) == READY_TRIES:
            raise Unsuited("could-not-run", f"of {READY_TRIES} builds to share none ended ready")
        if made not in self._made:
            template = self._given(owner) if self.target.publish == "never" else self.published(made, owner=owner)
            self.start(template.ref, owner)
            ended = self.wait(template.ref)
            if ended.body.get("status") != "ready":
                self._unmade.append(made)
                raise Unsuited("could-not-run", how_ended(template.ref, ended))
            self._made[made] = template
        return self._made[made]

    def _given(self, owner: Credential) -> Template:
        if owner != "primary":
            raise Unsuited("not-applicable", PUBLISH_ADVICE)
        if not self.target.templates.buildable:
            raise Unsuited("not-applicable", "publishing is switched off; name a template in templates = {buildable}")
        return given(self.target.templates.buildable[0])

    def unknown(self, part: str = "version", like: Template | None = None) -> str:
        """A ref that does not exist: another version of the shared ready one, another name, or another namespace.

        Args:
            like: What is varied in the place of the shared ready one.
        """
        name = f"touchstone-{self.run_id}-absent"
        if part == "name":
            return f"default/{name}@{VERSION}"
        known = like or self.ready()
        return f"{known.namespace}/{known.name}@9.9.9" if part == "version" else f"{name}/{known.name}@{VERSION}"

    # --- leaving nothing behind --------------------------------------------------------------------------------------

    def quieten(self) -> None:
        """Cancels what the last case may have left building, so that the next one finds the capacity free."""
        for following in self._followings:
            following.leave()
        for following in self._followings:
            following.wait()
        self._followings.clear()
        for ref in sorted(self._running | self._dying):
            self._try(Call("cancelBuild", ref, self._owners.get(ref, "primary")))
        self._running.clear()
        self._dying.clear()

    def clean_up(self) -> bool:
        """Cancels all builds and deletes all templates of the run; True when nothing is left."""
        self.budget.until_at = float("inf")
        self.case = "clean-up"
        self._silence = Silence(UNHEARD_REQUESTS)  # somebody may be there again
        self.quieten()
        removed = [self._remove(template) for template in reversed(self.templates)]
        return all(removed)

    def _remove(self, template: Template) -> bool:
        gone = False
        if self._silent < SILENT_REMOVALS:
            exchange = self._try(Call("deleteTemplate", template.ref, template.owner))
            self._silent = self._silent + 1 if exchange and exchange.response is None else 0
            gone = exchange is not None and exchange.status in (200, 204, 404)
        standing = self.made.standing(template)
        gone = gone or standing == "absent"
        self.ledger.removed(template, gone=gone, sure=standing == "there")
        return gone

    def _try(self, call: Call) -> Exchange | None:
        try:
            return self.patiently(call)
        except Unsuited:
            return None
