"""Sends the stimuli of a probe within its budget, on connections that are already open; no request is sent early."""

import contextlib
import functools
import math
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any
from urllib.parse import urlsplit

import httpcore
import numpy as np

from touchstone.config import TargetSettings
from touchstone.contract.document import Contract
from touchstone.facts.backoff import FIRST_WAIT_S, back_off_s, poll_s
from touchstone.facts.identity import Why
from touchstone.facts.probe import Answer, Answered, Outcome, Segment, Stimulus, Terms, Trial, in_order
from touchstone.loadgen.knee import LATE_SHARE, due_times
from touchstone.target.bounds import Intake, Refused, Room
from touchstone.target.call import Answer as Reply
from touchstone.target.call import Call, Head, MessageBuilder, OutgoingRequest
from touchstone.target.connections import BoundedBackend, Deadline, trusting

Quota = dict[str, float]

# Parameters in draft 8 and later, with the names of their numbers in a Quota.
_PARAMETERS = {"q": "limit", "w": "window_s", "r": "remaining"}
_KEYS = ("limit", "remaining")
_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?")


def quota(headers: Sequence[tuple[str, str]]) -> Quota:
    """Parses ``limit``, ``remaining`` and ``window_s`` of a limit (draft-ietf-httpapi-ratelimit-headers, 00 to 10).

    Missing values are left out. If a response uses several dialects, the newest dialect counts. Names of *headers* may
    have any case.
    """
    fields: dict[str, str] = {}
    for name, value in headers:  # repeated fields are joined (RFC 9110 5.3)
        fields[name.lower()] = f"{fields[name.lower()]}, {value}" if name.lower() in fields else value
    keyed = [part.partition("=") for part, _ in _items(fields.get("ratelimit", ""))]
    return (
        _apart(fields, "x-rate-limit-")
        | _apart(fields, "x-ratelimit-")
        | _policy(fields.get("ratelimit-policy", ""))
        | _apart(fields, "ratelimit-")
        | _numbers({key.lower(): value for key, _, value in keyed if key.lower() in _KEYS})
        | _structured(fields)
    )


def _structured(fields: Mapping[str, str]) -> Quota:
    """Parses a RateLimit header of IETF draft 8 or later, such as ``"default";r=5;t=3``, with its RateLimit-Policy.

    Of several quotas of requests, the one with the fewest requests left is used; among equal ones, one with a window.
    Quotas in other units, such as bytes or concurrent requests, are left out.
    """
    items: dict[str, dict[str, str]] = {}
    for name, parameters in [*_items(fields.get("ratelimit-policy", "")), *_items(fields.get("ratelimit", ""))]:
        if _is_quoted(name):
            items[name] = items.get(name, {}) | parameters
    quotas = [
        _numbers({name: parameters.get(key, "") for key, name in _PARAMETERS.items()})
        for parameters in items.values()
        if parameters.get("qu", '"requests"') == '"requests"'
    ]
    return min(quotas, key=lambda each: (each.get("remaining", math.inf), "window_s" not in each), default={})


def _apart(fields: Mapping[str, str], prefix: str) -> Quota:
    """Parses fields with one number each, as in drafts 0 to 3, and with the prefix X- in older dialects."""
    first = {key: next(_items(fields.get(f"{prefix}{key}", "")), ("", {}))[0] for key in _KEYS}
    return _policy(fields.get(f"{prefix}limit", "")) | _numbers(first)


def _policy(value: str) -> Quota:
    """Parses a policy such as ``10;w=60``, the form before draft 8; takes the first of several that has a window."""
    for item, parameters in _items(value):
        if not _is_quoted(item) and _NUMBER.fullmatch(parameters.get("w", "")):
            return _numbers({"limit": item, "window_s": parameters["w"]})
    return {}


