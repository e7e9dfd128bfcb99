"""Sends the requests of the cases to a target. It asserts nothing, and raises `Unsuited` if a case cannot continue."""

import statistics
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from touchstone.check import budget as limits
from touchstone.check.budget import Budget, FailedWaits, Flow, Received, Silence, Stop
from touchstone.check.expectation import Reply, Steps
from touchstone.check.journal import Journal
from touchstone.check.templates import VERSION, Form, Template, given, publish_call
from touchstone.config import TargetSettings
from touchstone.contract.answers import AT_REST, FINISHED, STATUSES
from touchstone.contract.document import Contract
from touchstone.facts.backoff import back_off_s, poll_s, retry_after_s
from touchstone.facts.events import NoticeVerdict, TemplateAction, TemplateDeed
from touchstone.facts.exchange import Credential, Exchange
from touchstone.facts.runlog import RunLogWriter
from touchstone.target.call import Call, may_publish
from touchstone.target.connections import in_background
from touchstone.target.transport import Transport

PUBLISH_ADVICE = 'publishing is switched off (publish = "never"); set publish = "raw" for this target'


def how_ended(ref: str, ended: Exchange) -> str:
    """Describes how the build of *ref* ended; *ended* is the last read of its status."""
    status = ended.body.get("status")
    if status is not None:
        return f"the build of {ref} ended {status!r}"
    return f"the end of the build of {ref} was not observed: {ended.error or f'status read: {ended.status}'}"


def key_advice(target: TargetSettings, key: Literal["second", "restricted"]) -> str:
    """Returns what the user has to set for claims that need this key."""
    return target.key_sources.advice(key, "another account's key" if key == "second" else "a key below the Scale plan")


class Unsuited(Exception):
    """The case cannot continue; its claims that have no judgement yet get the verdict *verdict*."""

    def __init__(self, verdict: NoticeVerdict, reason: str) -> None:
        super().__init__(reason)
        self.verdict = verdict
        self.reason = reason


@dataclass
class Ledger:
    """Records the publishing and the removal of templates in the journal and in the run log, if the run has them."""

    run_id: str = ""
    journal: Journal | None = None
    log: RunLogWriter | None = None
    transport: Transport | None = None
    on_removal: Callable[[], None] = lambda: None  # called after each attempted removal

    def intend(self, template: Template) -> None:
        """Records that *template* is about to be published."""
        if self.journal:
            self.journal.intend(template.ref, template.owner)

    def removed(self, template: Template, *, gone: bool, sure: bool = True) -> None:
        """Records an attempted removal. *gone*: whether it succeeded. *sure*: whether *template* certainly existed."""
        if gone and self.journal:
            self.journal.removed(template.ref, template.owner)
        self.write(template, "deleted" if gone else "left" if sure else "may-be-left")
        self.on_removal()

    def write(self, template: Template, action: TemplateDeed, digest: str = "") -> None:
        """Writes an action on *template* into the run log."""
        if self.log and self.transport:
            purpose = template.name.removeprefix(f"touchstone-{self.run_id}-")
            self.log.write(TemplateAction(template.ref, purpose, digest, action, round(self.transport.now(), 6)))


@dataclass(frozen=True, slots=True)
class Following:
    """Open stream of a build log. *live*: whether the build ran at the beginning. Setting *until* closes the stream."""

    live: bool = True
    future: "Future[Reply]" = field(default_factory=Future)
    until: threading.Event = field(default_factory=threading.Event)

    def result(self, grace_s: float) -> Reply:
        """Waits up to *grace_s* seconds for the server to close the stream, then closes it; returns the exchange."""
        try:
            return self.future.result(timeout=grace_s)
        except TimeoutError:
            self.until.set()
            return self.future.result()


Version = Template | str  # a template of the case, or the ref of any version

Standing = Literal["absent", "unsure", "there"]


