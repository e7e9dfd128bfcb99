"""report.json of a run, for programs, with all texts in full: its writer and its reader."""

import json
import tomllib
from dataclasses import asdict
from math import isfinite
from operator import attrgetter
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from touchstone.contract.files import RECORDED_BYTES, read_regular
from touchstone.errors import UsageError, quoted
from touchstone.facts.events import RunLog
from touchstone.loadgen.capacity import Capacity
from touchstone.loadgen.metrics import Operation, Times, Traffic
from touchstone.report.html import sentence
from touchstone.report.picture import Picture
from touchstone.report.probe_view import KneeView, ProbeView
from touchstone.report.view import LoadView, View

SCHEMA_VERSION = 1

_FIELDS: dict[str, str] = tomllib.loads((Path(__file__).parent / "assets" / "report_json.toml").read_text("utf-8"))


def fields(value: object, *names: str) -> dict[str, Any]:
    """Attributes of *value* as a dictionary. The name ``key=path.to.it`` puts a nested attribute under ``key``."""
    pairs = (name.partition("=") for name in " ".join(names).split())
    return {key: attrgetter(path or key)(value) for key, _, path in pairs}


def render(view: View) -> str:
    """The report as JSON in ASCII."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "run": fields(view, _FIELDS["run"]) | {"duration_s": round(view.duration_s, 3)},
        "claims": [
            fields(item, _FIELDS["claim"])
            | {"checks": [check.check for check in item.checks]}
            | {"judgements": {check.check: fields(check, "held broken indeterminate") for check in item.checks}}
            for item in view.verdict.claims
        ],
        "findings": [
            fields(item, _FIELDS["finding"]) | {"history": _history(item.picture) if item.picture else None}
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
        "lanes": [fields(lane, _FIELDS["lane"]) for lane in picture.lanes],
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
        "thresholds": [fields(line, _FIELDS["threshold"]) for line in load.limits],
        "capacity": _capacity(load.capacity) if load.capacity else None,
        "asked": dict(zip(("starts", "refused", "failed"), load.closing_counts, strict=True)),
        "silent": fields(silence, "from_s unanswered cut_off unanswered_in_all=in_all") if silence else None,
        "pauses": [fields(one, "from_s to_s waiting") for one in load.pauses],
        "generator": {
            "says": sentence("generator", load.kept, load.workload.began_at),
            **fields(load.kept, _FIELDS["generator"]),
            "late": _times(load.kept.late),
            "workers": [fields(line, _FIELDS["worker"]) | {"late": _times(line.late)} for line in load.kept.workers],
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
    room = found.room and fields(found.room, _FIELDS["room"]) | {"cancels": len(found.room.turns)}
    return {
        "says": sentence("capacity", found),
        **fields(found, _FIELDS["capacity"]),
        "room": room,
        "busiest": {f"{span_s}_s": number for span_s, number in found.busiest.items()},
        "clients": {"says": sentence("beyond", found), **fields(found.clients, _FIELDS["clients"])},
    }


def _probe(probe: ProbeView) -> dict[str, Any]:
    identity, found, names = probe.identity, probe.advice.pace, _FIELDS["pace"]
    pace = fields(found, names) if found else {name.partition("=")[0]: None for name in names.split()}
    pace |= {"spacing_s": pace["spacing_s"] or None, "retry_after_contradicted": not probe.advice.retry_after}
    return {
        **fields(probe, _FIELDS["probe"]),
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
    expected = f"expected a report.json of schema version {SCHEMA_VERSION}"
    raise UsageError(f"{path}: {problem}; {expected}; `touchstone report` writes one")


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
