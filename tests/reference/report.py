"""The page about report.json: each field of the reports of runs that tests make, with its types and what it is."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests import loadlogs
from tests.knee.queueing import Queue, searched
from tests.reference.docstrings import attributes
from tests.reference.marks import code, table
from tests.reference.notes import SAYS
from tests.report import conftest as logs
from tests.report.probelogs import run_of, story
from tests.report.test_load_text import limited
from touchstone.facts import events
from touchstone.facts.finding import Finding
from touchstone.facts.identity import Cost, Identity, Interval, Runner, Step, Tier
from touchstone.facts.probe_events import Knee, KneeTerms, Outcome, Trial
from touchstone.facts.runlog import read
from touchstone.loadgen import capacity, metrics, not_judged
from touchstone.loadgen.thresholds import Reading
from touchstone.report import json_report, view
from touchstone.report.load_view import LimitLine

BEGINNING = """
# report.json

What a run says to programs, schema version {version}. Nothing in it is cut or rounded to please. Fields may be added
within a version, none is removed. `[]` is each member of a list, `*` each name of an object. Shares are from 0 to 1;
names that end in `_s` are seconds. The exit code of the run is in `run.exit_code`. Keys never stand in it.
"""

# What the values of a field are made from, so that its sentence is said once: there.
FROM: Mapping[str, tuple[type, ...]] = {
    "run": (events.Header,),
    "claims[]": (events.LedgerClaim,),
    "findings[]": (Finding,),
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
# Objects whose names are data: an operation, a status, a family.
BY_NAME = ("claims[].judgements", "load.operations", "probe.tiers[].parameters", "probe.tiers[].options")
BY_NAME_ENDINGS = (".families", ".mix", ".kinds", ".outcomes", ".options", ".scheduled", ".busiest", ".shares", "cases")
# One place tells of what stands in many.
REPEATED = ("response", "service", "late")


@dataclass(slots=True)
class Met:
    """What was met at one path in the reports."""

    types: dict[str, None] = field(default_factory=dict)


def page() -> str:
    """The page."""
    met: dict[str, Met] = {}
    for document in documents():
        _walk("", document, met)
    parts = [BEGINNING.strip().format(version=json_report.SCHEMA_VERSION)]
    for title, top in (("Every run", ""), ("Load runs", "load"), ("Probes", "probe")):
        rows = [
            (code(path), _types(one), said(path))
            for path, one in sorted(met.items(), key=lambda item: _place(item[0], list(met)))
            if _top(path) == top and not path.endswith("[]")
        ]
        parts += [f"## {title}", table(("field", "type", "is"), rows)]
    return "\n\n".join(parts)


def documents() -> Iterator[dict[str, Any]]:
    """The reports of a check that passes, one that fails, one cut short, loads and probes."""
    with tempfile.TemporaryDirectory() as folder:
        for write in (logs.write_passing, logs.write_failing, logs.write_interrupted):
            yield _rendered(view.view(read(write(Path(folder) / f"{write.__name__}.jsonl"))))
    for log in (loadlogs.Storm().run(), loadlogs.steady(), loadlogs.behind(), loadlogs.four_workers()):
        yield _rendered(_with_all(view.view(limited(log))))
    for text in ("token-bucket:10/1,burst=5", "none"):
        made: Any = story(text)
        if text == "none":
            made = story(text, operation="getBuild")
            search, made.knee = searched(Queue(), 1)
            made.probing.knee, made.tried = KneeTerms(Queue().slo_s, 25_000), tuple(search.tried)
        yield _rendered(run_of(made))


def _with_all(seen: view.View) -> view.View:
    """The report of a load with what few runs meet: a target that fell silent, pauses, and a client that made room."""
    load = seen.load
    assert load is not None
    found = replace(load.capacity, room=capacity.Room(0, 1, 2, 0, ())) if load.capacity else None
    met = replace(load, silence=not_judged.Fallen(1, 2, 0, 2), pauses=(not_judged.Pause(1, 2, 3),), capacity=found)
    return replace(seen, load=met)


def said(path: str) -> str:
    """What a field is; empty where the code does not say it."""
    parent, _, name = path.rpartition(".")
    known = {key: text for kind in FROM.get(parent, ()) for key, text in attributes(kind).items()}
    return SAYS.get(path) or known.get(name) or SAYS.get(f"*.{name}", "")


def _types(one: Met) -> str:
    """What a field may be; of a list that was empty once nothing is said where it held something at another time."""
    is_told = any(name.startswith("list of") for name in one.types)
    return " or ".join(name for name in one.types if not (is_told and name == "list"))


def _place(path: str, met: list[str]) -> tuple[int, ...]:
    """Where a field stands: within what holds it, in the order in which its neighbours were met."""
    pieces = path.split(".")
    return tuple(met.index(".".join(pieces[: length + 1])) for length in range(len(pieces)))


def _rendered(seen: view.View) -> dict[str, Any]:
    return dict(json.loads(json_report.render(seen)))


def _top(path: str) -> str:
    first = path.split(".", maxsplit=1)[0]
    return first if first in ("load", "probe") else ""


def _walk(path: str, value: Any, met: dict[str, Met]) -> None:
    if path:
        met.setdefault(path, Met()).types[_type(value)] = None
    if isinstance(value, dict):
        if path.rpartition(".")[2] in REPEATED and not path.startswith("load.total."):
            return
        named = path in BY_NAME or path.endswith(BY_NAME_ENDINGS)
        for name, one in value.items():
            _walk(f"{path}.{'*' if named else name}".lstrip("."), one, met)
    elif isinstance(value, list):
        for one in value:
            if isinstance(one, dict | list):
                _walk(f"{path}[]", one, met)


def _type(value: Any) -> str:
    if isinstance(value, list):
        inner = dict.fromkeys(_type(one) for one in value)
        return f"list of {'s or '.join(inner)}s" if inner else "list"
    for kind, name in ((bool, "true or false"), (str, "text"), (int | float, "number"), (dict, "object")):
        if isinstance(value, kind):
            return name
    return "null"
