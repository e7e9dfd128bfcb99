"""Hooks for Schemathesis: `schemathesis run` judges by the rules of Touchstone, with versions of its own run.

Use them with ``hooks = "touchstone.schemathesis"`` in schemathesis.toml, or with
``SCHEMATHESIS_HOOKS=touchstone.schemathesis``. See docs/howto/run-schemathesis.md.
"""

import os
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import requests
import schemathesis
from schemathesis import BaseSchema, Case, HookContext
from schemathesis.checks import CheckContext
from schemathesis.cli import LoadingFinished, handler
from schemathesis.cli.context import BaseExecutionContext
from schemathesis.config import OperationConfig, ProjectConfig, SchemathesisWarning
from schemathesis.core.failures import Failure, FailureGroup, Severity
from schemathesis.core.transport import Response
from schemathesis.engine.events import EngineEvent, EngineFinished
from schemathesis.openapi.checks import UseAfterFree

from touchstone import config
from touchstone.check.budget import Budget
from touchstone.check.examination import OWNERS, Examination, Ledger, Unsuited, transport_to
from touchstone.check.job import at_twin, new_run_id
from touchstone.check.journal import Journal
from touchstone.check.preflight import check_given, smoke
from touchstone.check.run import given_contents
from touchstone.check.schemathesis_hooks import Aims
from touchstone.check.templates import Template, given
from touchstone.config import UNBOUNDED_BUILDS, Flags, Settings
from touchstone.contract import claims
from touchstone.contract.document import Contract
from touchstone.errors import HarnessError
from touchstone.facts.exchange import Chunk, Closed, Credential, Exchange
from touchstone.facts.exchange import Response as Received
from touchstone.facts.finding import Finding, Judgement
from touchstone.rules.history import Bounds
from touchstone.rules.judge import by_all_rules
from touchstone.target.call import Answer, Call, MessageBuilder
from touchstone.twin import DEFAULT_ACCOUNTS

# Checks of Schemathesis that accuse correct servers of this API, and why.
ACCUSING = {
    "negative_data_rejection": "servers accept more than the part of a document that the contract describes",
    "unsupported_method": "no page says what a method gets that a path does not have",
    "ensure_resource_availability": "it takes a start for a creation, and our versions in a path for those of a link",
}
RUNNING = 3  # reads, logs and cancels of a running build
LATER_EVERY = 25  # exchanges about a shared version until its whole story is judged again, which takes time
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class BrokenClaim(Failure):
    """A claim of the documentation that a response breaks."""

    kind_title = "Broken claim"
    __slots__ = ("claim",)

    def __init__(self, finding: Finding, operation: str | None) -> None:
        claim = claims.load()[finding.claim]
        about = f"Request:  {finding.where}\nExpected: {finding.expected}\nActual:   {finding.actual}"
        message = f"{claim.says} ({claim.source})\n\n{about}\n\n`touchstone explain {finding.claim}` says more."
        severity = Severity.HIGH if finding.level == "must" else Severity.LOW
        title = f"Broken claim: {finding.claim} ({finding.level})"
        super().__init__(operation=operation, title=title, message=message, severity=severity)
        self.claim = finding.claim

    @property
    def _unique_key(self) -> str:
        return self.claim


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

    def after(self, case: "Case[Any]", request: requests.PreparedRequest, response: Response | None) -> None:
        """Judges the response to *case*, or that there is none."""
        template = self._sent[case.id][1]
        exchange = self._exchange(case.id, request, response)
        self._aims.received(case, exchange, template)
        self._exam.note(exchange)
        self._record(exchange)

    def _exchange(self, case_id: str, request: requests.PreparedRequest, response: Response | None) -> Exchange:
        done_at, url = self._transport.now(), self._builder.url
        sent_at, template, note = self._sent[case_id]
        path = (request.url or "").removeprefix(url)
        body = request.body.encode() if isinstance(request.body, str) else request.body or b""
        assert isinstance(body, bytes)
        prepared = self._builder.prepare(Call(method=request.method or "", path=path, body=body))
        headers = {str(name): str(value) for name, value in request.headers.items()}
        outgoing = replace(prepared, headers=headers)
        received: Received | None = None
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


# The run of this process, if the command line of Schemathesis has begun one.
_runs: list[SchemathesisRun] = []


class _Subject:
    """A check: the claims of one subject, which a derived class sets."""

    subject = ""

    def after_response(self, _context: CheckContext, _response: Response, case: "Case[Any]") -> None:
        """Reports what the exchange of *case* broke."""
        self._report(case.id, case.operation.label)

    def after_run(self, _context: CheckContext) -> None:
        """Reports what the requests of the hooks broke, and what only whole histories show."""
        self._report("", None)

    def _report(self, case_id: str, operation: str | None) -> None:
        for run in _runs:
            if found := run.findings(case_id, self.subject):
                raise FailureGroup([BrokenClaim(finding, operation) for finding in found])


for _subject in dict.fromkeys(claim.subject for claim in claims.load().judged()):
    schemathesis.check(type(f"touchstone_{_subject}", (_Subject,), {"subject": _subject}))


@schemathesis.hook
def before_call(_context: HookContext, case: "Case[Any]", _kwargs: dict[str, Any]) -> None:
    """Aims a request at a version of the run."""
    for run in _runs:
        run.before(case)


