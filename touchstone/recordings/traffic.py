"""The command `proxy`: records the requests that pass to a target, and judges each response.

Other clients may use the same account, so a response that contradicts an earlier one is no finding; see
`replay.doubted`. A judge compares an exchange with at most _MOST_JUDGED earlier ones, so that memory and time stay
level however long the proxy runs.
"""

import asyncio
import queue
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

from touchstone import __version__
from touchstone.check.handover import Errand
from touchstone.check.job import REACHED_ITS_END, Job, failed
from touchstone.config import Settings, TargetSettings
from touchstone.contract.document import Contract
from touchstone.facts.events import Case, CaseOutcome, Footer, Notice, Occurrence, Remark, tallies
from touchstone.facts.exchange import Chunk, Exchange, Request, Response
from touchstone.facts.finding import Judgement
from touchstone.facts.runlog import RunLogWriter
from touchstone.facts.wording import plural
from touchstone.recordings import foreign
from touchstone.recordings.har import HarWriter, utc
from touchstone.recordings.proxy import Passage, Proxy
from touchstone.recordings.recording import BASE_URL, TRAFFIC, Accounts, Given, Recording
from touchstone.recordings.replay import content_of, doubted
from touchstone.rules.history import Bounds
from touchstone.rules.judge import by_all_rules
from touchstone.target.bounds import Intake, Refused
from touchstone.target.call import NOT_REACHED
from touchstone.target.redact import Secrets
from touchstone.twin.serve import listen
from touchstone.types import Progress

RECORDING = "traffic.har"  # in the report folder
FINDING = "broken"  # type of the progress event for a new finding; it has the claim, its level and a sentence
NOT_JUDGED = "not judged"  # type of the progress event for the first exchange that is not judged for a reason
_UNSHOWN = "this traffic did not show it; `touchstone check` tests it"
_MOST_JUDGED = 300
_MOST_QUEUED = 2_000
_POLL_S = 0.1


