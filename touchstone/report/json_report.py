"""report.json of a run, for programs, with all texts in full: its writer and its reader."""

import json
from dataclasses import asdict
from math import isfinite
from operator import attrgetter
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from touchstone.contract.files import RECORDED_BYTES, read_regular
from touchstone.contract.quoting import quoted
from touchstone.errors import UsageError
from touchstone.facts.events import RunLog
from touchstone.loadgen.capacity import Capacity
from touchstone.loadgen.metrics import Operation, Times, Traffic
from touchstone.report.html import sentence
from touchstone.report.picture import Picture
from touchstone.report.probe_view import KneeView, ProbeView
from touchstone.report.view import LoadView, View

SCHEMA_VERSION = 1

_RUN = """
    id=header.run_id target=header.target.name started_at=header.started_at duration_s exit_code reason interrupted
    url=header.target.url kind=header.target.kind command profile=header.profile seed=header.seed strict=header.strict
    claims_glob=header.claims_glob known=header.known contract_sha256=header.contract_sha256
    contract_version=header.contract_version tool_version=header.tool_version
"""
_CLAIM = """
    id=claim.id level=claim.level since=claim.since verdict findings reason known new
    sentence=claim.sentence source=claim.source
"""
_FINDING = """
    claim=finding.claim level=claim.level operation=finding.operation expected=finding.expected actual=finding.actual
    curl=finding.curl id=finding.id check=finding.check where=finding.where occurrences cases evidence=finding.evidence
    known
"""
_LANE = """
    seq=exchange.seq operation=exchange.operation ref=exchange.ref status=exchange.status sent_at=exchange.sent_at
    done_at=exchange.done_at is_evidence text
"""
_THRESHOLD = """
    operation=reading.limit.operation statistic=reading.limit.statistic limit=reading.limit.value bound
    measured=reading.value margin_share samples=reading.count verdict=reading.verdict reason=reading.reason
"""
_CAPACITY = """
    finding at_least at_most refused_full refused_below refused_needless refused_unsure refusals_say=messages admitted
"""
_ROOM = "is_full_host inside refused unbidden let_in"
_CLIENTS = "wanted at_once later gave_up still_trying turned_away failed tries wait_p50_s wait_max_s"
_GENERATOR = """
    kept_up scheduled sent unsent unwatched over_budget spent_at_s unknown=missing behind_from_s behind_s
"""
_WORKER = """
    number=last.number state=last.state assigned=last.assigned sent=last.sent unsent=last.unsent
    behind_from_s=last.behind_from_s behind_s=last.behind_s cpu_share rss_bytes
    clock_offset_s=last.clock_offset_s clock_error_s=last.clock_error_s note=last.note
"""
_PROBE = """
    operation sentence sure=identity.sure why=identity.why text=identity.text alike=identity.alike
    unlimited_to=identity.unlimited_to uncapped_to=identity.uncapped_to holds_to=identity.holds_to
    findings=identity.findings notes=identity.notes
"""
_PACE = """
    spacing_s burst rest_before_burst_s=rest_s wait_after_burst_s=after_s parallel_requests=at_once
    parallel_builds=in_flight wait_after_429_s=free_s refused_requests_count=harmful
"""


def fields(value: object, *names: str) -> dict[str, Any]:
    """Attributes of *value* as a dictionary. The name ``key=path.to.it`` puts a nested attribute under ``key``."""
    pairs = (name.partition("=") for name in " ".join(names).split())
    return {key: attrgetter(path or key)(value) for key, _, path in pairs}