class Publications:
    """Knows from the responses to publish requests, for each version, whether the target may have it."""

    def __init__(self) -> None:
        # by ref and account: what the response to each publish shows
        self._known: defaultdict[tuple[str | None, str], dict[object, Standing]] = defaultdict(dict)
        self._sent_as: dict[tuple[str, str], tuple[str, str]] = {}

    def taken_for(self, template: Template, sent: Template) -> None:
        """Records that a server may store the document of *sent* under the ref of *template*."""
        self._sent_as[template.ref, template.owner] = (sent.ref, sent.owner)

    def send(self, call: Call, send: Callable[[Call], Exchange]) -> Exchange:
        """Passes *call* to *send*; records the response if *call* is a publish. Raises Unsuited if *send* raises it."""
        if call.operation != "publishTemplate":
            return send(call)
        # A publish with an invalid key or none counts for the primary account.
        owner = call.credential if call.credential in ("second", "restricted") else "primary"
        known, publish = self._known[call.ref, owner], object()
        known[publish] = "unsure"  # until the response, nobody knows if it was published
        try:
            exchange = send(call)
        except Unsuited:
            known[publish] = "absent"
            raise
        if 200 <= exchange.status < 300:
            known[publish] = "there"
        # After a 408, the server may still publish the version; a 409 means that the version exists.
        elif 400 <= exchange.status < 500 and exchange.status not in (408, 409):
            known[publish] = "absent"
        return exchange

    def standing(self, template: Template) -> Standing:
        """Whether *template* was ever published, even if deleted since; ``unsure`` without any publish or response."""
        own = (template.ref, template.owner)
        found = {*self._known[self._sent_as.get(own, own)].values()}
        return "there" if "there" in found else "absent" if found == {"absent"} else "unsure"


_LOGS = {True: ("streamBuildEvents", "live"), False: ("streamBuildEvents", "at rest")}
# If too many waits for the end of a log have failed, logs are followed for this many seconds only.
_GLANCE_S = 1.0
_UNDOCUMENTED = "without a documented status"

TURNS = 40  # the latest requests, which show how long one takes now
# Sleep of a build: seconds, plus a number of latencies. The build has to outlast the requests sent while it runs, and
# each request takes about one latency.
SHORT_SLEEP_S, LONG_SLEEP_S = 0.15, 2.0
SHORT_SLEEP_LATENCIES, LONG_SLEEP_LATENCIES = 12, 60
SLEEP_SHARE = 0.05  # least sleep, as a share of what builds of the target take anyway

READY_TRIES = 3  # Attempts to build the ready version that cases share

OWNERS: tuple[Credential, ...] = ("primary", "second", "restricted")
LOG_S = 5.0  # the longest time for which a single request reads a log
CLEAN_UP = "clean-up"  # case of the requests that clean up; a stopped run still sends them


def transport_to(
    target: TargetSettings, contract: Contract, record: Callable[[Exchange], None] = lambda _exchange: None, **more: Any
) -> Transport:
    """Returns a transport with the keys and response limits of *target*; `Transport` describes *record* and *more*."""
    known = (target.url or "", target.credentials(), contract, record, target.request_timeout_s)
    return Transport(*known, bounds=target.bounds, command=target.api_key_command, **more)


def _received(call: Call, exchange: Exchange) -> Received:
    known = (exchange.operation, exchange.ref or "", exchange.status, exchange.body)
    return Received(call, *known, exchange.sent_at, exchange.done_at)


