"""One `schemathesis run` with the hooks of Touchstone: its published versions, its journal, its judge."""

import threading
from collections import Counter, defaultdict
from dataclasses import replace
from typing import Any

import requests
from schemathesis import Case
from schemathesis.core.transport import Response as SchemathesisResponse

from touchstone.check.budget import Budget
from touchstone.check.examination import OWNERS, Examination, Ledger, Unsuited, transport_to
from touchstone.check.job import new_run_id
from touchstone.check.journal import Journal
from touchstone.check.preflight import check_given, smoke
from touchstone.check.run import given_contents
from touchstone.check.schemathesis_hooks import Aims
from touchstone.check.templates import Template, given
from touchstone.config import Settings
from touchstone.contract.document import Contract
from touchstone.facts.exchange import Chunk, Closed, Credential, Exchange, Response
from touchstone.facts.finding import Finding, Judgement
from touchstone.rules.history import Bounds
from touchstone.rules.judge import by_all_rules
from touchstone.target.answer import Answer
from touchstone.target.call import Call, MessageBuilder

RUNNING = 3  # reads, logs and cancels of a running build
LATER_EVERY = 25  # exchanges about a shared version until its whole story is judged again, which takes time


class SchemathesisRun:
    """Aims the requests of `schemathesis run` at versions of this run, judges the responses; may raise HarnessError."""

    def __init__(self, settings: Settings) -> None:
        target = settings.target
        self.run_id = new_run_id()
        self._contract = Contract.load()
        bounds = Bounds(target.build_timeout_s, target.cancel_timeout_s)
        self._judge = by_all_rules(bounds, given_contents(settings.target.templates), target.key_sources)
        self._broken: defaultdict[str, list[Finding]] = defaultdict(list)
        self._due: Counter[str] = Counter()  # exchanges since the last conclusion, by version
        self._shared: set[str] = set()  # refs of the versions that many requests share
        self._lock = threading.Lock()
        self.judged = 0
        self._builder = MessageBuilder(target.url or "", target.credentials(), self._contract)
        self._transport = transport_to(target, self._contract, self._record)
        latency_s = smoke(self._transport, target.key_sources.primary)
        check_given(self._transport, target)
        self._journal = Journal.open(self.run_id, target.url or "", settings.state_dir)
        ledger, linked = Ledger(self.run_id, self._journal), target.max_builds // 2
        budget = Budget(target.max_builds - linked)
        self._whole = Examination(self._transport, target, self.run_id, ledger, budget, latency_s)
        self._exam = self._whole.for_case("")
        self._aims = Aims(self._exam, [], builds=linked, running=RUNNING)
        self._sent: dict[str, tuple[float, Template | None, dict[str, Any]]] = {}

    def set_up(self) -> str:
        """Publishes a ready, an unbuilt and a failed version; returns why they are missing, or an empty text."""
        exam, failing = self._exam, self._exam.target.templates.failing
        others = [given(ref) for ref in failing[:1]]
        try:
            if exam.target.publish != "never":
                others = [exam.published("unbuilt"), exam.published("failed", fails=True)]
                exam.start(others[1].ref)
            ready = exam.ready()
            if exam.target.publish != "never":
                exam.wait(others[1].ref)
            self._aims.shared = [ready, *others]
            self._shared |= {one.ref for one in self._aims.shared}
        except Unsuited as error:
            return error.reason
        return ""

    def before(self, case: "Case[Any]") -> None:
        """Gives *case* a version of this run, once, and notes when it is sent."""
        known = self._sent.get(case.id)  # if it is sent again after a 429
        template, note = known[1:] if known else self._aims.take(case)
        self._sent[case.id] = self._transport.now(), template, note

    def after(
        self, case: "Case[Any]", request: requests.PreparedRequest, response: SchemathesisResponse | None
    ) -> None:
        """Judges the response to *case*, or that there is none."""
        template = self._sent[case.id][1]
        exchange = self._exchange(case.id, request, response)
        self._aims.received(case, exchange, template)
        self._exam.note(exchange)
        self._record(exchange)

    def _exchange(
        self, case_id: str, request: requests.PreparedRequest, response: SchemathesisResponse | None
    ) -> Exchange:
        done_at, url = self._transport.now(), self._builder.url
        sent_at, template, note = self._sent[case_id]
        path = (request.url or "").removeprefix(url)
        body = request.body.encode() if isinstance(request.body, str) else request.body or b""
        assert isinstance(body, bytes)
        prepared = self._builder.prepare(Call(method=request.method or "", path=path, body=body))
        headers = {str(name): str(value) for name, value in request.headers.items()}
        outgoing = replace(prepared, headers=headers)
        received: Response | None = None
        closed: Closed = ""
        if response is not None:
            pairs = [(name, value) for name, values in response.headers.items() for value in values]
            is_stream = outgoing.operation == "streamBuildEvents" and response.status_code == 200
            chunks = [Chunk(done_at - sent_at, response.content)] if is_stream and response.content else []
            received = self._builder.response(response.status_code, pairs, response.content, chunks)
            closed = ("client" if response.stream_cut_short else "server") if is_stream else ""
        answer = Answer(sent_at=sent_at, done_at=done_at, error="" if received else "no response", closed=closed)
        return replace(
            self._builder.exchange(outgoing, answer, self._transport.take_number(), case_id),
            ref=template.ref if template else outgoing.ref,
            credential=self._credential(headers.get("Authorization")),
            head_at=min(sent_at + response.elapsed, done_at) if response is not None else done_at,
            response=received,
            note=note,
        )

    def _credential(self, authorization: str | None) -> Credential:
        """Returns whose key a request had."""
        scheme, _, key = (authorization or "").partition(" ")
        if authorization is None:
            return "none"
        if scheme != "Bearer" or not key.strip():
            return "malformed"
        hidden = self._exam.target.credentials().hidden()
        return next((role for role in OWNERS if hidden.get(role) == key), "unknown")

    def _record(self, exchange: Exchange) -> None:
        with self._lock:
            self.judged += 1
            found = self._judge.add(exchange)
            self._due[exchange.ref or ""] += 1
            if exchange.ref and (exchange.ref not in self._shared or self._due[exchange.ref] == LATER_EVERY):
                found += self._judge.conclude([exchange.ref])
                del self._due[exchange.ref]
            self._broken[exchange.case] += self._findings(found)

    def _findings(self, judgements: list[Judgement]) -> list[Finding]:
        return [self._judge.finding(judgement) for judgement in judgements if judgement.outcome == "broken"]

    def findings(self, case_id: str, subject: str) -> list[Finding]:
        """Returns the findings of a case about claims of *subject*; an empty *case_id* stands for all that remain."""
        with self._lock:
            if not case_id:
                self._broken[""] += self._findings(self._judge.conclude(filter(None, self._due)))
                self._due.clear()
            ids = [case_id] if case_id else list(self._broken)
            found = [one for each in ids for one in self._broken[each] if one.claim.startswith(f"{subject}.")]
            for each in ids:
                self._broken[each] = [one for one in self._broken[each] if one not in found]
        return found

    def clean_up(self) -> bool:
        """Removes what the run published; returns whether nothing is left. What is left stays in the journal."""
        try:
            return self._whole.clean_up()
        finally:
            self._journal.close()
            self._transport.close()