class Traffic:
    """Turns what passes into exchanges, records them, and judges them."""

    def __init__(
        self, target: TargetSettings, accounts: Accounts, log: RunLogWriter, har: HarWriter, progress: Progress
    ) -> None:
        self.count = 0
        self.left_out: Counter[str] = Counter()  # number of exchanges that were not judged, by reason
        self._target, self._log, self._har, self._progress = target, log, har, progress
        self._contract, self._base_path = Contract.load(), urlsplit(target.url or "").path
        self._names = {value: name for name, value in target.credentials().hidden().items()}
        roles = {key: foreign.OWNERS[name] for key, name in self._names.items() if name in foreign.OWNERS}
        self._keys = foreign.Keys({**roles, **accounts}, has_keys=True)
        self._names = {**accounts, **self._names}
        self._secrets = Secrets([(name, key) for key, name in self._names.items()])
        self._began_at = time.monotonic()
        self.times: Counter[str] = Counter()  # findings by id
        self._written: set[int] = set()
        self.claims: set[str] = set()  # claims with a judgement
        self._begin()

    def _begin(self) -> None:
        """Begins with a judge that knows no exchange, and thus no version."""
        bounds = Bounds(self._target.build_timeout_s, self._target.cancel_timeout_s)
        self._given = {ref: content_of(Given(ref)) for ref in self._target.templates.buildable}
        self._judge = by_all_rules(bounds, self._given, self._target.key_sources)
        self._judgements: list[Judgement] = []
        self._decided: set[str] = set()  # versions of which it is known whether they existed before

    def add(self, passage: Passage) -> None:
        """Records and judges one request with its response."""
        self.count += 1
        if not passage.target.startswith(f"{self._base_path}/templates"):
            self._leave_out("of another API")
            return
        exchange, why = self._exchange(passage)
        form, key = foreign.key_of(exchange.request, is_complete=True)
        noted = form, key, exchange.status, exchange.sent_at
        self._keys.note(*noted)
        if key in self._keys.accepted and "primary" not in self._keys.accounts.values():
            self._keys.accounts.setdefault(key, "primary")
        credential, doubt = self._keys.credential(*noted)
        if key and key not in self._names:
            self._names[key] = self._keys.accounts.get(key, f"unknown-{len(self._names)}")
            self._secrets = Secrets([(name, value) for value, name in self._names.items()])
        exchange = foreign.noted(foreign.marked(replace(exchange, credential=credential), self._secrets))
        self._har.add(exchange)
        if why := why or doubt:
            self._leave_out(why)
            return
        request = replace(exchange.request, url=exchange.request.url.replace(BASE_URL, self._target.url or "", 1))
        self._note_given(exchange)
        self._take(self._judge.add(replace(exchange, request=request)))
        if len(self._judge.by_seq) >= _MOST_JUDGED:
            self._conclude()

    def _leave_out(self, why: str) -> None:
        self.left_out[why] += 1
        if self.left_out[why] == 1:
            self._progress({"type": NOT_JUDGED, "text": why})

    def finish(self) -> None:
        """Judges what is left, and writes the rest of the run log."""
        self._conclude()
        self._log.write(Remark(f"{plural(self.count, 'exchange')} passed on; {RECORDING} has those with the API"))
        for reason, number in sorted(self.left_out.items()):
            self._log.write(Remark(f"{plural(number, 'exchange')} not judged: {reason}"))

    def _exchange(self, passage: Passage) -> tuple[Exchange, str]:
        """The exchange of a passage, with its keys, and why it is not judged (empty for a judged one)."""
        target, answer, why = passage.target.removeprefix(self._base_path), passage.answer, ""
        request = Request(passage.method, BASE_URL + target, passage.headers, bytes(passage.body))
        response, is_stream, error, closed = None, False, answer.error, answer.closed
        if answer.head:
            is_stream = foreign.is_events(dict(answer.head.headers).get("content-type"))
            intake, chunks = Intake(answer.head.headers, self._target.bounds, streamed=is_stream), list[Chunk]()
            with suppress(Refused):
                chunks += (Chunk(at_s, intake.take(data)) for at_s, data in answer.chunks)
                intake.end()
            body = b"".join(chunk.data for chunk in chunks)
            error = error or ("" if closed else intake.problem)
            response = Response(answer.head.status, answer.head.headers, body, tuple(chunks) if is_stream else ())
        operation, ref = foreign.operation_of(request, target.partition("?")[0], response, self._contract)
        if error.startswith(NOT_REACHED):
            why = f"that did not reach the target ({error.partition(': ')[2]})"
        elif passage.is_cut and not is_stream:
            why = foreign.CUT_TEXT
        elif closed and not is_stream:
            response, error = None, foreign.GIVEN_UP
            why = "" if operation in foreign.CHANGING else foreign.GIVEN_UP
        elif is_stream:
            closed = "client" if passage.is_cut else closed or ("" if error else "server")
            error = "" if closed else error
        times = (answer.sent_at - self._began_at, answer.head_at - self._began_at, answer.done_at - self._began_at)
        exchange = Exchange(answer.seq, operation, ref, "primary", TRAFFIC, *times, request, response, error, closed)
        return exchange, why

    def _note_given(self, exchange: Exchange) -> None:
        """The first conclusive response about a version shows whether the version existed before."""
        ref, owner = exchange.ref, foreign.OWNERS.get(exchange.credential)
        if ref and owner and ref not in self._decided and (existed := foreign.was_there(exchange)) is not None:
            self._decided.add(ref)
            if existed:
                self._given.setdefault(ref, content_of(Given(ref, owner)))

    def _conclude(self) -> None:
        """Ends with the present judge, and begins with the next one."""
        refs = dict.fromkeys(e.ref for e in self._judge.by_seq.values() if e.ref)
        self._take(self._judge.conclude(refs))
        self._log.write(*tallies(TRAFFIC, self._judgements))
        for rule_id, error in self._judge.failed.items():
            self._log.write(Case(f"rule.{rule_id}", "", "error", 0.0, (), f"the rule {rule_id} failed: {error}"))
        self._begin()

    def _take(self, judgements: Sequence[Judgement]) -> None:
        """Reports broken claims as they come; the others are counted when the judge ends."""
        for judgement in (doubted(each, self._judge) for each in judgements):
            self.claims.add(judgement.claim)
            if judgement.outcome != "broken":
                self._judgements.append(judgement)
                continue
            self.times[judgement.finding_id] += 1
            finding = self._judge.finding(judgement)
            if self.times[finding.id] == 1:
                seqs = set(finding.evidence) - self._written
                self._log.write(*(self._judge.by_seq[seq] for seq in sorted(seqs)))
                self._written |= seqs
                text = f"{finding.where}: expected {finding.expected}, got {finding.actual}"
                self._progress({"type": FINDING, "claim": finding.claim, "level": finding.level, "text": text})
            self._log.write(Occurrence(finding, TRAFFIC))


