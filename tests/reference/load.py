"""
The page about load: scenarios with their defaults and thresholds, and the statistics that a threshold may be about.
"""

from collections.abc import Iterable

from tests.reference.marks import code, codes, plain, table
from touchstone.facts.events import Limit
from touchstone.loadgen.arrivals import HELP
from touchstone.loadgen.thresholds import STATISTICS, Statistic, limit_text, read_thresholds
from touchstone.loadgen.workloads import ACTIONS, AT_ONCE, INVARIANTS, SCENARIOS, Scenario

BEGINNING = """
# Load scenarios and thresholds

`touchstone load SCENARIO` runs one of these. What it sends is in `load/`, one file a scenario;
[load.md](../load.md) explains arrivals and how the capacity is told.
"""

EVERY_RUN = """
Each is a `must` there, also where a check takes it for a `should`. Every exchange that a run keeps whole passes the
rules of a check besides.
""".strip()
LIMITS = """
A threshold is a limit on one of these, for one operation or for all (`*`). A file of your own, `--thresholds FILE`, has
a table for each scenario and operation, as `load/thresholds.toml` has.
""".strip()

FLAGS = ("rate", "arrivals", "mix", "builds", "watchers", "build-s", "lines", "users")


def page() -> str:
    """The page."""
    limits = read_thresholds()
    parts = [BEGINNING.strip()]
    parts += [_section(scenario, limits[name]) for name, scenario in SCENARIOS.items()]
    parts += [
        "## What arrives",
        "An action is timed by the operation that it begins with, and thresholds are set for that:",
    ]
    parts += [
        table(("action", "operation"), [(code(name), code(action.operation)) for name, action in ACTIONS.items()])
    ]
    parts += ["## When it arrives", plain(HELP)]
    parts += ["## Claims of every load run", EVERY_RUN, "\n".join(f"- {code(claim)}" for claim in INVARIANTS)]
    parts += [
        "## Statistics",
        LIMITS,
        table(("statistic", "is", "limit", "decides"), map(_statistic, STATISTICS.values())),
    ]
    return "\n\n".join(parts)


def _section(scenario: Scenario, limits: Iterable[Limit]) -> str:
    at_once = scenario.arrivals == AT_ONCE
    rows = [
        ("arrivals", scenario.arrivals),
        ("for", "" if at_once else f"{scenario.duration_s:g} s"),
        ("mix", ", ".join(f"{name} {weight:g}" for name, weight in scenario.mix.items())),
        ("builds", str(scenario.builds or "")),
        ("watchers of each build", str(scenario.watchers or "")),
        ("steps of a build", f"{scenario.build_s:g} s, {scenario.lines} line{'s' if scenario.lines > 1 else ''}"),
        ("versions built before", str(scenario.ready or "")),
        ("needs", "a second key" if scenario.needs_second else ""),
        ("compares", "the last part of the run with the first" if scenario.drift else ""),
        ("flags", codes(f"--{flag}" for flag in FLAGS if scenario.uses(flag))),
        ("sets out to show", ", ".join(code(claim) for claim in scenario.claims)),
        ("thresholds", "<br>".join(plain(limit_text(limit)) for limit in limits)),
    ]
    told = table(("", ""), [row for row in rows if row[1]])
    return f"## {scenario.name}\n\n{scenario.description}\n\n{told}"


def _statistic(one: Statistic) -> tuple[str, str, str, str]:
    return code(one.name), one.description, "at least" if one.is_floor else "at most", code(one.claim)
