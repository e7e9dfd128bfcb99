"""One example of each kind of report by name, and its rendering in each format."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console

from tests import loadlogs
from tests.loadgen.queueing import Queue, searched
from tests.loadlogs import BEGAN_AT, Storm, behind, fold, four_workers, log_of, steady, unsent, worker, workload
from tests.report import checklogs, proofs
from tests.report.identities import around
from tests.report.probelogs import run_of, story
from tests.rules.exchanges import exchange
from touchstone.contract import claims
from touchstone.facts.events import Known, LedgerClaim, Occurrence, RunLog
from touchstone.facts.exchange import Exchange
from touchstone.facts.identity import Runner
from touchstone.facts.probe import Answer, KneeTerms
from touchstone.facts.sample import CUT_OFF, NO_ANSWER, Sample
from touchstone.loadgen.thresholds import judge_thresholds, measured
from touchstone.report import compare_report, github, html, json_report, proof_report, text
from touchstone.report.comparison import Comparison, compare
from touchstone.report.proof_report import ProofView
from touchstone.report.view import View, view
from touchstone.report.write import render_junit

Report = View | ProofView | Comparison
FOLDER = Path("reports/some-run")
BROKEN, ODD, MINOR = "cancel.in-flight-is-202", "status.build-time-is-ms", "status.golden-dir-is-text"
EVIL = "\x1b[31m<script>alert('x')</script>\u202e"


def knowing(log: RunLog, *known: str, strict: bool = False) -> RunLog:
    return replace(log, header=replace(log.header, known=known, strict=strict))


def failing() -> RunLog:
    return checklogs.log(checklogs.write_failing)


def frozen() -> RunLog:
    """The run above with a newer claim, and with a baseline in which an entry has expired."""
    log = knowing(failing(), BROKEN, MINOR, "start.answers-202", "events.frames-are-json")
    known = Known(BROKEN, "cancelBuild", ticket="API-7", expires="2026-05-31"), Known(MINOR), Known("start.answers-202")
    expired = Known("events.frames-are-json", ticket="API-9", expires="2025-12-31")
    claims = tuple(replace(claim, since=1 + (claim.id == ODD)) for claim in log.header.claims)
    return replace(log, header=replace(log.header, baseline=(*known, expired), contract_version=1, claims=claims))


def limited(log: RunLog) -> RunLog:
    assert log.workload is not None
    log = replace(log, workload=replace(log.workload, limits=loadlogs.LIMITS))
    ledger = claims.load()
    broken = judge_thresholds(measured(log), log, ledger).findings
    known = {claim.id for claim in log.header.claims}
    rows = (ledger.explain(name) for name in dict.fromkeys(one.claim for one in broken) if name not in known)
    more = tuple(LedgerClaim(row.id, row.level, row.says, row.source, row.subject) for row in rows)
    log = replace(log, header=replace(log.header, claims=(*log.header.claims, *more)))
    return replace(log, occurrences=(*log.occurrences, *(Occurrence(one, "load.thresholds") for one in broken)))


def ending(log: RunLog, exit_code: int, reason: str) -> RunLog:
    assert log.footer is not None
    return replace(log, footer=replace(log.footer, exit_code=exit_code, reason=reason))


def window() -> loadlogs.NoLimit:
    return loadlogs.FixedWindow(8, 4.0)


def closing(steps: str) -> tuple[Exchange, ...]:
    """Exchanges of the client after a storm: ``step:status`` each; ``wait`` passes time, ``full`` begins a turn."""
    at, turn, before, sent = 500.0, 0, "", list[Exchange]()
    for step in steps.split():
        name, _, status = step.partition(":")
        if status:
            turn += name == "full" and before != "wait"
            note = {"room": {"step": name, "turn": turn}}
            operation = "cancelBuild" if name == "cancel" else "startBuild"
            more: dict[str, Any] = {"sent_at": at, "done_at": at + 0.01, "note": note, "json": {}}
            sent.append(exchange(operation, int(status), seq=5000 + len(sent), **more))
        at, before = at + (0.05 if status else 0.5), name
    return tuple(sent)


FULL_HOST = "fill:202 fill:202 fill:429" + 2 * (
    " full:429 cancel:200 again:202 full:429 wait full:429 wait full:429 cancel:200 again:202"
)


@cache
def storm() -> RunLog:
    """A storm against a host of four builds with a rate limit."""
    return replace(limited(Storm(rate=window, retry_s=0.3).run()), exchanges=closing(FULL_HOST))


def failing_storm() -> RunLog:
    """The same with 503 instead of 429, stopped early, and with a client that tests the rate limit afterwards."""
    attempts = tuple(replace(one, status=503) if one.status == 429 else one for one in storm().attempts)
    note = {"limit": {"round": 1, "phase": "burst"}}
    probes = tuple(exchange("startBuild", status, seq=n, note=note) for n, status in enumerate((202, 429, 503, 0)))
    return replace(storm(), attempts=tuple(a for a in attempts if a.sent_at < BEGAN_AT + 3.5), exchanges=probes)


def fallen() -> RunLog:
    """A target without responses from second 20 to 40 and from 60 on."""
    log = steady(stall_s=0.0)
    reads = [one for one in log.windows if (one.operation, one.outcome) == ("getBuild", "200")]
    hung = [
        fold([Sample("getBuild", "200", due_at, due_at, due_at + 40.5 - n)] * 2)[0]
        for n in range(20, 40)
        for due_at in [BEGAN_AT + n]
    ]
    kept = [one for one in reads if not 20 <= one.at_s - BEGAN_AT < 40]
    dead = [replace(one, at_s=one.at_s + 60, outcome=NO_ANSWER) for one in reads if one.at_s < BEGAN_AT + 10]
    at = BEGAN_AT + 70
    cut = fold(Sample("getBuild", CUT_OFF, at + n / 10, at + n / 10, at + 0.9) for n in range(4))
    return limited(replace(log, windows=(*kept, *hung, *dead, *cut)))


def spent() -> RunLog:
    last = worker(sent=3000, unsent=199, assigned=3199, over_budget=199, spent_at_s=BEGAN_AT + 20.04)
    log = steady(windows=(*steady().windows, unsent(25, "getBuild", 199)), workers=(last,))
    assert log.workload is not None
    planned = replace(log.workload, options={"max_requests": 3000}, scheduled={"getBuild": 3199})
    return replace(log, workload=planned)


def closed() -> RunLog:
    log = steady(duration_s=4)
    assert log.workload is not None
    polls = fold([Sample("getBuild", "200", BEGAN_AT, BEGAN_AT, BEGAN_AT + 0.01)] * 70, paced=False)
    return replace(log, windows=(*log.windows, *polls), workload=replace(log.workload, model="closed", scheduled={}))


def single() -> RunLog:
    """One of each: request, unsent arrival, claim, start that tests the rate limit."""
    at = BEGAN_AT + 0.2
    windows = (*fold([Sample("getBuild", NO_ANSWER, at, at, at + 0.1)]), unsent(5, "getBuild", 1))
    windows += fold([Sample("startBuild", "202", at, at, at + 0.1)])
    head = loadlogs.header(claims=loadlogs.header().claims[:1], argv=("load", "steady"))
    probes = (exchange("startBuild", 202, seq=1, note={"limit": {"round": 1, "phase": "burst"}}),)
    planned = workload(scheduled={"getBuild": 1}, limits=loadlogs.LIMITS)
    return log_of(planned, header=head, windows=windows, workers=(worker(sent=1, assigned=1),), exchanges=probes)


def hostile_load() -> RunLog:
    """Names, outcomes and notes with markup."""
    log, evil = four_workers(), checklogs.HOSTILE
    assert log.workload is not None
    windows = tuple(replace(one, operation=evil, outcome=evil) for one in log.windows)
    workers = tuple(replace(one, note=evil) for one in log.workers)
    planned = replace(log.workload, scenario=evil, arrivals=evil, says=evil)
    return replace(log, windows=windows, workers=workers, workload=planned)


UNSURE = (
    Runner("token-bucket", 0.812, "token-bucket:8/4", ""),
    Runner(
        "sliding-log", 0.17, "sliding-log:8/4", "it would have refused the request at second 12.041, which was accepted"
    ),
    Runner("minimum-gap", 0.018, "minimum-gap:0.5", "8 requests were accepted within 40 ms"),
)


def unsure() -> View:
    """A probe that spent its budget, with other clients, a finding, a note and a failed request."""
    probed = story(
        "token-bucket:8/4",
        count=60,
        operation="getBuild",
        sure=False,
        why="budget",
        others_share=around(0.12, 0.5),
        families=UNSURE,
        findings=("Retry-After is too short in 3 of 3 refusals; the worst had Retry-After: 1, but 5.90 s are needed",),
        notes=("2 responses were ignored: they took longer than 10 s.",),
        uncapped_to=16,
    )
    run = run_of(probed)
    assert run.probe
    return replace(run, probe=replace(run.probe, failed=(Answer(3.0, 3.2, False),)))


def knee(trials: int | None = None, exit_code: int = 0) -> View:
    """A probe that found no limit but a knee; with *trials*, it was killed after so many."""
    queue = Queue()
    search, confirmed = searched(queue, 1)
    probed: Any = story("none", count=30, pause_s=1.0, operation="getBuild")
    probed.probing.knee = KneeTerms(queue.slo_s, 25_000)
    probed.tried, probed.knee = tuple(search.tried)[:trials], confirmed if trials is None else None
    run = run_of(probed)
    reason = "the knee is unknown: the search was interrupted" if exit_code else run.verdict.reason
    return replace(run, verdict=replace(run.verdict, exit_code=exit_code, reason=reason))


def killed_probe() -> View:
    probed: Any = story("token-bucket:10/60,burst=5", count=20)
    probed.identified = None
    return run_of(probed)


def storms() -> Comparison:
    return compare(*(replace(Storm(capacity=n).run(), exchanges=closing(FULL_HOST)) for n in (4, 6)))


def checks() -> Comparison:
    """Six checks; one selects few claims, another judges a new claim, and the last is strict."""
    passing, few = checklogs.log(checklogs.write_passing), replace(failing().header, claims_glob="cancel.*")
    newer = checklogs.log(checklogs.write_passing, extra=1)
    others = (replace(failing(), header=few), passing, newer, knowing(failing(), strict=True))
    return compare(passing, failing(), *others)


EXAMPLES: dict[str, Callable[[], Report | RunLog]] = {
    "check-passing": lambda: checklogs.log(checklogs.write_passing),
    "check-failing": failing,
    "check-interrupted": lambda: checklogs.log(checklogs.write_interrupted),
    "check-known": frozen,
    "check-hostile": lambda: checklogs.log(checklogs.write_hostile),
    "load-storm": storm,
    "load-failing-storm": failing_storm,
    "load-steady": lambda: limited(steady()),
    "load-behind": lambda: ending(limited(behind()), 3, "the generator was too slow"),
    "load-workers": lambda: limited(four_workers()),
    "load-fallen": fallen,
    "load-spent": spent,
    "load-closed": closed,
    "load-single": single,
    "load-hostile": hostile_load,
    "load-empty": lambda: ending(log_of(workload()), 3, "nobody answers"),
    "probe-bucket": lambda: run_of(story("token-bucket:10/60,burst=5+builds:4")),
    "probe-unsure": unsure,
    "probe-queue": lambda: run_of(
        story("leaky-bucket:5/1,burst=10", count=60, pause_s=0.6, operation="getBuild", alike=("sliding-log:1/2",))
    ),
    "probe-none": lambda: run_of(story("none", count=20, pause_s=0.1, uncapped_to=32, holds_to=10)),
    "probe-killed": killed_probe,
    "probe-hostile": lambda: run_of(story("8/4", count=30, findings=(EVIL,), notes=(EVIL,), alike=(EVIL,))),
    "knee-found": knee,
    "knee-killed": lambda: knee(3, exit_code=3),
    "proof-proven": proofs.all_proven,
    "proof-flawed": proofs.flawed,
    "proof-interrupted": proofs.interrupted,
    "proof-partial": proofs.partial,
    "proof-nothing": proofs.nothing,
    "proof-hostile": proofs.hostile,
    "compare-checks": checks,
    "compare-loads": lambda: compare(steady(seed=1, stall_s=0), steady(seed=2, stall_s=0, slower=1.3, per_s=40)),
    "compare-storms": storms,
    "compare-hostile": lambda: compare(checklogs.log(checklogs.write_passing), checklogs.log(checklogs.write_hostile)),
}


@cache
def example(name: str) -> Report:
    report = EXAMPLES[name]()
    return view(report) if isinstance(report, RunLog) else report


def terminal(report: Report, width: int = 80, **options: Any) -> str:
    """The report on a terminal of this width, without trailing blanks."""
    console = Console(file=StringIO(), width=width, **options)
    match report:
        case View():
            text.write(report, console, advises=True)
        case ProofView():
            proof_report.write(report, console, FOLDER / "proof.html")
        case Comparison():
            compare_report.write(report, console, FOLDER / "compare.html")
    assert isinstance(console.file, StringIO)
    return "".join(f"{line.rstrip()}\n" for line in console.file.getvalue().splitlines())


def page(report: Report) -> str:
    if isinstance(report, View):
        return html.render(report)
    return proof_report.render(report) if isinstance(report, ProofView) else compare_report.render(report)


def document(report: Report) -> str:
    if isinstance(report, View):
        return json_report.render(report)
    return proof_report.render_json(report) if isinstance(report, ProofView) else compare_report.render_json(report)


def pipeline(report: Report) -> str:
    """Summary and annotations for GitHub Actions."""
    assert not isinstance(report, Comparison)
    return github.summary(report, FOLDER) + "\n---\n\n" + "\n".join(github.annotations(report)) + "\n"


def xml(report: Report) -> str:
    assert isinstance(report, View)
    return render_junit(report)
