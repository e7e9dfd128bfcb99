"""Reports of a comparison: terminal, HTML page, compare.json."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from touchstone.facts.events import RunLog
from touchstone.facts.finding import Finding
from touchstone.facts.wording import brief, figure, percentage, plural
from touchstone.loadgen.metrics import ALL, name_of
from touchstone.loadgen.thresholds import scope_text
from touchstone.report import comparison as limits
from touchstone.report import html
from touchstone.report.charts import Chart
from touchstone.report.comparison import NOISE, TOO_FEW, UNCERTAIN, Change, Comparison
from touchstone.report.html import sentence
from touchstone.report.json_report import fields
from touchstone.report.load_charts import nines_of, percentile_chart, scale_of
from touchstone.report.terminal import inert, say, table
from touchstone.report.terminal import render as render_text
from touchstone.rules.verdict import ClaimVerdict, RunVerdict

SCHEMA_VERSION = 1
_STYLES = {"slower": "bold red", "faster": "bold green", "more": "bold", "less": "bold"}
_STYLES |= dict.fromkeys((NOISE, UNCERTAIN, TOO_FEW), "dim")
_TONES = {"slower": "broken", "faster": "upheld", "more": "indeterminate", "less": "indeterminate"}
_NAMES = {"throughput_per_s": "served per second", "error_share": "errors", "refused_share": "refused (429)"}


def write(both: Comparison, console: Console, page: Path | None = None, exit_code: int = 0) -> None:
    """Writes the comparison and the path of its HTML *page* to *console*; the last line is the result."""
    render_text(
        console, "compare.txt.j2", {"load": lambda: _write_load(both, console)}, **_values(both), page=str(page or "")
    )
    say(console, f"exit {exit_code}: {both.reason}", "bold")


def _values(both: Comparison) -> Mapping[str, Any]:
    logs = (both.before, both.after)
    return {
        "both": both,
        "runs": [(letter, log, describe_run(log)) for letter, log in zip("AB", logs, strict=True)],
        "sentence": sentence,
        "limits": limits,
        "apart": describe_apart,
        "statistic": describe_statistic,
        "value": describe_value,
    }


def _write_load(both: Comparison, console: Console) -> None:
    rows: list[list[str | Text]] = []
    for one in both.operations:
        counts = ("–" if count is None else f"{count:,}" for count in one.counts)
        rows.append([Text(inert(scope_text(one.name)), "bold"), *counts, "", ""])
        # The table leaves out p95, which adds little to p90 and p99.
        for change in (each for each in one.changes if each.has_value and each.statistic != "p95_s"):
            values = (describe_value(change, value) for value in (change.before, change.after))
            verdict = Text(change.verdict.removesuffix(" beyond noise"), _STYLES[change.verdict])
            rows.append([f"  {describe_statistic(change)}", *values, describe_apart(change), verdict])
    title = "response time" if both.is_timed else "service time"
    table(console, (title, ">A", ">B", "difference", ""), rows, title.capitalize(), wide=False)


def render(both: Comparison) -> str:
    """HTML page of the comparison."""
    alike = "Too little data" if both.is_open else f"No difference{' beyond noise' if both.is_load else ''}"
    return html.page(
        "compare.html.j2",
        ("report.css", "load.css"),
        ("report.js",),
        **_values(both),
        headline="The runs differ" if both.differs else alike,
        kind=limits.kind_of_run(both.after).partition(" (")[0],
        charts=_overlays(both),
        symbols=html.SYMBOLS,
        tones=_TONES,
        scope_text=scope_text,
    )


def _overlays(both: Comparison) -> tuple[Chart, ...]:
    if not both.is_load:
        return ()
    drawn = [one for one in both.operations if len(both.operations) != 2 or one.name != ALL]
    pairs = [(one.name, [span for span in one.spans if span]) for one in drawn if all(one.spans)]
    nines = nines_of(span.count for _, spans in pairs for span in spans)
    charts = []
    for name, spans in pairs:
        curves = [
            (css, f"{letter}:", f"{letter}, {plural(span.count, 'sample')}", span)
            for css, letter, span in zip(("run-a", "run-b"), "AB", spans, strict=True)
        ]
        # Each chart has its own axis, because its two curves lie close together.
        title = scope_text(name).capitalize() if name == ALL else name
        charts.append(percentile_chart(title, curves, nines, scale_of(curves)))
    return tuple(charts)


def render_json(both: Comparison, exit_code: int = 0) -> str:
    """The comparison as JSON in ASCII, with all texts in full."""
    claims = both.claims
    lists: dict[str, list[Any]] = {
        group.replace(" ", "_"): [_claim(turn.after) | {"before": turn.before.verdict} for turn in turns]
        for group, turns in claims.turned.items()
    }
    lists |= {"removed": list(map(_claim, claims.only_before)), "added": list(map(_claim, claims.only_after))}
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "exit_code": exit_code,
        **fields(both, "reason", "differs"),
        "runs": {"a": _run(both.before, claims.before), "b": _run(both.after, claims.after)},
        "unlike": both.unlike,
        "counts": {
            **{key: len(rows) for key, rows in lists.items()},
            "unasked": claims.selected_once,
            "new_findings": len(claims.new),
            "gone_findings": len(claims.gone),
        },
        "claims": lists,
        "findings": {"new": list(map(_finding, claims.new)), "gone": list(map(_finding, claims.gone))},
        "answers": [],
    }
    changes = [(one, list(map(_change, one.changes))) for one in both.operations]
    if both.is_load:
        document["load"] = [{"operation": one.name, "statistics": rows} for one, rows in changes]
    else:
        document["answers"] = [{"operation": one.name, "counts": one.counts, "times": rows} for one, rows in changes]
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def _run(log: RunLog, verdict: RunVerdict) -> dict[str, Any]:
    return {
        **fields(log.header, "id=run_id command target=target.name url=target.url started_at"),
        "duration_s": log.footer.duration_s if log.footer else None,
        **fields(verdict, "exit_code", "reason"),
        **fields(log.header, "contract_sha256", "tool_version"),
    }


def _claim(item: ClaimVerdict) -> dict[str, Any]:
    return fields(item.claim, "id", "level") | fields(item, "verdict", "reason")


def _finding(finding: Finding) -> dict[str, Any]:
    return fields(finding, "id", "claim", "level", "operation", "expected", "actual")


def _change(change: Change) -> dict[str, Any]:
    apart = asdict(change.apart) if change.apart else None
    sides = {"a": change.before, "b": change.after}
    values = {side: value if isfinite(value) else None for side, value in sides.items()}
    return fields(change, "statistic") | values | {"apart": apart, "verdict": change.verdict}


def describe_run(log: RunLog) -> str:
    """Describes a run on one line: id, command or load, target, and time of the start."""
    header, workload = log.header, log.workload
    what = header.command
    if workload:
        what = f"{workload.scenario}, {workload.arrivals} for {brief(workload.duration_s)}"
    target = header.target
    where = target.url if target.name in ("", "url") else target.name
    return f"{header.run_id}: {what}, {where}, {html.when(header.started_at)}"


def describe_statistic(change: Change) -> str:
    """Display name of a statistic."""
    if change.statistic in _NAMES:
        return _NAMES[change.statistic]
    return name_of(float(f"0.{change.statistic.removeprefix('p').removesuffix('_s')}"))


def describe_value(change: Change, value: float) -> str:
    """A value with its unit."""
    if change.statistic.endswith("_share"):
        return percentage(value)
    return figure(value, 4) if change.statistic.endswith("_per_s") else brief(value)


def describe_apart(change: Change) -> str:
    """Describes a difference with its interval; if there are too few samples, how many there are and are needed."""
    apart = change.apart
    if apart is None:
        return change.lack
    unit = " points" if change.statistic.endswith("_share") else " %"
    # A difference just above -100 % must not be shown as -100 %.
    value, low, high = (
        "-99.9" if -1 < one < -0.999 else figure(100 * one, 2, sign="+") for one in (apart.value, apart.low, apart.high)
    )
    return f"{value}{unit} ({low} to {high})"
