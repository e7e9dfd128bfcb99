"""What two load runs had not in common to do, in words, so that a difference may be its doing; pure.

What says nothing about the load is left out: a seed, the folder that a trace lies in, the port of a server on this
machine, weights that come to the same shares, and options that the scenario or the model has no use for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import PurePath
from typing import Any
from urllib.parse import urlsplit

from touchstone.facts.events import RunLog
from touchstone.facts.figures import percentage
from touchstone.facts.load_events import Workload
from touchstone.loadgen.workloads import SCENARIOS

_UNUSED = "–"


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Something that the two workloads have not in common."""

    what: str
    before: str
    after: str


def mismatches(before: RunLog, after: RunLog) -> tuple[Mismatch, ...]:
    """What two load runs had not in common, the most telling first."""
    first, second = dict(_told(before)), dict(_told(after))
    pairs = ((what, first.get(what, _UNUSED), second.get(what, _UNUSED)) for what in (first | second))
    return tuple(Mismatch(*pair) for pair in pairs if pair[1] != pair[2])


def _told(log: RunLog) -> Mapping[str, str]:
    workload = log.workload
    assert workload is not None
    told = {
        "target": _target(log),
        "scenario": workload.scenario,
        "model": workload.model,
        "arrivals": _arrivals(workload),
        "duration": f"{workload.duration_s:g} s",
        "workers": str(workload.workers),
    }
    options = ((name, workload.options.get(name)) for name in _OPTIONS if _matters(name, workload))
    return told | {_OPTIONS[name][0]: _words(name, value) for name, value in options if value is not None}


def _words(option: str, value: Any) -> str:
    try:
        return _OPTIONS[option][1](value)
    except (TypeError, ValueError, AttributeError):
        return str(value)  # a log that somebody else wrote may hold anything


def _target(log: RunLog) -> str:
    target = log.header.target
    # The embedded twin has another port each time, and is the same server all the same.
    if target.kind == "embedded":
        return "the embedded twin"
    return "a server on this machine" if _is_here(urlsplit(target.url).hostname or "") else target.url


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _arrivals(workload: Workload) -> str:
    kind, _, path = workload.arrivals.partition(":")
    if kind != "trace":
        return workload.arrivals
    return f"trace {PurePath(path).name} of {sum(workload.scheduled.values()):,}"


def _matters(option: str, workload: Workload) -> bool:
    if option == "users":
        return workload.model == "closed"
    chosen = SCENARIOS.get(workload.scenario)
    return chosen is None or chosen.heeds(option.replace("_", "-"))


def _mix(weights: Mapping[str, float]) -> str:
    whole = sum(weights.values()) or 1.0
    return ", ".join(f"{name} {percentage(weight / whole)}" for name, weight in sorted(weights.items()) if weight)


# By option what people call it, and how a value is told.
_OPTIONS: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "mix": ("mix", _mix),
    "users": ("clients", "{:,}".format),
    "builds": ("builds", "{:,}".format),
    "watchers": ("watchers of a build", "{:,}".format),
    "build_s": ("steps of a build", "{:g} s".format),
    "lines": ("lines of a followed build", "{:,}".format),
    "max_requests": ("requests at most", "{:,}".format),
}
