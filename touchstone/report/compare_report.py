"""Reports of a comparison: terminal, HTML page, compare.json."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from touchstone.facts.events import RunLog
from touchstone.facts.wording import plural
from touchstone.loadgen.metrics import ALL
from touchstone.loadgen.thresholds import scope_text
from touchstone.report import comparison as limits
from touchstone.report import html
from touchstone.report.charts import Chart, Curve, percentile_charts
from touchstone.report.comparison import Change, ClaimTrend, Comparison, OperationChange, Trend
from touchstone.report.html import sentence
from touchstone.report.json_report import SCHEMA_VERSION, fields
from touchstone.report.terminal import inert, say, table
from touchstone.report.terminal import render as render_text
from touchstone.rules.verdict import RunVerdict

_FINDING = "id claim level operation expected actual"
_STYLES = {"slower": "bold red", "faster": "bold green", "more": "bold", "less": "bold"}
_STYLES |= dict.fromkeys((limits.NOISE, limits.UNCERTAIN, limits.TOO_FEW), "dim")


def write(both: Comparison, console: Console, page: Path | None = None, exit_code: int = 0) -> None:
    """Writes the comparison and the path of its HTML *page* to *console*; the last line is the result."""
    newest = max(5, (console.width - 60) // 4)  # number of runs beside which the last column of the table has room
    tables = {"load": lambda: _write_load(both, console), "claims": lambda: _write_claims(both.trend, newest, console)}
    render_text(console, "compare.txt.j2", tables, **_values(both), newest=newest, page=str(page or ""))
    say(console, f"exit {exit_code}: {sentence('compared', both)}", "bold")


def _values(both: Comparison) -> dict[str, Any]:
    rows = zip(both.trend.names, both.trend.runs, both.trend.verdicts, strict=True)
    runs = [(name, log, sentence("run", log, verdict)) for name, log, verdict in rows]
    return {"both": both, "trend": both.trend, "load": both.load, "runs": runs, "limits": limits}


def _write_claims(trend: Trend, newest: int, console: Console) -> None:
    titles = ("claim", *(f">{name}" for name in trend.names[-newest:]), "what changed when")
    rows = []
    for one in trend.changed:
        symbols = (html.SYMBOLS.get(verdict, "") for verdict in one.verdicts[-newest:])
        rows.append([one.latest.claim.id, *symbols, sentence("changes", one, trend.names)])
    table(console, titles, rows, wide=False)


def _write_load(both: Comparison, console: Console) -> None:
    assert both.load
    rows: list[list[str | Text]] = []
    for one in both.load.operations:
        counts = ("–" if count is None else f"{count:,}" for count in one.counts)
        rows.append([Text(inert(scope_text(one.name)), "bold"), *counts, "", ""])
        # The table leaves out p95, which adds little to p90 and p99.
        for change in (each for each in one.changes if each.has_value and each.statistic != "p95_s"):
            values = (sentence("value", change, value) for value in (change.before, change.after))
            verdict = Text(change.verdict.removesuffix(" beyond noise"), _STYLES[change.verdict])
            rows.append([f"  {sentence('statistic', change)}", *values, sentence("apart", change), verdict])
    title = "response time" if both.load.is_timed else "service time"
    table(console, (title, ">A", ">B", "difference", ""), rows, title.capitalize(), wide=False)


def render(both: Comparison) -> str:
    """HTML page of the comparison."""
    charts = _overlays(both.load.operations) if both.load else ()
    kind = limits.kind_of_run(both.trend.runs[-1]).partition(" (")[0]
    values = _values(both) | {"charts": charts, "kind": kind, "scope_text": scope_text}
    return html.page("compare.html.j2", ("report.css", "load.css"), ("report.js",), **values)


def _overlays(operations: Sequence[OperationChange]) -> tuple[Chart, ...]:
    drawn = dict[str, list[Curve]]()
    for one in operations:
        if all(one.spans) and (one.name != ALL or len(operations) != 2):
            sides = zip(("run-a", "run-b"), "AB", filter(None, one.spans), strict=True)
            curves = [(css, f"{side}:", f"{side}, {plural(span.count, 'sample')}", span) for css, side, span in sides]
            drawn[scope_text(ALL).capitalize() if one.name == ALL else one.name] = curves
    # Each chart has its own axis, because its two curves lie close together.
    return percentile_charts(*({title: curves} for title, curves in drawn.items()))


def render_json(both: Comparison, exit_code: int = 0) -> str:
    """The comparison as JSON in ASCII, with all texts in full.

    Counts, claims and findings are about the last two runs. ``trend`` has the claims that changed in any run, with the
    verdicts of all runs in order.
    """
    trend, (new, gone) = both.trend, both.trend.findings[-1]
    groups = {group.replace(" ", "_"): claims for group, claims in trend.turned.items()}
    lists = {key: [_claim(one) | {"before": one.verdicts[-2]} for one in claims] for key, claims in groups.items()}
    runs = zip(trend.names, trend.runs, trend.verdicts, strict=True)
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "exit_code": exit_code,
        "reason": sentence("compared", both),
        "differs": both.differs,
        "runs": {name.lower(): _run(log, verdict) for name, log, verdict in runs},
        "unlike": [{"what": what, "before": values[-2], "after": values[-1]} for what, values in both.unlike],
        "counts": {
            **{key: len(rows) for key, rows in lists.items()},
            "unasked": trend.left_out,
            "new_findings": len(new),
            "gone_findings": len(gone),
        },
        "claims": lists,
        "findings": {name: [fields(one, _FINDING) for one in found] for name, found in (("new", new), ("gone", gone))},
        "trend": [_claim(one) | fields(one, "verdicts") for one in trend.changed],
    }
    if both.load:
        changes = ((one.name, list(map(_change, one.changes))) for one in both.load.operations)
        document["load"] = [{"operation": name, "statistics": rows} for name, rows in changes]
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def _run(log: RunLog, verdict: RunVerdict) -> dict[str, Any]:
    run = fields(log.header, "id=run_id command target=target.name url=target.url started_at")
    run |= {"duration_s": log.footer.duration_s if log.footer else None} | fields(verdict, "exit_code reason")
    return run | fields(log.header, "contract_sha256 tool_version")


def _claim(one: ClaimTrend) -> dict[str, Any]:
    return fields(one.latest, "id=claim.id level=claim.level verdict reason")


def _change(change: Change) -> dict[str, Any]:
    apart = asdict(change.apart) if change.apart else None
    sides = {"a": change.before, "b": change.after}
    values = {side: value if isfinite(value) else None for side, value in sides.items()}
    return fields(change, "statistic") | values | {"apart": apart, "verdict": change.verdict}
