"""The page about load: scenarios with defaults and thresholds, and the statistics that a threshold may be about."""

from collections.abc import Iterable

from tests.reference.marks import code, codes, plain, table
from touchstone.facts.events import Limit
from touchstone.loadgen.plan import ACTIONS, AT_ONCE, INVARIANTS, SCENARIOS, Scenario
from touchstone.loadgen.thresholds import STATISTICS, Statistic, limit_text, read_thresholds

BEGINNING = """
# Load scenarios and thresholds

`touchstone load SCENARIO` runs one of these. `load/` has a file for each. [load.md](../load.md) explains arrivals and
capacity.
"""

EVERY_RUN = "Each is a `must` there. The rules of a check judge every exchange that a run keeps whole, too."
LIMITS = """
A threshold is a limit on one of these, for one operation or for all (`*`). Your own file (`--thresholds FILE`) has the
form of `load/thresholds.toml`.
""".strip()

FLAGS = ("rate", "arrivals", "mix", "builds", "watchers", "build-s", "lines", "users")


def page() -> str:
    """The page."""
    limits = read_thresholds()
    parts = [BEGINNING.strip()]
    parts += [_section(scenario, limits[name]) for name, scenario in SCENARIOS.items()]
    actions: dict[str, list[str]] = {}
    for name, action in ACTIONS.items():
        actions.setdefault(action.operation, []).append(name)
    rows = [(code(operation), codes(names)) for operation, names in actions.items()]
    arriving = table(("operation", "actions"), rows)
    parts += ["## What arrives", "An action is timed by the operation that it begins with:", arriving]
    parts += ["## Claims of every load run", EVERY_RUN, f"{codes(INVARIANTS)}."]
    statistics = table(("statistic", "is", "limit", "decides"), map(_statistic, STATISTICS.values()))
    parts += ["## Statistics", LIMITS, statistics]
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
