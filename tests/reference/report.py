"""The page about report.json: each field of the reports in tests/golden, with its types and its meaning."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.reference.docstrings import attributes
from tests.reference.marks import code, table
from tests.reference.notes import SAYS
from touchstone.facts import events
from touchstone.facts.finding import Finding
from touchstone.facts.identity import Cost, Identity, Interval, Runner, Step, Tier
from touchstone.facts.probe import Knee, Outcome, Trial
from touchstone.loadgen import capacity, metrics, not_judged
from touchstone.loadgen.thresholds import Reading
from touchstone.report import json_report
from touchstone.report.view import LimitLine

GOLDEN = Path(__file__).resolve().parents[1] / "golden"

BEGINNING = """
# report.json

The report for programs, schema version {version}. Numbers are not rounded. Within a version, fields may be added and
none is removed. `[]` is each member of a list, `*` each name of an object. Shares are from 0 to 1. Names that end in
`_s` are seconds. `run.exit_code` is the exit code. No field contains a key.
"""

# The dataclasses that document the members of a field.
FROM: Mapping[str, tuple[type, ...]] = {
    "run": (events.Header,),
    "claims[]": (events.LedgerClaim,),
    "findings[]": (Finding,),
    "baseline[]": (events.Known,),
    "load.workload": (events.Workload,),
    "load.thresholds[]": (events.Limit, Reading, LimitLine),
    "load.capacity": (capacity.Capacity,),
    "load.capacity.clients": (capacity.Clients,),
    "load.capacity.room": (capacity.Room,),
    "load.silent": (not_judged.Fallen,),
    "load.pauses[]": (not_judged.Pause,),
    "load.generator": (metrics.Punctuality,),
    "load.generator.workers[]": (events.Worker,),
    "load.total": (metrics.Operation, metrics.Traffic),
    "load.operations.*": (metrics.Operation, metrics.Traffic),
    "probe": (Identity,),
    "probe.tiers[]": (Tier,),
    "probe.families[]": (Runner,),
    "probe.cost": (Cost,),
    "probe.steps[]": (Step,),
    "probe.knee": (Knee,),
    "probe.knee.trials[]": (Trial, Outcome),
    "probe.others_share": (Interval,),
}
# Objects whose names are data, such as an operation or a status.
BY_NAME = ("claims[].judgements", "load.operations", "probe.tiers[].parameters", "probe.tiers[].options")
BY_NAME_ENDINGS = (".families", ".mix", ".kinds", ".outcomes", ".options", ".scheduled", ".busiest", ".shares", "cases")
# Objects with fields of another object, which alone has rows for them.
LIKE: Mapping[str, str] = {
    "load.total.service": "load.total.response",
    "load.total.late": "load.total.response",
    "load.operations.*": "load.total",
    "load.operations.*.outcomes.*": "load.total",
    "probe.knee.rate_per_s": "probe.tiers[].parameters.*",
    "probe.knee.missed": "probe.tiers[].parameters.*",
}
# Documented once, though they occur in many places.
REPEATED = ("response", "service", "late")


def page() -> str:
    """The page."""
    types: dict[str, dict[str, None]] = {}
    for kind in ("check", "load", "probe", "knee"):
        for path in sorted(GOLDEN.glob(f"{kind}-*.json")):
            _walk("", json.loads(path.read_text("utf-8")), types)
    parts = [BEGINNING.strip().format(version=json_report.SCHEMA_VERSION)]
    for title, top in (("Every run", ""), ("Load runs", "load"), ("Probes", "probe")):
        rows = [
            (code(path), _types(types[path]), description(path))
            for path in sorted(types, key=lambda path: _place(path, list(types)))
            if _top(path) == top and not path.endswith("[]") and not _is_known(path, types)
        ]
        parts += [f"## {title}", table(("field", "type", "meaning"), rows)]
    return "\n\n".join(parts)


def description(path: str) -> str:
    """Meaning of a field; empty if the code does not document it."""
    parent, _, name = path.rpartition(".")
    known = {key: text for kind in FROM.get(parent, ()) for key, text in attributes(kind).items()}
    text = SAYS.get(path) or known.get(name) or SAYS.get(f"*.{name}", "")
    return f"{text} Fields as in {code(LIKE[path])}.".strip() if path in LIKE else text


def _is_known(path: str, types: Mapping[str, object]) -> bool:
    """Whether a field needs no row: another object documents it, or its name is data and the object says it all."""
    parent, _, name = path.rpartition(".")
    return f"{LIKE.get(parent)}.{name}" in types or ("*" in path.split(".")[-2:] and not description(path))


def _types(types: Mapping[str, None]) -> str:
    """Types of a field; an empty list adds nothing to a list of known members."""
    has_members = any(name.startswith("list of") for name in types)
    return " or ".join(name for name in types if not (has_members and name == "list"))


def _place(path: str, paths: list[str]) -> tuple[int, ...]:
    pieces = path.split(".")
    return tuple(paths.index(".".join(pieces[: length + 1])) for length in range(len(pieces)))


def _top(path: str) -> str:
    first = path.split(".", maxsplit=1)[0]
    return first if first in ("load", "probe") else ""


def _walk(path: str, value: Any, types: dict[str, dict[str, None]]) -> None:
    if path:
        types.setdefault(path, {})[_type(value)] = None
    if isinstance(value, dict):
        if path.rpartition(".")[2] in REPEATED and not path.startswith("load.total."):
            return
        has_data_names = path in BY_NAME or path.endswith(BY_NAME_ENDINGS)
        for name, one in value.items():
            _walk(f"{path}.{'*' if has_data_names else name}".lstrip("."), one, types)
    elif isinstance(value, list):
        for one in value:
            if isinstance(one, dict | list):
                _walk(f"{path}[]", one, types)


def _type(value: Any) -> str:
    if isinstance(value, list):
        inner = dict.fromkeys(_type(one) for one in value)
        return f"list of {'s or '.join(inner)}s" if inner else "list"
    for kind, name in ((bool, "boolean"), (str, "text"), (int | float, "number"), (dict, "object")):
        if isinstance(value, kind):
            return name
    return "null"