@schemathesis.hook
def after_call(_context: HookContext, case: "Case[Any]", response: Response) -> None:
    """Judges a response."""
    for run in _runs:
        run.after(case, response.request, response)


@schemathesis.hook
def after_network_error(_context: HookContext, case: "Case[Any]", request: requests.PreparedRequest) -> None:
    """Judges a request without a response."""
    for run in _runs:
        run.after(case, request, None)


@schemathesis.hook
def filter_failure(_context: HookContext, failure: Failure, _case: "Case[Any]", _response: Response) -> bool:
    """Drops the accusation that a build can still be read after its cancel, which deletes nothing."""
    return not (isinstance(failure, UseAfterFree) and failure.free.endswith("/build"))


# What the command line needs once the contract is loaded: settings, or why there are none. None outside of it.
_loaded: dict[str, Settings | HarnessError] | None = None


@schemathesis.hook
def after_load_schema(_context: HookContext, schema: BaseSchema) -> None:
    """Reads the settings of Touchstone, and sets options of Schemathesis, before it selects the operations."""
    if _loaded is not None:
        url = schema.get_base_url().rstrip("/")
        try:
            _loaded[url] = settings = _settings(schema.config, url)
            _configure(schema.config, settings)
        except HarnessError as error:
            _loaded[url] = error


@handler()
class Hooks:
    """Begins and ends the run of Touchstone with the one of Schemathesis."""

    def __init__(self, *_args: object, **_options: object) -> None:
        global _loaded  # noqa: PLW0603 - hooks of Schemathesis are functions of a module
        _loaded = {}

    def start(self, _context: BaseExecutionContext) -> None:
        """Does nothing: the run begins once the contract is loaded."""

    def handle_event(self, context: BaseExecutionContext, event: EngineEvent) -> None:
        """Begins the run once the contract is loaded, and ends it after the last phase."""
        if isinstance(event, LoadingFinished) and _loaded:
            try:
                (settings,) = _loaded.values()
                if isinstance(settings, HarnessError):
                    raise settings
                run = SchemathesisRun(settings)
                _runs.append(run)
                lacking = run.set_up()
                line = f"versions are named touchstone-{run.run_id}-…{f'; {lacking}' if lacking else ''}"
                context.add_initialization_line(f"     Touchstone:       {line}")
            except HarnessError as error:
                click.secho(f"touchstone: {error}", fg="red", err=True)
                raise click.Abort from None
        elif isinstance(event, EngineFinished):
            for line in _ended():
                context.add_summary_line(line)

    def shutdown(self, _context: BaseExecutionContext) -> None:
        """Ends a run that was interrupted."""
        for line in _ended():
            click.echo(line)


def _ended() -> Iterator[str]:
    """Ends the run, if there is one; yields what to print about it."""
    while _runs:
        run = _runs.pop()
        left = "" if run.clean_up() else "; versions are left, `touchstone sweep` tries again to delete them"
        yield f"Touchstone: {run.judged} exchanges judged{left}"


def _settings(project: ProjectConfig, url: str) -> Settings:
    """Returns the settings for *url*. The key comes from a header of Schemathesis, the environment, or the twin."""
    environ, cwd = dict(os.environ), Path.cwd()
    if header := _authorization(project):
        environ["ORGO_API_KEY"] = header.removeprefix("Bearer ").strip()
    name = next((name for name, table in config.find(None, cwd).table.targets.items() if table.url == url), None)
    flags = Flags(url=None if name else url, target=name)
    if urlsplit(url).hostname not in _LOOPBACK:
        return config.load(flags, environ, cwd)
    if name or environ.get("ORGO_API_KEY"):
        return config.load(flags, environ, cwd, UNBOUNDED_BUILDS)
    key = DEFAULT_ACCOUNTS[0].key
    return at_twin(config.load(flags, environ | {"ORGO_API_KEY": key}, cwd, UNBOUNDED_BUILDS), url)


def _authorization(project: ProjectConfig) -> str:
    return next((value for name, value in (project.headers or {}).items() if name.lower() == "authorization"), "")


def _configure(project: ProjectConfig, settings: Settings) -> None:
    """Sets options that the user has left out, so that requests have a key and no correct server is accused."""
    keys = settings.target.credentials()
    project.update(headers=keys.headers("none" if _authorization(project) else "primary"))
    project.output.sanitization.keys_to_sanitize += tuple(map(str.lower, keys.always))
    if project.rate_limit is None:
        project.update(rate_limit="auto")
    if project.max_redirects is None:
        project.max_redirects = 0
    if project.continue_on_failure is None:
        project.continue_on_failure = True
    for name in ACCUSING.keys() - getattr(project.checks, "_explicit", {}).keys():
        project.checks.get_by_name(name=name).enabled = False
    # Most cancels get a 404, because their version is not building.
    project.warnings.display = [one for one in project.warnings.display if one != SchemathesisWarning.MISSING_TEST_DATA]
    if settings.target.publish != "raw":
        unfit = {"include-operation-id": "publishTemplate", "enabled": False}
        project.operations.operations.append(OperationConfig.from_dict(unfit))