class ProxyJob(Job):
    """Serves clients on *port* of this machine until a signal comes.

    *progress* receives an event ``listening`` with the URL, an event FINDING for each new finding, and NOT_JUDGED.
    Raises a UsageError if the port is not free.
    """

    errand = Errand("proxy")

    def __init__(self, settings: Settings, port: int, accounts: Accounts, progress: Progress) -> None:
        super().__init__(settings, progress)
        self._listener, self._accounts = listen("127.0.0.1", port), accounts

    def work(self) -> Footer:
        """Serves clients; an ordinary stop signal ends the run, and is no interruption."""
        target, began_at = self.settings.target, datetime.now(UTC)
        about = utc(began_at), __version__, self.contract.sha256, target.name, TRAFFIC
        recording = Recording("traffic", (), "har", "", *about)
        har = HarWriter(self.folder / RECORDING, recording)
        with RunLogWriter(self.run_log) as log:
            traffic = Traffic(target, self._accounts, log, har, self.progress)
            try:
                self._serve_and_judge(traffic)
            finally:
                traffic.finish()
                har.close()
            seconds = (datetime.now(UTC) - began_at).total_seconds()
            selected = {claim.id for claim in self.ledger.select(self.settings.claims_glob)}
            log.write(*(Notice(claim, "not-applicable", _UNSHOWN) for claim in sorted(selected - traffic.claims)))
            title = f"{plural(traffic.count, 'exchange')} of other clients"
            outcome: CaseOutcome = "failed" if traffic.times else "passed"
            log.write(Case(TRAFFIC, title, outcome, round(seconds, 3), tuple(sorted(traffic.claims))))
        if self.interrupted.times == 1:
            self.interrupted.by = 0
        return REACHED_ITS_END if traffic.claims else failed("no exchange with the API was judged")

    def _serve_and_judge(self, traffic: Traffic) -> None:
        passages: queue.Queue[Passage | None] = queue.Queue(_MOST_QUEUED)
        errors: list[Exception] = []

        def judge() -> None:
            while (passage := passages.get()) is not None:
                try:
                    if not errors:
                        traffic.add(passage)
                except Exception as error:  # noqa: BLE001 - raised below; mostly, the results can no longer be written
                    errors.append(error)

        thread = threading.Thread(target=judge, name="judge")
        thread.start()
        try:
            bounds = self.settings.target.bounds
            most_bytes = max(bounds.max_body_bytes, bounds.max_stream_bytes)
            asyncio.run(self._serve(Proxy(self.settings.target.url or "", passages.put, most_bytes), errors))
        finally:
            passages.put(None)
            thread.join()
        if errors:
            raise errors[0]

    async def _serve(self, proxy: Proxy, errors: Sequence[Exception]) -> None:
        port, base = self._listener.getsockname()[1], urlsplit(self.settings.target.url or "").path
        server = await asyncio.start_server(proxy.serve, sock=self._listener)
        url = f"http://127.0.0.1:{port}{base}"
        self.progress({"type": "listening", "url": url, "target": self.settings.target.url})
        async with server:
            # A signal handler or another thread sets the flags, so that no event of asyncio can.
            while not self.interrupted.by and not errors:  # noqa: ASYNC110
                await asyncio.sleep(_POLL_S)
            server.close()
            await proxy.stop()