@dataclass(repr=False)
class Examination:
    """One run against one target, as one case sees it; `for_case` returns the view of another case."""

    transport: Transport
    target: TargetSettings
    run_id: str
    ledger: Ledger
    budget: Budget
    latency_s: float = 0.0  # duration of a status read in seconds, measured before the first case
    stretch: float = 1.0  # factor for the sleeps in build steps; more than 1 in the second attempt of a case
    case: str = ""  # id of the case; written into each exchange
    templates: list[Template] = field(default_factory=list)
    publications: Publications = field(default_factory=Publications)
    waits: FailedWaits = field(default_factory=FailedWaits)
    flow: Flow = field(default_factory=Flow)
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    stopping: Stop = field(default_factory=Stop)  # ends the run: rests end at once, and no case sends another request
    steps: Steps = field(default_factory=Steps)
    _running: set[str] = field(default_factory=set)
    _dying: set[str] = field(default_factory=set)
    _shared: dict[str, Template] = field(default_factory=dict)
    _not_ready: list[str] = field(default_factory=list)
    _serial: Counter[str] = field(default_factory=Counter)
    _followings: list[Following] = field(default_factory=list)
    _sending: "list[Future[object]]" = field(default_factory=list)
    _silence: Silence = field(default_factory=lambda: Silence(limits.UNANSWERED_REQUESTS))
    _silent: int = 0
    _views: "list[Examination]" = field(default_factory=list)
    _turns: "deque[float]" = field(default_factory=lambda: deque(maxlen=TURNS))  # seconds per request, with its judging
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _building: dict[str, threading.Lock] = field(default_factory=lambda: {o: threading.Lock() for o in OWNERS})

    def for_case(self, case: str) -> "Examination":
        """Returns the view of the case *case*: with builds and logs of its own; all else is shared by all cases."""
        own = {"steps": Steps(), "_running": set(), "_dying": set(), "_followings": [], "_sending": []}
        view = replace(self, case=case, stretch=1.0, **own)  # type: ignore[arg-type]
        self._views.append(view)
        return view

    def stop(self, why: str = "") -> None:
        """Ends the run in all cases; *why* is the reason for what they do not judge, empty after an interrupt."""
        self.stopping.why = why
        self.stopping.set()
        for view in (self, *self._views):
            for following in tuple(view._followings):  # noqa: SLF001 - of the same class
                following.until.set()

    # --- single requests ---------------------------------------------------------------------------------------------

    def send(self, call: Call) -> Reply:
        """Sends one request, without retries; raises Unsuited if settings, budget or a silent target forbid it."""
        (situation,) = self.steps.before(call)
        reply = self.steps.reply(self.publications.send(call, self._send), call, situation)
        self.steps.after(call, reply)
        return reply

    def _send(self, call: Call) -> Exchange:
        if self.stopping.is_set() and self.case != CLEAN_UP:
            raise Unsuited("could-not-run", self.stopping.why) if self.stopping.why else KeyboardInterrupt
        if self.target.publish == "never" and may_publish(call):
            raise Unsuited("not-applicable", PUBLISH_ADVICE)
        if self.transport.now() > self.budget.until_at:
            raise Unsuited("could-not-run", "the time of the run is spent; raise --max-seconds")
        if self._silence.lasts(self.transport.now()):
            raise Unsuited("could-not-run", f"no response to the last {limits.UNANSWERED_REQUESTS} requests")
        reserved = self.budget.may_begin(call)
        if reserved and not self.budget.reserve(self.read_uncertain):
            raise Unsuited("could-not-run", limits.SPENT)
        self.budget.sends(call)
        exchange = self._sent(call)
        self._silence.record(exchange.sent_at, answered=exchange.response is not None or bool(call.leaves))
        # To another account, every version looks as if it had no build.
        if exchange.operation != "getBuild" or exchange.credential == self._owner(exchange.ref or ""):
            self.budget.receive(_received(call, exchange), reserved=reserved, lasts_s=self._runs_s(exchange.ref))
        self.note(exchange)
        return exchange

    def _sent(self, call: Call) -> Exchange:
        """Sends a request. Once a response of an operation has exceeded the time limit, later ones get less time."""
        if call.stream_s:
            return self.transport.send(call, self.case)
        hangs, most_s = (call.operation or call.method, "hangs"), self.target.request_timeout_s
        limit_s = self.waits.limit_s(hangs, most_s, needed_s=1.0)
        exchange = self.transport.send(call if limit_s == most_s else replace(call, timeout_s=limit_s), self.case)
        took_s = self.transport.now() - exchange.sent_at
        self._turns.append(took_s)
        if hung := bool(exchange.error) and took_s >= limit_s:
            self.waits.add(hangs)
        self.waits.lift(hangs, 1, 0.0 if hung else took_s)
        return exchange

    def read_uncertain(self, ref: str) -> None:
        """Reads the status of *ref* to find out whether a start or publish with an unclear response began a build."""
        call = Call("getBuild", ref, self._owner(ref))
        self.budget.receive(_received(call, self.transport.send(call, self.case)), reserved=False)

    def _owner(self, ref: str) -> Credential:
        return next((template.owner for template in self.templates if template.ref == ref), "primary")

    def _lasts_s(self, ref: str | None) -> float:
        return max((template.sleep_s for template in self.templates if template.ref == ref), default=0.0)

    def _runs_s(self, ref: str | None) -> float:
        fails = any(template.fails for template in self.templates if template.ref == ref)
        return self._lasts_s(ref) + (0.0 if fails else self.flow.least_s)

    def note(self, exchange: Exchange) -> None:
        """Keeps track of the builds that *exchange* shows running or ended."""
        status, ref = str(exchange.body.get("status")), exchange.ref or ""
        starts = exchange.operation in ("startBuild", "publishTemplate")
        if starts and "building" in (status, exchange.body.get("auto_build")):
            self._running.add(ref)
            self.flow.began(ref)
        elif exchange.operation == "getBuild" and status in AT_REST and exchange.credential == self._owner(ref):
            self._running.discard(ref)
            self.flow.ended(ref, self._lasts_s(ref) if status == "ready" else None)
        elif exchange.operation == "cancelBuild" and exchange.status == 202:
            self._running.discard(ref)
            self._dying.add(ref)

    def retry_429(self, call: Call) -> Reply:
        """Sends a request, and repeats it after each 429; raises Unsuited if the waits would exceed patience_s."""
        key, waited_s = (call.operation, "429"), 0.0
        patience_s = self.waits.limit_s(key, self.target.patience_s)
        begins = self.budget.may_begin(call)
        for wait_s in back_off_s():
            moves, exchange = self.flow.moves, self.send(call)
            if exchange.status != 429:
                self.waits.lift(key, 0 if waited_s else limits.GIVEN_UP_AFTER - 1, waited_s)
                return exchange
            requested_s = retry_after_s(exchange.response) or wait_s
            if begins:
                self.flow.refused(requested_s)
            # While builds of this run are in flight, the run itself may be what reaches the limit.
            if waited_s + requested_s > patience_s and not (begins and self.flow.may_end(self.target.build_timeout_s)):
                break
            self.rest(requested_s)
            if self._views and call.ref and call.ref in self.budget.doubts:
                self.read_uncertain(call.ref)  # otherwise the budget counts the refused start as well
            waited_s = 0.0 if begins and self.flow.moves > moves else waited_s + requested_s
        self.waits.add(key)
        raise Unsuited("indeterminate", f"still refused with 429 after {waited_s:.0f} s of retries")

    def start(self, version: Version, by: Credential | None = None) -> Reply:
        """Starts a build, with retries after 429. *by*: the account, by default the owner of a template."""
        return self.retry_429(self.call("startBuild", version, by))

    def read(self, version: Version, by: Credential | None = None) -> Reply:
        """Reads the build status, with retries after 429. *by*: the account, by default the owner of a template."""
        return self.retry_429(self.call("getBuild", version, by))

    def cancel(self, version: Version, by: Credential | None = None) -> Reply:
        """Cancels the build, with retries after 429. *by*: the account, by default the owner of a template."""
        return self.retry_429(self.call("cancelBuild", version, by))

    def delete(self, version: Version, by: Credential | None = None) -> Reply:
        """Deletes the version. *by*: the account, by default the owner of a template."""
        return self.request("deleteTemplate", version, by)

    def document(self, version: Version) -> Reply:
        """Reads the published document as the owner of a template, else as the primary account."""
        return self.request("getTemplate", version)

    def request(self, operation: str, version: Version, by: Credential | None = None, authorization: str = "") -> Reply:
        """Sends one request about a version, without retries; a log is left after LOG_S seconds.

        If the run must not publish, all versions belong to the user. Then deletes go to a missing version. So do starts
        and cancels of versions that the settings do not list.

        Args:
            by: Account or kind of invalid key; by default the owner of a template, else the primary account.
            authorization: Value of the Authorization header, in place of the one that *by* stands for.
        """
        call, listed = self.call(operation, version, by), self.target.templates
        changeable = (*listed.buildable, *listed.failing, *listed.restricted)
        changes = operation in ("startBuild", "cancelBuild") and call.ref not in changeable
        if self.target.publish == "never" and (operation == "deleteTemplate" or changes):
            call = replace(call, ref=self.unknown("name"))
        return self.send(replace(call, headers={"Authorization": authorization} if authorization else {}))

    def call(self, operation: str, version: Version, by: Credential | None = None) -> Call:
        """Returns a request about a version, for `send` and `together`."""
        ref, owner = (version.ref, version.owner) if isinstance(version, Template) else (version, "primary")
        return Call(operation, ref, by or owner, stream_s=LOG_S if operation == "streamBuildEvents" else 0.0)

    def rest(self, seconds: float) -> None:
        """Waits for *seconds* ; a stopped run does not wait."""
        self.transport.clock.rest(seconds, None if self.case == CLEAN_UP else self.stopping)

    def together(self, *calls: Call) -> list[Reply]:
        """Sends all *calls* at once, each on its own connection; returns the exchanges in the order of the calls."""
        barrier, situations = threading.Barrier(len(calls)), self.steps.before(*calls)

        def one(call: Call) -> Exchange:
            barrier.wait()
            return self.publications.send(call, self._send)

        with ThreadPoolExecutor(len(calls)) as pool:
            exchanges = list(pool.map(one, calls))
        replies = [self.steps.reply(*each) for each in zip(exchanges, calls, situations, strict=True)]
        for each in zip(calls, replies, strict=True):
            self.steps.after(*each)
        return replies

    def beside(self, body: Callable[[], object]) -> None:
        """Runs *body*, which sends requests, in another thread; `join` waits for it."""
        self._sending.append(self.pool.submit(body))

    def join(self) -> None:
        """Waits for all that runs `beside` the case, and raises the first exception from there."""
        sending, self._sending = self._sending, []
        wait(sending)
        for each in sending:
            each.result()

    # --- waits -------------------------------------------------------------------------------------------------------

    def wait(
        self,
        version: Version,
        until: Collection[str] = FINISHED,
        within_s: float | None = None,
        by: Credential | None = None,
    ) -> Reply:
        """Polls the build status until it is one of *until*; returns the last read, also if it gave up.

        Args:
            within_s: Time limit in seconds, by default build_timeout_s.
            by: Account that reads, by default the template's owner.

        Raises:
            Unsuited: too many earlier waits for a version to leave the same state failed.
        """
        most_s = self.target.build_timeout_s if within_s is None else within_s
        began = active_at = known_at = self.transport.now()
        idle, stuck = 0, ""
        ref = version.ref if isinstance(version, Template) else version
        by = by or (version.owner if isinstance(version, Template) else self._owner(ref))
        while True:
            exchange, now = self.read(ref, by), self.transport.now()
            status = str(exchange.body.get("status"))  # the value may have any type
            idle, active_at = (idle + 1, active_at) if status == "not_built" else (0, now)
            given_up = idle > limits.IDLE_POLLS and now > active_at + limits.IDLE_S
            known_at = now if status in STATUSES else known_at
            waited_s = min(now - began, self.flow.free_s(ref))
            if status in until and stuck:
                self.waits.lift(("getBuild", stuck), 1, waited_s)
            if status in until or given_up or exchange.status in (401, 403, 404):
                return self._waited(exchange, until)
            stuck = status if status in STATUSES else _UNDOCUMENTED
            if status == "building" and ref in self._dying - self._running:
                stuck = "cancelling"
            lasts_s = now - known_at if stuck == _UNDOCUMENTED else waited_s
            if lasts_s > self._limit_s(ref, stuck, most_s) + 0.1:
                self.waits.add(("getBuild", stuck))
                if stuck == "cancelling":  # the log of such a build stays open
                    self.waits.add(_LOGS[True], most=1)
                return self._waited(exchange, until)
            self.rest(poll_s(waited_s, self.flow.length_s))

    def _waited(self, exchange: Exchange, until: Collection[str]) -> Reply:
        call = Call("getBuild", exchange.ref, exchange.credential)
        self.steps.ended(call, until)
        return self.steps.reply(exchange, call, *self.steps.before(call))

    def _limit_s(self, ref: str, stuck: str, most_s: float) -> float:
        if stuck == "cancelling":
            most_s = min(most_s, self.target.cancel_timeout_s)
        limit_s = self.waits.limit_s(("getBuild", stuck), most_s, self._lasts_s(ref), is_fault=stuck == _UNDOCUMENTED)
        if not limit_s:
            raise Unsuited("could-not-run", f"{limits.GIVEN_UP_AFTER} waits for the end of the state {stuck} failed")
        return limit_s

    def settled(self, version: Version, by: Credential | None = None) -> Reply:
        """Waits until the status of a cancelled build is no longer ``building``; returns the last read."""
        return self.wait(version, AT_REST, self.target.cancel_timeout_s, by)

    def follow(self, version: Version, by: Credential | None = None, delay_s: float = 0.0) -> Following:
        """Opens the build log and reads it in another thread, after *delay_s*; returns once the head has arrived."""
        plain = self.call("streamBuildEvents", version, by)
        following, opened = Following(plain.ref in self._running), threading.Event()
        self._followings.append(following)
        limit_s = self.target.build_timeout_s + self.target.cancel_timeout_s
        call = replace(plain, stream_s=limit_s, until=following.until, opened=opened, delay_s=delay_s)
        in_background(following.future, lambda: self.send(call))
        opened.wait(self.target.request_timeout_s)
        return following

    def closed(self, following: Following, most_s: float | None = None) -> Reply:
        """Waits until the server closes the stream, at most *most_s* seconds (default: cancel_timeout_s)."""
        limit_s = self._log_s(self.target.cancel_timeout_s, live=following.live) if most_s is None else most_s
        over, left, began = following.future.done(), following.until.is_set(), self.transport.now()
        exchange = following.result(limit_s)
        if exchange.closed == "client" and not left:
            self.waits.add(_LOGS[following.live])
        elif exchange.status == 200 and not over:
            self.waits.lift(_LOGS[following.live], 1, self.transport.now() - began)
        return exchange

    def ended(self, following: Following, ref: str) -> Reply:
        """Waits until the end of a build closes its log; raises Unsuited if too many earlier builds did not end."""
        most_s = self.target.build_timeout_s + self.target.cancel_timeout_s
        return self.closed(following, min(self._limit_s(ref, "building", most_s), self._log_s(most_s, ref=ref)))

    def followed(self, call: Call) -> Reply:
        """Sends *call*, a request for a build log, and reads the log until it closes or cancel_timeout_s has passed."""
        exchange = self.send(replace(call, stream_s=self._log_s(self.target.cancel_timeout_s, live=False)))
        if exchange.closed == "client":
            self.waits.add(_LOGS[False])
        return exchange

    def _log_s(self, most_s: float, *, live: bool = True, ref: str = "") -> float:
        return self.waits.limit_s(_LOGS[live], most_s, self._runs_s(ref) if ref else 0.0) or _GLANCE_S

    # --- templates ---------------------------------------------------------------------------------------------------

    def template(
        self, purpose: str, *, sleep_s: float = 0.0, fails: bool = False, owner: Credential = "primary"
    ) -> Template:
        """Returns a new template of this run without publishing it."""
        with self._lock:
            self._serial[purpose] += 1
            number = self._serial[purpose]
        name = f"touchstone-{self.run_id}-{purpose}" + (f"-{number}" if number > 1 else "")
        return Template(name[:64].rstrip("-"), VERSION, sleep_s, fails, f"mark-{self.run_id}-{purpose}-{number}", owner)

    def publish(
        self, template: Template, *, form: Form = "json", force: bool = False, auto_build: bool = False
    ) -> Reply:
        """Publishes *template*, after listing it in the journal; raises Unsuited if ``publish = "never"`` is set."""
        if self.target.publish == "never":
            raise Unsuited("not-applicable", PUBLISH_ADVICE)
        self.register(template)
        wrapped = self.target.publish == "wrapped"
        call = publish_call(template, wrapped=wrapped, form=form, force=force, auto_build=auto_build)
        exchange = self.retry_429(call)
        if 200 <= exchange.status < 300:
            self.ledger.write(template, "published", str(exchange.body.get("digest", "")))
        return exchange

    def register(self, template: Template) -> None:
        """Lists *template* in the journal; must be called before a request that may create it."""
        with self._lock:
            if not any((one.ref, one.owner) == (template.ref, template.owner) for one in self.templates):
                self.ledger.intend(template)
                self.templates.append(template)

    def forget(self, template: Template) -> None:
        """Drops *template* from the clean-up, because the target did not create it."""
        self.templates.remove(template)
        self.ledger.removed(template, gone=True)

    def published(
        self, purpose: str, *, sleep_s: float = 0.0, fails: bool = False, owner: Credential = "primary"
    ) -> Template:
        """Publishes a new template and returns it; raises Unsuited if the publish fails."""
        template = self.template(purpose, sleep_s=sleep_s, fails=fails, owner=owner)
        exchange = self.publish(template)
        if not 200 <= exchange.status < 300:
            answer = exchange.error or f"{exchange.status} {exchange.body}"
            raise Unsuited("could-not-run", f"publishing {template.ref} failed: {answer}")
        return template

    def short(self, purpose: str, *, fails: bool = False, times: int = 1) -> Template:
        """Publishes a template whose build runs *times* as long as it takes to observe it running."""
        return self.published(purpose, sleep_s=self.observable_s(times), fails=fails)

    def observable_s(self, times: int = 1) -> float:
        """Seconds that a build has to sleep so that reads find it running, multiplied by *times*."""
        sleep_s = max(times * self._sleep_s(SHORT_SLEEP_S, SHORT_SLEEP_LATENCIES), SLEEP_SHARE * self.flow.least_s)
        return min(round(sleep_s, 2), self.target.build_timeout_s / 2)

    def long(self, purpose: str, *, owner: Credential = "primary") -> Template:
        """Publishes a template whose build takes longer than LONG_SLEEP_LATENCIES requests."""
        sleep_s = min(self._sleep_s(LONG_SLEEP_S, LONG_SLEEP_LATENCIES), self.target.build_timeout_s / 2)
        return self.published(purpose, sleep_s=sleep_s, owner=owner)

    def _sleep_s(self, least_s: float, latencies: int) -> float:
        # Cases that run side by side slow each other down.
        request_s = statistics.median(list(self._turns) or [0.0]) if self._views else 0.0
        return round(self.stretch * (least_s + latencies * max(self.latency_s, request_s)), 2)

    def running(self, purpose: str = "running", *, times: int = 1) -> Template:
        """Publishes a template as `short` does, and starts its build."""
        template = self.short(purpose, times=times)
        self.start(template)
        return template

    def ready(self, owner: Credential = "primary") -> Template:
        """Returns the ready version that cases share, after building it at first use; raises Unsuited if that fails."""
        with self._building[owner]:
            template = self._ready(f"ready-{owner}", owner)
        self.steps.states[template.ref, template.owner] = "ready"
        self.steps.published[template.ref, template.owner] = template.note()
        return template

    def _ready(self, purpose: str, owner: Credential) -> Template:
        if self._not_ready.count(purpose) == READY_TRIES:
            raise Unsuited("could-not-run", f"none of {READY_TRIES} builds of the shared version became ready")
        if purpose not in self._shared:
            if self.target.publish != "never":
                template = self.published(purpose, owner=owner)
            elif owner != "primary":
                raise Unsuited("not-applicable", PUBLISH_ADVICE)
            elif refs := self.target.templates.buildable:
                template = given(refs[0])
            else:
                advice = "publishing is switched off; name a template in templates = {buildable}"
                raise Unsuited("not-applicable", advice)
            self.start(template.ref, owner)
            ended = self.wait(template.ref)
            if ended.body.get("status") != "ready":
                self._not_ready.append(purpose)
                raise Unsuited("could-not-run", how_ended(template.ref, ended))
            self._shared[purpose] = template
        return self._shared[purpose]

    def share(self, template: Template, ended: Exchange) -> None:
        """Makes *template* the ready version that cases share if *ended*, its last read, shows it ready."""
        if ended.body.get("status") == "ready":
            self._shared.setdefault(f"ready-{template.owner}", template)

    def unknown(self, part: str = "version", like: Template | None = None) -> str:
        """Returns a ref that does not exist; in *part* it differs from *like*, by default the shared ready version."""
        name, known = f"touchstone-{self.run_id}-absent", like
        if part == "name":
            ref = f"default/{name}@{VERSION}"
        else:
            known = like or self.ready()
            ref = f"{known.namespace}/{known.name}@9.9.9" if part == "version" else f"{name}/{known.name}@{VERSION}"
        self.steps.states[ref, ""] = "missing"
        return ref

    # --- leaving nothing behind --------------------------------------------------------------------------------------

    def quieten(self) -> None:
        """Cancels the builds and closes the streams of the last case, so that the next case has the whole capacity."""
        self._silent = 0  # the target may have recovered
        for ref in sorted(self.handed_over()):
            self.tried(Call("cancelBuild", ref, self._owner(ref)))
            self.flow.ended(ref)
        self._running.clear()
        self._dying.clear()

    def handed_over(self) -> set[str]:
        """Closes the logs of the case, and returns the versions whose builds may still run."""
        for following in self._followings:
            following.until.set()
            following.future.cancel()
        for following in self._followings:
            with suppress(CancelledError):
                following.future.result()
        self._followings.clear()
        return self._running | self._dying

    def clean_up(self, keep: Collection[str] = ()) -> bool:
        """Cancels all builds and deletes all templates of the run, except the refs *keep*; returns whether it could."""
        self.budget.until_at = float("inf")
        self.case = CLEAN_UP
        self._silence.record(self.transport.now(), answered=True)  # the target may have recovered
        for ref in sorted(set().union(*(view.handed_over() for view in (self, *self._views)))):
            self.tried(Call("cancelBuild", ref, self._owner(ref)))
        self._silent = 0
        each = self.pool.map if self._views else map  # scenarios and load runs send one request after the other
        for template in (template for template in self.templates if template.ref in keep):
            self.ledger.removed(template, gone=False)
        return all(list(each(self._remove, (t for t in reversed(self.templates) if t.ref not in keep))))

    def _remove(self, template: Template) -> bool:
        exchange = self.tried(Call("deleteTemplate", template.ref, template.owner))
        gone = exchange is not None and exchange.status in (200, 204, 404)
        standing = self.publications.standing(template)
        gone = gone or standing == "absent"
        self.ledger.removed(template, gone=gone, sure=standing == "there")
        return gone

    def tried(self, call: Call) -> Exchange | None:
        """Sends a request that removes something; none after SILENT_REMOVALS consecutive ones without a response."""
        exchange = None
        if self._silent < limits.SILENT_REMOVALS:
            with suppress(Unsuited):
                exchange = self.retry_429(call)
            self._silent = self._silent + 1 if exchange and exchange.response is None else 0
        return exchange
