"""A comparison of two runs on a terminal, as a page, and as compare.json."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from touchstone.facts.events import RunLog
from touchstone.facts.finding import Finding
from touchstone.facts.wording import brief, clipped, figure, percentage, plural
from touchstone.loadgen.metrics import FEW, Times, name_of
from touchstone.loadgen.thresholds import scope_text
from touchstone.report import html
from touchstone.report.charts import Chart, Key, Log, Shape
from touchstone.report.compare_loads import (
    MATTERS,
    MATTERS_POINTS,
    NOISE,
    TOO_FEW,
    UNCERTAIN,
    AnswerTimes,
    Change,
    LoadComparison,
    OperationChange,
)
from touchstone.report.comparison import GROUPS, Comparison, Turn, kind_of_run
from touchstone.report.json_report import fields
from touchstone.report.load_charts import curve, curve_shapes, nines_axis, nines_of
from touchstone.report.load_sentences import describe_capacity, describe_workload
from touchstone.report.resampling import CONFIDENCE, FEWEST_BLOCKS, ROUNDS
from touchstone.report.terminal import inert, say, table
from touchstone.report.terminal import render as render_text
from touchstone.rules.verdict import ClaimVerdict, RunVerdict

SCHEMA_VERSION = 1
_STYLES = {"slower": "bold red", "faster": "bold green", "more": "bold", "less": "bold"}
_STYLES |= dict.fromkeys((NOISE, UNCERTAIN, TOO_FEW), "dim")
_TONES = {"slower": "broken", "faster": "upheld", "more": "indeterminate", "less": "indeterminate"}
_NAMES = {"throughput_per_s": "served a second", "error_share": "errors", "refused_share": "refused (429)"}
_SHARES = (0.5, 0.9, 0.99, 0.999)


def write(comparison: Comparison, console: Console, page: Path | None = None, exit_code: int = 0) -> None:
    """Writes the comparison to *console*; the last line says what it comes to.

    Args:
        page: Where the report for a browser is.
    """
    load, claims, logs = comparison.load, comparison.claims, (comparison.before, comparison.after)
    capacities = zip("AB", load.capacities, strict=True) if load else ()
    lengths = (log.footer.duration_s if log.footer else 0.0 for log in logs)
    render_text(
        console,
        "compare.txt.j2",
        {"load": lambda: _write_load(load, console)} if load else {},
        both=comparison,
        runs=list(zip("AB", map(describe_run, logs), strict=True)),
        method=describe_method(load) if load else "",
        capacities=[(letter, describe_capacity(found)) for letter, found in capacities if found],
        changes={
            **{f"Claims {group}": list(map(_describe_turn, claims.turned_by(group))) for group in GROUPS},
            "New findings, in B only": list(map(_describe_finding, claims.new)),
            "Gone findings, in A only": list(map(_describe_finding, claims.gone)),
            "Claims that B does not know": [f"{one.claim.id}: {one.verdict}" for one in claims.only_before],
            "Claims that A does not know": [f"{one.claim.id}: {one.verdict}" for one in claims.only_after],
        },
        differing=[_answer_times(one) for one in comparison.answers if one.differ],
        lengths=" and ".join(f"{seconds:.1f} s" for seconds in lengths),
        page=str(page or ""),
    )
    say(console, f"exit {exit_code}: {comparison.reason}", "bold")


def _answer_times(one: AnswerTimes) -> str:
    changes = (
        f"{describe_statistic(change)} {describe_value(change, change.before)}, "
        f"{describe_value(change, change.after)}: {describe_apart(change)}, {change.verdict}"
        for change in one.changes
        if change.apart
    )
    return f"{one.operation} ({one.counts[0]:,} and {one.counts[1]:,} answers): {'; '.join(changes)}"


def _write_load(load: LoadComparison, console: Console) -> None:
    rows: list[list[str | Text]] = []
    for one in load.operations:
        rows.append([Text(inert(scope_text(one.name)), "bold"), *map(_count, (one.before, one.after)), "", ""])
        for change in _changes(one):
            values = (describe_value(change, value) for value in (change.before, change.after))
            verdict = Text(change.verdict.removesuffix(" beyond noise"), _STYLES[change.verdict])
            rows.append([f"  {describe_statistic(change)}", *values, describe_apart(change), verdict])
    title = "response time" if load.timed else "service time"
    table(console, (title, ">A", ">B", "difference", ""), rows, title.capitalize(), wide=False)


def _changes(one: OperationChange) -> list[Change]:
    """Those that say something: p95 says little beside its neighbours."""
    return [change for change in (*one.times, *one.counted) if change.statistic != "p95_s" and change.tells]


def _count(side: object) -> str:
    whole = getattr(side, "whole", None)
    return f"{whole.count:,}" if whole else "–"


def _describe_turn(turn: Turn) -> str:
    reason = f" ({clipped(turn.after.reason, 120)})" if turn.after.reason else ""
    return f"{turn.after.claim.id}: {turn.before.verdict} → {turn.after.verdict}{reason}"


def _describe_finding(finding: Finding) -> str:
    return f"{finding.claim}: {finding.operation or 'request'}, expected {finding.expected}; actual {finding.actual}"


def render(comparison: Comparison) -> str:
    """The comparison as an HTML page."""
    load = comparison.load
    return html.page(
        "compare.html.j2",
        ("report.css", "load.css"),
        ("report.js",),
        both=comparison,
        load=load,
        headline=_headline(comparison),
        runs=[(letter, log, describe_run(log)) for letter, log in (("A", comparison.before), ("B", comparison.after))],
        kind=kind_of_run(comparison.after).partition(" (")[0],
        charts=_overlays(load) if load else (),
        method=describe_method(load) if load else "",
        groups=GROUPS,
        symbols=html.SYMBOLS,
        tones=_TONES,
        named=scope_text,
        apart=describe_apart,
        statistic=describe_statistic,
        value=describe_value,
        describe_capacity=describe_capacity,
        describe_workload=describe_workload,
    )


def _headline(comparison: Comparison) -> str:
    if comparison.differs:
        return "The two runs differ"
    if comparison.is_open:
        return "Too little to tell"
    return "No difference beyond noise" if comparison.load else "No difference"


def _overlays(load: LoadComparison) -> tuple[Chart, ...]:
    """For each operation that both runs timed, their percentile curves over each other."""
    pairs = [(one, _times(one, load)) for one in load.operations if len(load.operations) != 2 or one.name != "*"]
    drawn = [(one, times) for one, times in pairs if times]
    nines = nines_of(time.count for _, times in drawn for time in times)
    return tuple(_overlay(one, times, nines) for one, times in drawn)


def _times(one: OperationChange, load: LoadComparison) -> tuple[Times, Times] | None:
    if one.before is None or one.after is None:
        return None
    before, after = one.before.whole, one.after.whole
    first, second = (before.response, after.response) if load.timed else (before.service, after.service)
    return (first, second) if first and second else None


def _overlay(one: OperationChange, times: tuple[Times, Times], nines: float) -> Chart:
    # An axis of its own: what is compared lies close together.
    scale = Log(min(time.cells.quantile_s(0.01) for time in times), max(time.cells.quantile_s(0.999) for time in times))
    shapes: list[Shape] = []
    for time, css in zip(times, ("run-a", "run-b"), strict=True):
        shapes += curve_shapes(curve(time.cells, nines, time.never), css, nines, scale)
    values = (
        ", ".join(f"{time.at(share).name} {brief(time.at(share).value_s)}" for share in _SHARES) for time in times
    )
    return Chart(
        title=scope_text(one.name).capitalize() if one.name == "*" else one.name,
        caption="; ".join(f"{letter}: {text}" for letter, text in zip("AB", values, strict=True)),
        x=nines_axis(nines),
        y=scale.axis("time"),
        shapes=tuple(shapes),
        keys=tuple(
            Key(css, f"{letter}, {plural(time.count, 'sample')}", "line")
            for css, letter, time in zip(("run-a", "run-b"), "AB", times, strict=True)
        ),
        height_px=210,
    )


def render_json(comparison: Comparison, exit_code: int = 0) -> str:
    """The comparison as JSON text, ASCII only; nothing is cut."""
    claims = comparison.claims
    groups = {group.replace(" ", "_"): claims.turned_by(group) for group in GROUPS}
    turned = {
        key: [_claim(turn.after) | {"before": turn.before.verdict} for turn in turns] for key, turns in groups.items()
    }
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "exit_code": exit_code,
        **fields(comparison, "reason", "differs"),
        "runs": {"a": _run(comparison.before, claims.before), "b": _run(comparison.after, claims.after)},
        "unlike": list(map(asdict, comparison.unlike)),
        "counts": {
            **{key: len(turns) for key, turns in groups.items()},
            "removed": len(claims.only_before),
            "added": len(claims.only_after),
            "unasked": claims.unasked,
            "new_findings": len(claims.new),
            "gone_findings": len(claims.gone),
        },
        "claims": {
            **turned,
            "removed": list(map(_claim, claims.only_before)),
            "added": list(map(_claim, claims.only_after)),
        },
        "findings": {"new": list(map(_finding, claims.new)), "gone": list(map(_finding, claims.gone))},
        "answers": [
            fields(one, "operation", "counts") | {"times": list(map(_change, one.changes))}
            for one in comparison.answers
        ],
    }
    if comparison.load:
        document["load"] = [
            {"operation": one.name, "statistics": list(map(_change, (*one.times, *one.counted)))}
            for one in comparison.load.operations
        ]
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def _run(log: RunLog, verdict: RunVerdict) -> dict[str, Any]:
    header = log.header
    return {
        "id": header.run_id,
        "command": header.command,
        "target": header.target.name,
        "url": header.target.url,
        "started_at": header.started_at,
        "duration_s": log.footer.duration_s if log.footer else None,
        **fields(verdict, "exit_code", "reason"),
        **fields(header, "contract_sha256", "tool_version"),
    }


def _claim(item: ClaimVerdict) -> dict[str, Any]:
    return fields(item.claim, "id", "level") | fields(item, "verdict", "reason")


def _finding(finding: Finding) -> dict[str, Any]:
    return fields(finding, "id", "claim", "level", "operation", "expected", "actual")


def _change(change: Change) -> dict[str, Any]:
    apart = asdict(change.apart) if change.apart else None
    return {
        "statistic": change.statistic,
        "a": change.before,
        "b": change.after,
        "apart": apart,
        "verdict": change.verdict,
    }


def describe_run(log: RunLog) -> str:
    """One run in a line."""
    header, workload = log.header, log.workload
    when = header.started_at.replace("T", " ").partition(".")[0].removesuffix("Z")
    what = header.command
    if workload:
        what = f"{workload.scenario}, {workload.arrivals} for {brief(workload.duration_s)}"
    target = header.target
    where = target.url if target.name in ("", "url") else target.name
    return f"{header.run_id}: {what}, {where}, {when} UTC"


def describe_statistic(change: Change) -> str:
    """A statistic as people call it."""
    if change.statistic in _NAMES:
        return _NAMES[change.statistic]
    return name_of(float(f"0.{change.statistic.removeprefix('p').removesuffix('_s')}"))


def describe_value(change: Change, value: float | None) -> str:
    """A value with its unit."""
    if value is None:
        return "–"
    if change.statistic.endswith("_share"):
        return percentage(value)
    return figure(value, 4) if change.statistic.endswith("_per_s") else brief(value)


def describe_apart(change: Change) -> str:
    """How far two values are apart, with the interval; of too few samples, how many there are and are needed."""
    if change.lack:
        return f"{change.lack.have:,} of {change.lack.need:,} {change.lack.what}s"
    if change.apart is None:
        return ""
    unit = " points" if change.statistic.endswith("_share") else " %"
    value, low, high = map(_describe_bound, (change.apart.value, change.apart.low, change.apart.high))
    return f"{value}{unit} ({low} to {high})"


def _describe_bound(bound: float) -> str:
    # A hair above -100 % is not all of it.
    return "-99.9" if -1 < bound < -0.999 else figure(100 * bound, 2, sign="+")


def describe_method(load: LoadComparison) -> str:
    """How it is told what is noise, and what that cannot see."""
    blocks = " and ".join(dict.fromkeys(f"{seconds} s" for seconds in load.block_s))
    rated = " and ".join(dict.fromkeys(f"{seconds:,} s" for seconds in load.rated_s))
    return (
        f"Served a second is over {rated}, the whole seconds of the schedule, or of the run where all arrive at once: "
        "what was due in them and was served, whenever that was. The report of a run has other rates: of all that was "
        "sent, over the time that it names. "
        f"In brackets: the interval that holds the difference with {100 * CONFIDENCE:.0f} % confidence, by a block "
        f"bootstrap ({ROUNDS:,} seeded rounds over blocks of {blocks} of either run, widened for few blocks; times and "
        "rates by the logarithm of their quotient). Where it holds 0, there is no difference beyond noise; of twenty "
        "such intervals of equal runs one is expected not to. Noise is what varied within each run: what differs from "
        "run to run, such as another machine or a busy neighbour, is not in it. Too uncertain: it holds 0, and also a "
        f"difference of more than {100 * MATTERS:.0f} % or {100 * MATTERS_POINTS:.0f} points, or requests without an "
        f"answer are in it. Too few: fewer than {FEW} samples beyond a percentile, fewer than {FEW} events, or fewer "
        f"than {FEWEST_BLOCKS} blocks with any. Times leave out what was refused or failed."
    )