def _items(value: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yields list members, each with its parameters; quoted commas and semicolons do not separate (RFC 9651 4.2)."""
    for member in _split(value, ","):
        parts = [part.strip() for part in _split(member, ";")]
        if parts:  # a single semicolon has no parts
            pairs = [part.partition("=") for part in parts[1:]]
            yield parts[0], {key.strip(): text.strip() for key, _, text in pairs}


def _split(value: str, at: str) -> list[str]:
    return re.findall(rf'(?:"[^"]*"|[^"{at}])+', value)


def _is_quoted(item: str) -> bool:
    return len(item) > 1 and item[0] == item[-1] == '"'


def _numbers(texts: Mapping[str, str]) -> Quota:
    return {name: float(text.strip()) for name, text in texts.items() if _NUMBER.fullmatch(text.strip())}


# Seconds for which an idle connection is used again: servers close idle ones, some after a few seconds.
_FRESH_S = 1.5
# RFC 9110 9.2.1: safe methods may be sent again on a new connection if the old one was closed.
_SAFE = frozenset({"GET", "HEAD"})
_FAILED = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError)


class Link:
    """Thread-safe client for the requests of a probe. It uses the first key, and sends in the thread that calls it."""

    def __init__(self, url: str, target: TargetSettings, contract: Contract, now: Callable[[], float]) -> None:
        base = urlsplit(url)
        self._tls = trusting() if base.scheme == "https" else None
        self._host, self._port = base.hostname or "", base.port or (443 if self._tls else 80)
        self._origin = httpcore.Origin(b"https" if self._tls else b"http", self._host.encode(), self._port)
        self._builder = builder = MessageBuilder(url, target.credentials(), contract)
        self.secrets, self.exchange = builder.secrets, builder.exchange
        self.now, self.timeout_s, self.bounds = now, target.request_timeout_s, target.bounds
        self._closed = threading.Event()
        self._deadline = Deadline(self._closed.is_set)
        self._threads = ThreadPoolExecutor(1024)  # one thread for each concurrent request
        self.spawn = self._threads.submit
        self._free: list[tuple[float, httpcore.HTTP11Connection]] = []  # each with the time of its last use
        self.prepared = functools.lru_cache(4096)(lambda operation, ref: builder.prepare(Call(operation, ref)))

    def open(self, count: int) -> None:
        """Opens connections until *count* are free; if opening fails, `send` tries again."""
        fresh = [each for each in (self._taken() for _ in range(count)) if each]
        opening = [self.spawn(self._connected) for _ in range(count - len(fresh))]
        wait(opening)
        fresh += [each.result() for each in opening if not each.exception()]
        self._free += [(self.now(), each) for each in fresh]

    def _taken(self) -> httpcore.HTTP11Connection | None:
        with contextlib.suppress(IndexError):
            while True:
                used_at, connection = self._free.pop()
                if self.now() - used_at <= _FRESH_S and not connection.has_expired():
                    return connection
                connection.close()
        return None

    def _connected(self) -> httpcore.HTTP11Connection:
        try:
            stream = BoundedBackend(self._deadline).connect_tcp(self._host, self._port, self.timeout_s)
            stream = stream.start_tls(self._tls, self._host, self.timeout_s) if self._tls else stream
        except ValueError as error:  # DNS or TLS cannot represent the name
            raise httpcore.ConnectError(str(error)) from None
        return httpcore.HTTP11Connection(self._origin, stream)

    def send(self, outgoing: OutgoingRequest, timeout_s: float = 0.0, sent: threading.Event | None = None) -> Reply:
        """Sends a request and waits for the response; repeats a read if the server had just closed the connection.

        *timeout_s*: 0 for the time-out in the settings of the target; *sent* is set once the request is sent, or fails.
        """
        sent = sent or threading.Event()
        extensions = {
            "timeout": {"write": self.timeout_s},
            "trace": lambda event, _: sent.set() if event == "http11.send_request_body.complete" else None,
        }
        target, headers = self._builder.head(outgoing)
        request = httpcore.Request(
            outgoing.method,
            httpcore.URL(scheme=self._origin.scheme, host=self._origin.host, port=self._port, target=target.encode()),
            headers=[(name.encode(), value.encode()) for name, value in headers.items()],
            content=outgoing.body,
            extensions=extensions,
        )
        connection, timeout_s = self._taken(), timeout_s or self.timeout_s
        was_used = connection is not None and connection.is_idle()
        reply = self._exchange(request, timeout_s, connection)
        is_empty = not (reply.head or self._deadline.received_bytes)
        if reply.error and was_used and is_empty and outgoing.method in _SAFE:
            reply = self._exchange(request, timeout_s, None)
        sent.set()
        return reply

    def _exchange(
        self, request: httpcore.Request, timeout_s: float, connection: httpcore.HTTP11Connection | None
    ) -> Reply:
        reply = Reply(sent_at=self.now())
        self._deadline.set(timeout_s, self.bounds.max_head_bytes)
        try:
            connection = connection or self._connected()
            self._read(reply, connection.handle_request(request))
        except httpcore.ReadTimeout:
            what = f"body not complete after {len(reply.body)} bytes and" if reply.head else "no response within"
            reply.error = f"ReadTimeout: {what} {timeout_s:g} s"
        except _FAILED as error:
            reply.error = f"{type(error).__name__}: {error}"
        reply.done_at = self.now()
        # Bytes after the end of a response would be read as the next response.
        if connection and (reply.error or connection._h11_state.trailing_data[0]):  # noqa: SLF001 - nothing public has it
            connection.close()
        elif connection and connection.is_idle():
            self._free.append((reply.done_at, connection))
        return reply

    def _read(self, reply: Reply, response: httpcore.Response) -> None:
        """Reads a response into *reply*, up to the size limits of the target."""
        self._deadline.end_head()
        headers = tuple((k.decode("latin-1").lower(), v.decode("latin-1")) for k, v in response.headers)
        reply.head, reply.head_at = Head(response.status, headers), self.now()
        if (count := len(headers)) > self.bounds.max_headers:
            raise httpcore.RemoteProtocolError(f"the head has {count} lines, and {self.bounds.describe('max_headers')}")
        intake, pieces = Intake(headers, self.bounds), list[bytes]()
        try:
            for piece in response.iter_stream():
                pieces.append(intake.take(piece))
            intake.end()
        except Refused:
            pass
        finally:
            reply.body = intake.kept(b"".join(pieces))
            reply.error = intake.problem
            response.close()

    def close(self) -> None:
        """Closes all connections; pending requests fail soon after."""
        self._closed.set()
        while self._free:
            self._free.pop()[1].close()
        self._threads.shutdown(wait=False)


STARTS = "startBuild"

# The probe ends after this many responses in a row that say nothing about a limiter.
MOST_OTHERS = 5
# This many seconds before a request is due, its connection is opened, and sleeping changes to busy waiting.
_AHEAD_S, _AWAKE_S = 0.3, 0.002
# The rate of responses is measured from this share of a trial on, because the first responses take some time.
_STEADY_FROM = 1 / 3

Record = Callable[[Answered, OutgoingRequest, Reply], None]


class Bounds:
    """Budget of a probe in requests, builds and seconds; thread-safe."""

    def __init__(self, terms: Terms, until_at: float, now: Callable[[], float], spent_builds: int) -> None:
        self.ended = threading.Event()  # set when sending ends
        self.why: Why = ""
        self.failure = ""  # sentence on why the target cannot be judged
        self.requests = self.refused = 0  # requests that count against the limit, in this session and earlier ones
        self.spent_builds = spent_builds  # builds that began or may have begun
        self._terms, self._until_at, self._now, self.refusal = terms, until_at, now, terms.refusal
        self._lock = threading.RLock()
        self._others = self._accepted = 0

    def end(self, why: Why, failure: str = "") -> None:
        """Stops sending; later calls do not change the reason."""
        with self._lock:
            if not self.ended.is_set():
                self.why, self.failure = why, failure
                self.ended.set()

    def room(self, at: float) -> int:
        """Number of requests that the budget still allows at time *at* (run seconds); ends the probe if it is 0."""
        if self.ended.is_set():
            return 0
        left = self._terms.most_requests - self.requests
        if self._terms.starts:
            left = min(left, self._terms.most_builds - self.spent_builds)
        if left <= 0 or max(at, self._now()) >= self._until_at:
            self.end("budget")
            return 0
        return left

    def wait_until(self, at: float) -> bool:
        """Waits until run second *at*; returns whether the probe continues."""
        left_s = at - _AWAKE_S - self._now()
        if self.ended.wait(left_s) if left_s > 0 else self.ended.is_set():
            return False
        while self._now() < at:
            time.sleep(0)
        return True

    def recall(self, answered: Answered) -> None:
        """Counts one request of an earlier session; a start without a response counts as a build."""
        with self._lock:
            self.requests += 1
            self.refused += answered.status == answered.refusal
            self._accepted += answered.answer.accepted
            if self._terms.starts:
                self.spent_builds += answered.may_have_begun

    def take(self, answered: Answered) -> None:
        """Counts one request; ends the probe after a 401 or 403, or after MOST_OTHERS useless responses in a row."""
        with self._lock:
            self.recall(answered)
            self._others = 0 if answered.is_evidence else self._others + 1
        what = f"status {answered.status}" if answered.status else "no response"
        if answered.status in {401, 403}:
            self.end("interrupted", f"a request was answered with {what}: the key may not do this; use another key")
        elif self._others >= MOST_OTHERS:
            text = f"{self._others} requests in a row gave no evidence of a limiter, the last {what}"
            if self._accepted and answered.status >= 400:
                text += f"; if the target refuses requests above its limit so, add --refusal {answered.status}"
            self.end("interrupted", text)


class Pool:
    """Versions that a probe starts; each is started again only after its last build was cancelled and has ended.

    A start that joins a running build says nothing about a limiter. A version is not started again if its build still
    runs *settle_s* seconds after the cancel.
    """

    def __init__(self, refs: Iterable[str], link: Link, settle_s: float, refusal: int) -> None:
        self._free, self._refusal = deque(refs), refusal
        self._held: deque[str] = deque()
        self._link, self._settle_s = link, settle_s
        self._leaving: set[Future[Any]] = set()
        self._closed = threading.Event()
        self.refused = threading.Event()  # whether a cancel was refused, so that the limit may count every request

    def take(self, count: int, stopped: threading.Event) -> list[str]:
        """Waits for *count* versions that can be started; returns fewer if no more become free."""
        while len(self._free) < count and self._leaving and not stopped.is_set():
            time.sleep(0.005)
        return [self._free.popleft() for _ in range(min(count, len(self._free)))]

    def give_back(self, refs: Sequence[str]) -> None:
        """Returns versions that were not started."""
        self._free.extendleft(reversed(refs))

    def started(self, ref: str, *, holds: bool) -> None:
        """With *holds*, leaves the new build of *ref* in flight; otherwise cancels the build."""
        if holds:
            self._held.append(ref)
        else:
            cancelled = threading.Event()
            self._spawn(ref, cancelled)
            cancelled.wait(1.0)  # wait before the next start: a target may have room for few builds

    def release(self, count: int) -> None:
        """Cancels *count* builds in flight, and waits until they have ended."""
        wait([self._spawn(self._held.popleft()) for _ in range(min(count, len(self._held)))])

    def settle(self, beside: int = 0, within_s: float = 5.0) -> None:
        """Waits until at most *beside* builds are in flight; builds that were not cancelled are not waited for."""
        until_at = self._link.now() + within_s
        while (leaving := self._leaving.copy()) and len(leaving) + len(self._held) > beside:
            if not wait(leaving, max(0.0, until_at - self._link.now()), FIRST_COMPLETED).done:
                break

    def close(self) -> None:
        """Cancels all builds in flight; builds that do not end in time are left to the clean-up."""
        while self._held:
            self._spawn(self._held.popleft())
        self.settle(within_s=3.0)
        self._closed.set()

    def _spawn(self, ref: str, cancelled: threading.Event | None = None) -> "Future[Any]":
        future = self._link.spawn(self._leave, ref, cancelled)
        self._leaving.add(future)
        future.add_done_callback(self._leaving.discard)
        return future

    def _leave(self, ref: str, cancelled: threading.Event | None) -> None:
        for wait_s, _ in zip(back_off_s(), range(5), strict=False):
            reply = self._link.send(self._link.prepared("cancelBuild", ref), sent=cancelled)
            if 200 <= reply.status < 300 or reply.status in (404, 409):
                if self._ended(ref):
                    self._free.append(ref)
                return
            if reply.status == self._refusal:
                self.refused.set()
            if self._closed.wait(wait_s if reply.retry_after_s is None else reply.retry_after_s):
                return

    def _ended(self, ref: str) -> bool:
        """Waits until a build has ended; returns whether the version can be started again."""
        began_at = self._link.now()
        while (waited_s := self._link.now() - began_at) <= self._settle_s and not self._closed.is_set():
            reply = self._link.send(self._link.prepared("getBuild", ref))
            status = reply.status
            if status == 404 or (status == 200 and reply.content.get("status") != "building"):
                # A version with a finished build is not used again, because a start would begin no build.
                return status == 404 or reply.content.get("status") != "ready"
            self._closed.wait(poll_s(waited_s) if status == 200 else reply.retry_after_s or FIRST_WAIT_S)
        return False


class Sender:
    """Sends stimuli: starts of the versions in *pool*, or, without a pool, reads of *ref*."""

    def __init__(
        self, operation: str, link: Link, pool: Pool | None, ref: str, bounds: Bounds, keep: Record, seqs: Iterator[int]
    ) -> None:
        self._operation, self._link, self._pool, self._ref = operation, link, pool, ref
        self._bounds, self._keep, self._refusal = bounds, keep, bounds.refusal
        self._seqs, self._number = seqs, 0
        self._answers: list[Answered] = []
        self._lock = threading.Lock()

    def send(self, number: int, stimulus: Stimulus) -> tuple[Answer, ...]:
        """Sends as much of a stimulus as the budget allows; returns the responses in order of sending."""
        self._number, self._answers = number, []
        if self._pool and stimulus.frees:
            self._pool.release(stimulus.frees)
        for segment in stimulus.segments:
            if not (self._together(segment) if segment.together else self._in_turn(segment)):
                break
        return in_order(self._answers)

    def _in_turn(self, segment: Segment) -> bool:
        """Sends each request after the response to the previous one; returns whether the probe continues."""
        took_s: list[float] = []
        for at in segment.at:
            if segment.beside is not None and self._pool:
                self._pool.settle(segment.beside)
            if not (refs := self._ready(at, 1)):
                return False
            answered = self._answered(refs[0], next(self._seqs), segment, 0)
            answer = answered.answer
            took_s += [answer.took_s] if answer.accepted else []
            if answered.is_evidence and segment.ends_with(accepted=answer.accepted, took_s=took_s):
                break
        return not self._bounds.ended.is_set()

    def _together(self, segment: Segment) -> bool:
        """Sends each request in its own thread; returns whether the probe continues."""
        before, flights = len(self._answers), list[Future[Any]]()
        refs = self._ready(segment.at[0], len(segment.at))
        # If connections opened too late, all requests are equally late, so that the gaps between them stay the same.
        late_s = max(0.0, self._link.now() - segment.at[0])
        for at, ref in zip(segment.at, refs, strict=False):
            if not self._bounds.wait_until(at + late_s):
                break
            # The response to an earlier request may end the segment.
            new = [each for each in self._answers[before:] if each.is_evidence] if at > segment.at[0] else []
            if any(segment.until == ("accepted" if each.answer.accepted else "refused") for each in new):
                break
            flights.append(self._link.spawn(self._answered, ref, next(self._seqs), segment, len(flights)))
        for flight in flights:
            flight.result()
        if self._pool:
            self._pool.give_back(refs[len(flights) :])
        return len(refs) == len(segment.at) and not self._bounds.ended.is_set()

    def _ready(self, at: float, count: int) -> list[str]:
        """Waits until *count* requests are due at *at*; returns their versions, fewer if the budget is too small."""
        bounds, pool, link = self._bounds, self._pool, self._link
        count = min(count, bounds.room(at))
        refs = pool.take(count, bounds.ended) if pool else [self._ref] * count
        if count and not refs and not bounds.ended.is_set():
            bounds.end("interrupted", "no version is left to start: cancelled builds do not end")
        if refs and bounds.wait_until(at - _AHEAD_S):
            beside = 8 if pool and link.now() < at else 0  # connections for cancels
            link.open(len(refs) + beside)
            for ref in refs:
                link.prepared(self._operation, ref)  # prepared now, so that sending does not wait for it
            if bounds.wait_until(at) and bounds.room(at) > 0:
                return refs
        if pool:
            pool.give_back(refs)
        return []

    def _answered(self, ref: str, seq: int, segment: Segment, stream: int) -> Answered:
        prepared = self._link.prepared(self._operation, ref)
        reply = self._link.send(prepared)
        status = reply.status
        # The limiter has let a read pass, too, if the response is a 3xx or 4xx except 401, 403 and a refusal.
        is_odd_read = self._operation != STARTS and 300 <= status < 500 and status not in {401, 403, self._refusal}
        accepted, fields = 200 <= status < 300 or is_odd_read, quota(reply.head.headers if reply.head else ())
        times = round(reply.sent_at, 6), round(reply.done_at, 6)
        answer = Answer(*times, accepted, reply.retry_after_s, quota=fields, stream=stream)
        answered = Answered(self._number, answer, status, seq, ref, self._refusal)
        with self._lock:
            if self._pool and answered.may_have_begun:
                self._pool.started(ref, holds=answer.accepted and segment.holds)
            elif self._pool:
                self._pool.give_back([ref])
            self._answers.append(answered)
            self._bounds.take(answered)
            self._keep(answered, prepared, reply)
        return answered


class OpenLoop:
    """Open-loop trial: sends reads at their due times; *distinct* has each different response once, for the rules."""

    def __init__(self, trial: Trial, slo_s: float, link: Link, prepared: OutgoingRequest) -> None:
        self.distinct: dict[str, Reply] = {}
        self._trial, self._slo_s, self._link, self._prepared = trial, slo_s, link, prepared
        self._room = Room(link.bounds.max_total_bytes)
        self._wait_s = min(link.timeout_s, max(5.0, 4 * slo_s))  # later responses miss the latency limit anyway
        self._reads: list[tuple[float, float, float, str]] = []  # when each was due, sent and done; and its result
        self._results, self._barred = Counter[str](), 0
        self._lock = threading.Lock()

    def run(self, bounds: Bounds, until_at: float) -> Outcome:
        """Sends the reads of the trial; stops as soon as the result is clear."""
        link, due_s = self._link, due_times(self._trial)
        link.open(min(int(self._trial.rate_per_s * self._slo_s) + 8, 256))  # for concurrent reads, and 8 in reserve
        began_at = link.now() + 0.1
        flights, stopped = list[Future[None]](), False
        for due_at in began_at + due_s:
            if due_at > until_at:
                bounds.end("budget")
            stopped = bounds.ended.wait(max(0.0, due_at - link.now())) or self._is_lost()
            if stopped:
                break
            flights.append(link.spawn(self._read, float(due_at)))
        for flight in flights:
            flight.result()
        return self._outcome(began_at, float(due_s[-1]), is_stopped=stopped)

    def _is_lost(self) -> bool:
        most, results = self._trial.most_missed, self._results
        is_slow = most is not None and results["slow"] + results["failed"] > most
        return bool(results["refused"] or self._barred or is_slow)

    def _read(self, due_at: float) -> None:
        reply = self._link.send(self._prepared, self._wait_s)
        result = "slow" if reply.done_at - due_at > self._slo_s else "served"
        if not (200 <= reply.status < 300 or reply.status in (404, 409)):
            result = "refused" if reply.status == 429 else "failed"
        with self._lock:
            self._reads.append((due_at, reply.sent_at, reply.done_at, result))
            self._results[result] += 1
            self._barred = reply.status if reply.status in (401, 403) else self._barred
            headers = [each for each in reply.head.headers if each[0] != "date"] if reply.head else []
            key = str((reply.status, reply.body, reply.error, headers))
            if len(self.distinct) < 50 and key not in self.distinct and self._room.take(len(reply.body)):
                self.distinct[key] = reply

    def _outcome(self, began_at: float, ends_s: float, *, is_stopped: bool) -> Outcome:
        due, sent, done = np.array([times for *times, _ in self._reads]).reshape(-1, 3).T - began_at
        results = np.array([result for *_, result in self._reads], str)
        late, took = sent - due, (done - due)[results != "refused"]
        steady_s = (1 - _STEADY_FROM) * ends_s

        def quantile(values: Any, share: float) -> float:
            return round(float(np.quantile(values, share, method="higher")), 6) if len(values) else 0.0

        def per_s(times: Any) -> float:
            count = np.count_nonzero((times >= _STEADY_FROM * ends_s) & (times <= ends_s))
            return 0.0 if is_stopped else round(float(count) / steady_s, 3)

        return Outcome(
            due=len(due),
            sent=len(due),
            slow=self._results["slow"],
            failed=self._results["failed"],
            refused=self._results["refused"],
            late=int((late > LATE_SHARE * self._slo_s).sum()),
            late_p99_s=quantile(late, 0.99),
            p50_s=quantile(took, 0.5),
            p90_s=quantile(took, 0.9),
            p99_s=quantile(took, 0.99),
            max_s=quantile(took, 1.0),
            due_per_s=per_s(due),
            done_per_s=per_s(done[(results == "served") | (results == "slow")]),
            lasted_s=round(float(done.max()), 6) if len(due) else 0.0,
            stopped=is_stopped,
            began_at=round(began_at, 6),
            barred=self._barred,
        )
