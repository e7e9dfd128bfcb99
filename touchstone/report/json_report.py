"""The view of a run as report.json: for programs, so nothing is cut and nothing is rounded to please."""

import json
from dataclasses import asdict
from math import isfinite
from typing import Any

from touchstone.facts.identity import Tier
from touchstone.loadgen.capacity import Capacity
from touchstone.loadgen.lateness import Punctuality, WorkerLine
from touchstone.loadgen.metrics import Operation, Times, Traffic
from touchstone.report.load_sentences import describe_beyond, describe_capacity, describe_generator
from touchstone.report.load_view import LimitLine, LoadView
from touchstone.report.probe_view import Advice, KneeView, ProbeView
from touchstone.report.view import FindingView, View
from touchstone.rules.verdict import ClaimVerdict

SCHEMA_VERSION = 1


def render(view: View) -> str:
    """The report as JSON text, ASCII only, keys in the order of the documentation."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "run": _run(view),
        "claims": list(map(_claim, view.verdict.claims)),
        "findings": list(map(_finding, view.findings)),
        **fields(view, "counts", "cases", "warnings", "left_behind", "may_be_left"),
    }
    if view.load:
        document["load"] = _load(view.load)
    if view.probe:
        document["probe"] = _probe(view.probe)
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def fields(value: object, *names: str) -> dict[str, Any]:
    """The attributes of a value with these names."""
    return {name: getattr(value, name) for name in names}


def _run(view: View) -> dict[str, Any]:
    header = view.header
    return {
        "id": header.run_id,
        "target": header.target.name,
        "started_at": header.started_at,
        "duration_s": round(view.duration_s, 3),
        **fields(view, "exit_code", "reason", "interrupted"),
        **fields(header.target, "url", "kind"),
        "command": view.command,
        **fields(header, "profile", "seed", "strict", "claims_glob", "known", "contract_sha256", "tool_version"),
    }


def _claim(item: ClaimVerdict) -> dict[str, Any]:
    return {
        **fields(item.claim, "id", "level"),
        "verdict": item.verdict,
        "checks": [check.check for check in item.checks],
        **fields(item, "findings", "reason", "known"),
        **fields(item.claim, "sentence", "source"),
        "judgements": {check.check: fields(check, "held", "broken", "indeterminate") for check in item.checks},
    }


def _finding(item: FindingView) -> dict[str, Any]:
    finding = item.finding
    return {
        "claim": finding.claim,
        "level": item.claim.level,
        **fields(finding, "operation", "expected", "actual", "curl", "id", "check", "where"),
        **fields(item, "occurrences", "cases"),
        "evidence": finding.evidence,
    }


def _load(load: LoadView) -> dict[str, Any]:
    workload, numbers, silence = load.workload, load.numbers, load.silence
    planned = {"began_at_s" if name == "began_at" else name: value for name, value in asdict(workload).items()}
    planned.pop("limits")
    return {
        "workload": planned,
        "measured_s": numbers.measured_s,
        "total": {**_operation(numbers.total), "not_in_times": numbers.lasting},
        "operations": {one.name: _operation(one) for one in numbers.operations},
        "thresholds": list(map(_threshold, load.limits)),
        "capacity": _capacity(load.capacity) if load.capacity else None,
        "asked": dict(zip(("starts", "refused", "failed"), load.asked, strict=True)),
        "silent": {**fields(silence, "from_s", "unanswered", "cut_off"), "unanswered_in_all": silence.in_all}
        if silence
        else None,
        "pauses": [fields(one, "from_s", "to_s", "waiting") for one in load.pauses],
        "generator": _generator(load.kept, workload.began_at),
    }


def _operation(one: Operation) -> dict[str, Any]:
    return {
        **_traffic(one.whole),
        **fields(one, "unsent", "error_share", "refused_share", "kinds"),
        "outcomes": {row.outcome: _traffic(row) for row in one.outcomes},
    }


def _traffic(row: Traffic) -> dict[str, Any]:
    times = {"response": _times(row.response), "service": _times(row.service), "late": _times(row.late)}
    return {**fields(row, "count", "timed", "share", "rate_per_s"), **times}


def _times(times: Times | None) -> dict[str, Any] | None:
    if times is None:
        return None
    return {
        "count": times.count,
        "no_answer": times.never,
        **fields(times, "min_s", "mean_s"),
        **{one.key: one.value_s if isfinite(one.value_s) else None for one in times.percentiles},
        "max_s": times.max_s,
        "unsure": [one.key for one in times.percentiles if not one.sure],
    }


def _threshold(line: LimitLine) -> dict[str, Any]:
    reading = line.reading
    return {
        **fields(reading.limit, "operation", "statistic"),
        "limit": reading.limit.value,
        "bound": line.bound,
        "measured": reading.value,
        "margin_share": line.margin_share,
        "samples": reading.count,
        **fields(reading, "verdict", "reason"),
    }


def _capacity(found: Capacity) -> dict[str, Any]:
    room, refused = found.room, ("refused_full", "refused_below", "refused_needless", "refused_unsure")
    counted = ("is_full_host", "inside", "refused", "unbidden")
    clients = ("wanted", "at_once", "later", "gave_up", "still_trying", "turned_away", "failed", "tries")
    return {
        "says": describe_capacity(found),
        **fields(found, "finding", "at_least", "at_most", *refused),
        "refusals_say": found.told,
        "room": {**fields(room, *counted), "cancels": len(room.turns), "let_in": room.let_in} if room else None,
        "admitted": found.admitted,
        "busiest": {f"{span_s}_s": number for span_s, number in found.busiest.items()},
        "clients": {
            "says": describe_beyond(found),
            **fields(found.clients, *clients, "wait_p50_s", "wait_max_s"),
        },
    }


def _generator(kept: Punctuality, began_at: float) -> dict[str, Any]:
    return {
        "says": describe_generator(kept, began_at),
        **fields(kept, "kept_up", "scheduled", "sent", "unsent", "unwatched", "over_budget", "spent_at_s"),
        "unknown": kept.missing,
        "late": _times(kept.late),
        **fields(kept, "behind_from_s", "behind_s"),
        "workers": list(map(_worker, kept.workers)),
    }


def _worker(line: WorkerLine) -> dict[str, Any]:
    return {
        **fields(line.last, "number", "state", "assigned", "sent", "unsent"),
        "late": _times(line.late),
        **fields(line.last, "behind_from_s", "behind_s"),
        **fields(line, "cpu_share", "rss_bytes"),
        **fields(line.last, "clock_offset_s", "clock_error_s", "note"),
    }


def _probe(probe: ProbeView) -> dict[str, Any]:
    identity = probe.identity
    return {
        **fields(probe, "operation", "sentence"),
        **fields(identity, "sure", "why"),
        "family": identity.families[0].family if identity.families else "none",
        "text": identity.text,
        "tiers": list(map(_tier, identity.tiers)),
        "families": list(map(asdict, identity.families)),
        **fields(identity, "alike", "unlimited_to", "uncapped_to", "holds_to"),
        "others_share": asdict(identity.others_share),
        "cost": asdict(identity.cost),
        "failed": len(probe.failed),
        **fields(identity, "findings", "notes"),
        "steps": list(map(asdict, probe.steps)),
        "advice": _advice(probe.advice),
        "knee": _knee(probe.knee) if probe.knee else None,
    }


def _tier(tier: Tier) -> dict[str, Any]:
    numbers = {name: asdict(number) for name, number in tier.numbers.items()}
    return {**fields(tier, "family", "text"), "parameters": numbers, "options": tier.options}


def _advice(found: Advice) -> dict[str, Any]:
    """The settings of a client; null where the limiter does not ask for one."""
    pace = found.pace
    return {
        "rate_per_s": found.rate_per_s,
        "spacing_s": pace.spacing_s if pace and pace.spacing_s else None,
        "burst": pace.burst if pace else None,
        "rest_before_burst_s": pace.rest_s if pace else None,
        "wait_after_burst_s": pace.after_s if pace else None,
        "parallel_requests": pace.at_once if pace else None,
        "parallel_builds": pace.in_flight if pace else None,
        "wait_after_429_s": pace.free_s if pace else None,
        "refused_requests_count": pace.harmful if pace else None,
        "retry_after_contradicted": not found.retry_after,
        **fields(found, "families", "lines"),
    }


def _knee(view: KneeView) -> dict[str, Any]:
    trials = [asdict(tried.trial) | {"told": tried.mark} | asdict(tried.outcome) for tried in view.tried]
    for trial in trials:
        trial.pop("blocks")
    return {"told": view.knee.is_known, "sentence": view.sentence, **asdict(view.knee), "trials": trials}