def render(view: View) -> str:
    """The report as JSON in ASCII."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "run": fields(view, _RUN) | {"duration_s": round(view.duration_s, 3)},
        "claims": [
            fields(item, _CLAIM)
            | {"checks": [check.check for check in item.checks]}
            | {"judgements": {check.check: fields(check, "held broken indeterminate") for check in item.checks}}
            for item in view.verdict.claims
        ],
        "findings": [
            fields(item, _FINDING) | {"history": _history(item.picture) if item.picture else None}
            for item in view.findings
        ],
        "baseline": [asdict(entry) for entry in view.header.baseline],
        **fields(view, "counts cases warnings left_behind may_be_left"),
    }
    if view.load:
        document["load"] = _load(view.load)
    if view.probe:
        document["probe"] = _probe(view.probe)
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def _history(picture: Picture) -> dict[str, Any]:
    return {
        "lanes": [fields(lane, _LANE) for lane in picture.lanes],
        "states": [{"from": start, "to": end, "possible": sorted(states)} for start, end, states in picture.periods],
        **fields(picture, "explained_until=explained_at allowed"),
        "unexplained": next(lane.exchange.seq for lane in picture.lanes if lane.decides),
    }


def _load(load: LoadView) -> dict[str, Any]:
    planned, numbers, silence = asdict(load.workload), load.numbers, load.silence
    planned["began_at_s"] = planned.pop("began_at")
    del planned["limits"]
    return {
        "workload": planned,
        "measured_s": numbers.measured_s,
        "total": {**_operation(numbers.total), "not_in_times": numbers.lasting},
        "operations": {one.name: _operation(one) for one in numbers.operations},
        "thresholds": [fields(line, _THRESHOLD) for line in load.limits],
        "capacity": _capacity(load.capacity) if load.capacity else None,
        "asked": dict(zip(("starts", "refused", "failed"), load.closing_counts, strict=True)),
        "silent": fields(silence, "from_s unanswered cut_off unanswered_in_all=in_all") if silence else None,
        "pauses": [fields(one, "from_s to_s waiting") for one in load.pauses],
        "generator": {
            "says": sentence("generator", load.kept, load.workload.began_at),
            **fields(load.kept, _GENERATOR),
            "late": _times(load.kept.late),
            "workers": [fields(line, _WORKER) | {"late": _times(line.late)} for line in load.kept.workers],
        },
    }


def _operation(one: Operation) -> dict[str, Any]:
    outcomes = {row.outcome: _traffic(row) for row in one.outcomes}
    shares = fields(one, "error_share refused_share kinds")
    return {**_traffic(one.whole), "unsent": one.kinds["unsent"], **shares, "outcomes": outcomes}


def _traffic(row: Traffic) -> dict[str, Any]:
    times = {name: _times(getattr(row, name)) for name in ("response", "service", "late")}
    return {**fields(row, "count timed share rate_per_s"), **times}


def _times(times: Times | None) -> dict[str, Any] | None:
    if times is None:
        return None
    return {
        **fields(times, "count no_answer=never min_s mean_s max_s"),
        **{one.key: one.value_s if isfinite(one.value_s) else None for one in times.percentiles},
        "unsure": [one.key for one in times.percentiles if not one.sure],
    }


def _capacity(found: Capacity) -> dict[str, Any]:
    room = found.room and fields(found.room, _ROOM) | {"cancels": len(found.room.turns)}
    return {
        "says": sentence("capacity", found),
        **fields(found, _CAPACITY),
        "room": room,
        "busiest": {f"{span_s}_s": number for span_s, number in found.busiest.items()},
        "clients": {"says": sentence("beyond", found), **fields(found.clients, _CLIENTS)},
    }


def _probe(probe: ProbeView) -> dict[str, Any]:
    identity, found = probe.identity, probe.advice.pace
    pace = fields(found, _PACE) if found else {name.partition("=")[0]: None for name in _PACE.split()}
    pace |= {"spacing_s": pace["spacing_s"] or None, "retry_after_contradicted": not probe.advice.retry_after}
    return {
        **fields(probe, _PROBE),
        "family": identity.families[0].family if identity.families else "none",
        "tiers": [
            fields(tier, "family text options")
            | {"parameters": {name: asdict(number) for name, number in tier.numbers.items()}}
            for tier in identity.tiers
        ],
        "families": list(map(asdict, identity.families)),
        "others_share": asdict(identity.others_share),
        "cost": asdict(identity.cost),
        "failed": len(probe.failed),
        "steps": list(map(asdict, probe.steps)),
        "advice": fields(probe.advice, "rate_per_s families lines") | pace,
        "knee": _knee(probe.knee) if probe.knee else None,
    }


def _knee(view: KneeView) -> dict[str, Any]:
    trials = [asdict(tried.trial) | {"told": tried.mark} | asdict(tried.outcome) for tried in view.tried]
    for trial in trials:
        del trial["blocks"]
    return {"told": view.knee.is_known, "sentence": view.sentence, **asdict(view.knee), "trials": trials}


def read(path: Path) -> RunLog:
    """Reads a report.json as a run log without exchanges; raises UsageError for an unreadable or another file."""
    try:
        document = json.loads(read_regular(path, RECORDED_BYTES))
        if document["schema_version"] == SCHEMA_VERSION:
            return TypeAdapter(RunLog).validate_python(_events(document))
        problem = f"schema_version is {quoted(document['schema_version'])}"
    except OSError as error:
        raise UsageError(f"{path}: the report cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        problem = f"{'.'.join(map(str, first['loc']))}: {first['msg']}, found {quoted(first['input'])}"
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        problem = f"{error} is missing" if isinstance(error, KeyError) else "not the report of a run"
    raise UsageError(
        f"{path}: {problem}; expected a report.json of schema version {SCHEMA_VERSION}; `touchstone report` writes one"
    )


def _events(document: dict[str, Any]) -> dict[str, Any]:
    """Fields of the run log. Pydantic drops what they have besides."""
    run, workload = document["run"], document["load"]["workload"] if "load" in document else None
    rows = [row | {"claim": row["id"], "subject": row["id"].partition(".")[0]} for row in document["claims"]]
    _, command, *_ = argv = run["command"].split()
    header = {"run_id": run["id"], "command": command, "argv": argv, "claims": rows}
    header["target"] = {"name": run["target"], "url": run["url"], "kind": run["kind"]}
    return {
        "header": run | header,
        "tallies": [row | {"case": "", "check": "", "held": 1} for row in rows if row["verdict"] == "upheld"],
        "notices": [row for row in rows if row["verdict"] not in ("upheld", "broken")],
        "occurrences": [{"finding": finding} for finding in document["findings"]],
        "workload": workload and workload | {"began_at": workload["began_at_s"]},
        "footer": run | {"ended_at": ""},
    }
