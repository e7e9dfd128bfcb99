"""
Imports point one way: facts ← judgement ← edges ← report ← command line; type-only and local imports count as well.
"""

import ast
import graphlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

from touchstone.cli import MODULES

ROOT = Path(__file__).resolve().parent.parent

LAYERS = ("facts", "judgement", "edges", "report", "cli")

# The longest prefix counts. A new module at the top of the package has to be given its layer here.
LAYER_OF = {
    "touchstone": "facts",
    "touchstone.errors": "facts",
    "touchstone.exchange": "facts",
    "touchstone.exchange_json": "facts",
    "touchstone.finding": "facts",
    "touchstone.runfacts": "facts",
    "touchstone.histogram": "facts",
    "touchstone.sample": "facts",
    "touchstone.sample_json": "facts",
    "touchstone.loadfacts": "facts",
    "touchstone.probefacts": "facts",
    "touchstone.probe_json": "facts",
    "touchstone.knee.trial": "facts",
    "touchstone.limiter.identity": "facts",
    "touchstone.limiter.observed": "facts",
    "touchstone.limiter.stimulus": "facts",
    "touchstone.answer": "facts",
    "touchstone.masks": "facts",
    "touchstone.bulk_wire": "facts",
    "touchstone.bulk_reports": "facts",
    "touchstone.recent": "facts",
    "touchstone.keysources": "facts",
    "touchstone.quoting": "facts",
    "touchstone.files": "facts",
    "touchstone.redact": "facts",
    "touchstone.bounds": "facts",
    "touchstone.spellings": "facts",
    "touchstone.leaks": "facts",
    "touchstone.outgoing": "facts",
    "touchstone.curl": "facts",
    "touchstone.patience": "facts",
    "touchstone.quotafields": "facts",
    "touchstone.eventstream": "facts",
    "touchstone.figures": "facts",
    "touchstone.jsontext": "facts",
    "touchstone.yamltext": "facts",
    "touchstone.journal_state": "facts",
    "touchstone.recording": "facts",
    "touchstone.har": "facts",
    "touchstone.cleaning": "facts",
    "touchstone.lifesteps": "facts",
    "touchstone.bundle": "judgement",
    "touchstone.openapi": "judgement",
    "touchstone.schema": "judgement",
    "touchstone.har_schema": "judgement",
    "touchstone.links": "judgement",
    "touchstone.contract": "judgement",
    "touchstone.claims": "judgement",
    "touchstone.lifecycle": "judgement",
    "touchstone.settings": "judgement",
    "touchstone.knee": "judgement",
    "touchstone.limiter": "judgement",
    "touchstone.settings_file": "judgement",
    "touchstone.settings_kinds": "judgement",
    "touchstone.settings_words": "judgement",
    "touchstone.rules": "judgement",
    "touchstone.judge": "judgement",
    "touchstone.foreign": "judgement",
    "touchstone.foreign_api": "judgement",
    "touchstone.foreign_entry": "judgement",
    "touchstone.foreign_har": "judgement",
    "touchstone.foreign_keys": "judgement",
    "touchstone.foreign_secrets": "judgement",
    "touchstone.foreign_story": "judgement",
    "touchstone.foreign_vcr": "judgement",
    "touchstone.unseen": "judgement",
    "touchstone.shapes": "judgement",
    "touchstone.verdict": "judgement",
    "touchstone.outcomes": "judgement",
    "touchstone.metrics": "judgement",
    "touchstone.punctuality": "judgement",
    "touchstone.inflight": "judgement",
    "touchstone.ratefit": "judgement",
    "touchstone.room": "judgement",
    "touchstone.capacity": "judgement",
    "touchstone.resampling": "judgement",
    "touchstone.comparing": "judgement",
    "touchstone.comparing_answers": "judgement",
    "touchstone.comparing_claims": "judgement",
    "touchstone.comparing_workloads": "judgement",
    "touchstone.comparison": "judgement",
    "touchstone.earlystop": "judgement",
    "touchstone.statistic": "judgement",
    "touchstone.totals": "judgement",
    "touchstone.growth": "judgement",
    "touchstone.ruling": "judgement",
    "touchstone.thresholds": "judgement",
    "touchstone.throughput": "judgement",
    "touchstone.silence": "judgement",
    "touchstone.ending": "judgement",
    "touchstone.times": "judgement",
    "touchstone.closing": "judgement",
    "touchstone.watching": "judgement",
    "touchstone.loadcost": "judgement",
    "touchstone.shortfall": "judgement",
    "touchstone.thresholds_file": "judgement",
    "touchstone.watchdog": "judgement",
    "touchstone.loadrules": "judgement",
    "touchstone.chance": "judgement",
    "touchstone.curves": "judgement",
    "touchstone.trace": "judgement",
    "touchstone.arrivals": "judgement",
    "touchstone.mix": "judgement",
    "touchstone.schedule": "judgement",
    "touchstone.calls": "edges",
    "touchstone.shots": "edges",
    "touchstone.looks": "edges",
    "touchstone.appraiser": "edges",
    "touchstone.transport": "edges",
    "touchstone.wire": "edges",
    "touchstone.clock": "edges",
    "touchstone.routing": "edges",
    "touchstone.recordings": "edges",
    "touchstone.replaying": "edges",
    "touchstone.candidates": "edges",
    "touchstone.lent": "edges",
    "touchstone.deadline": "edges",
    "touchstone.intake": "edges",
    "touchstone.trust": "edges",
    "touchstone.heads": "edges",
    "touchstone.framing": "edges",
    "touchstone.pacing": "edges",
    "touchstone.bulk": "edges",
    "touchstone.bulk_answer": "edges",
    "touchstone.bulk_connection": "edges",
    "touchstone.bulk_ledger": "edges",
    "touchstone.bulk_pool": "edges",
    "touchstone.provision": "edges",
    "touchstone.givenrefs": "edges",
    "touchstone.planwatch": "edges",
    "touchstone.budget": "edges",
    "touchstone.terms": "edges",
    "touchstone.examination": "edges",
    "touchstone.waits": "edges",
    "touchstone.made": "edges",
    "touchstone.followers": "edges",
    "touchstone.run": "edges",
    "touchstone.smoke": "edges",
    "touchstone.sweep": "edges",
    "touchstone.journal": "edges",
    "touchstone.runlog": "edges",
    "touchstone.report": "report",
    "touchstone.explain": "cli",
    "touchstone.baseline": "cli",
    "touchstone.lastfailed": "cli",
    "touchstone.starting": "cli",
    "touchstone.planning": "cli",
    "touchstone.refusing": "cli",
    "touchstone.overlooked": "cli",
    "touchstone.embedded": "cli",
    "touchstone.trial": "cli",
    "touchstone.proving": "cli",
    "touchstone.prover": "cli",
    "touchstone.proof": "judgement",
    "touchstone.progress": "cli",
    "touchstone.livestate": "cli",
    "touchstone.liveload": "cli",
    "touchstone.workloads": "judgement",
    "touchstone.loadplan": "judgement",
    "touchstone.stage": "judgement",
    "touchstone.loadhandover": "edges",
    "touchstone.probehandover": "edges",
    "touchstone.probejudge": "edges",
    "touchstone.probing": "cli",
    "touchstone.probeplanning": "cli",
    "touchstone.liveprobe": "cli",
    "touchstone.cli_probe": "cli",
    "touchstone.collector": "edges",
    "touchstone.loadjudge": "edges",
    "touchstone.course": "edges",
    "touchstone.setting_up": "edges",
    "touchstone.loading": "cli",
    "touchstone.loadworker": "cli",
    "touchstone.loadplanning": "cli",
    "touchstone.rss": "facts",
    "touchstone.runner": "cli",
    "touchstone.children": "cli",
    "touchstone.opening": "cli",
    "touchstone.recorder": "cli",
    "touchstone.drifting": "cli",
    "touchstone.linting": "cli",
    "touchstone.cli_check": "cli",
    "touchstone.cli_claims": "cli",
    "touchstone.cli_compare": "cli",
    "touchstone.cli_init": "cli",
    "touchstone.cli_load": "cli",
    "touchstone.cli_prove": "cli",
    "touchstone.cli_recordings": "cli",
    "touchstone.cli_report": "cli",
    "touchstone.cli_serve": "cli",
    "touchstone.cli_sweep": "cli",
    "touchstone.options": "cli",
    "touchstone.cli_workflow": "cli",
    "touchstone.completing": "cli",
    "touchstone.cli": "cli",
    "touchstone.__main__": "cli",
    "touchstone.outlets": "cli",
    # Beside the layers: see SIDE_MAY_IMPORT.
    "touchstone.twin": "twin",
    "touchstone.adapters": "adapters",
    "contract_tests": "contract_tests",
    "load": "load",
    # What a parent process tells its child is read on both sides, and no framework is met in it.
    "touchstone.handover": "edges",
    "touchstone.carried": "edges",
    "touchstone.session": "cli",
}

SIDE_MAY_IMPORT = {
    "twin": {"twin"},  # and touchstone.errors: a misreading shared with the examiner would cancel out
    "adapters": {"facts", "judgement", "edges", "adapters"},
    "contract_tests": {"facts", "judgement", "edges", "adapters", "contract_tests"},
    "load": {"facts", "judgement", "edges", "adapters", "load"},
}
TWIN_IS_SEEN_BY = {"edges", "cli"}

COMMANDS = tuple(sorted(set(MODULES.values())))

# Where each framework is met. Names below touchstone are prefixes.
PLACES_OF = {
    "httpx": ("touchstone.transport", "touchstone.wire", "touchstone.routing"),  # whoever serves answers makes them
    "httpcore": ("touchstone.deadline",),
    "pytest": ("touchstone.adapters", "contract_tests"),
    "hypothesis": ("touchstone.adapters", "contract_tests"),
    "schemathesis": ("touchstone.adapters", "contract_tests"),
    "locust": ("touchstone.adapters", "load"),
    "gevent": ("touchstone.adapters", "load"),
    "requests": ("touchstone.adapters",),  # schemathesis speaks it
    "respx": ("touchstone.routing",),
    "starlette": ("touchstone.twin",),
    "uvicorn": ("touchstone.twin",),
    "jinja2": ("touchstone.report",),
    "jsonschema": ("touchstone.schema", "touchstone.contract"),
    "typer": ("touchstone.cli", *COMMANDS, "touchstone.options", "touchstone.completing"),
}

Sources = Mapping[str, str]  # source text by module name; a package is called by its own name


def below(name: str, prefix: str) -> bool:
    """
    Whether *name* is *prefix* or lies in it.
    """
    return name == prefix or name.startswith(f"{prefix}.")


def layer_of(module: str) -> str | None:
    """
    The layer of a module, or None where it has none.
    """
    prefixes = [prefix for prefix in LAYER_OF if below(module, prefix)]
    longest = max(prefixes, key=len, default="")
    if longest == "touchstone" and module != "touchstone":
        return None
    return LAYER_OF.get(longest)


@cache
def parsed(source: str) -> ast.Module:
    """
    The tree of a source; every check asks for all of them.
    """
    return ast.parse(source)


def imported(module: str, source: str, packages: set[str], known: set[str]) -> Iterator[str]:
    """
    The absolute names that a module imports anywhere in its source.
    """
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = origin(node, module, is_package=module in packages)
            members = {f"{start}.{alias.name}" for alias in node.names} & known
            # `from package import module` is an import of the module; of anything else, one of the package.
            yield from members
            if len(members) < len(node.names):
                yield start
        elif isinstance(node, ast.Call):
            yield from by_name(node)


def origin(node: ast.ImportFrom, module: str, *, is_package: bool) -> str:
    """
    Where a from-import starts, made absolute.
    """
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    kept = parts[: len(parts) - node.level + is_package]
    return ".".join([*kept, *([node.module] if node.module else [])])


def by_name(node: ast.Call) -> Iterator[str]:
    """
    What import_module or __import__ imports, where its name is written out.
    """
    function = node.func
    called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if called in {"import_module", "__import__"} and node.args and isinstance(node.args[0], ast.Constant):
        yield str(node.args[0].value)


def edges_of(sources: Sources) -> Iterator[tuple[str, str]]:
    """
    All imports as pairs: who, whom.
    """
    known = set(sources)
    packages = {name for name in known if any(below(other, name) and other != name for other in known)}
    for module, source in sources.items():
        for name in imported(module, source, packages, known):
            yield module, name


def wrong_ways(sources: Sources) -> set[str]:
    """
    Each import that points the wrong way, and each module without a layer, as a sentence.
    """
    faults = {f"{module} has no layer; add it to LAYER_OF" for module in sources if layer_of(module) is None}
    for module, name in edges_of(sources):
        if any(below(name, ours) for ours in ("touchstone", "contract_tests", "load")):
            allowed = may_import(module, name)
        else:
            allowed = is_at_home(module, name.partition(".")[0])
        if not allowed:
            faults.add(f"{module} imports {name}")
    return faults


def may_import(module: str, name: str) -> bool:
    """
    Whether one module of ours may import another one.
    """
    who, whom = layer_of(module), layer_of(name)
    if who is None or whom is None:
        return True  # reported as a module without a layer
    if who in SIDE_MAY_IMPORT:
        return whom in SIDE_MAY_IMPORT[who] or (who == "twin" and name == "touchstone.errors")
    if whom == "twin":
        return who in TWIN_IS_SEEN_BY
    return whom in LAYERS and LAYERS.index(whom) <= LAYERS.index(who)


def is_at_home(module: str, framework: str) -> bool:
    """
    Whether a module is one in which the framework is met.
    """
    places = PLACES_OF.get(framework)
    return places is None or any(below(module, place) for place in places)


def cycle(sources: Sources) -> list[str]:
    """
    One cycle of imports among our modules, or nothing.
    """
    graph: dict[str, set[str]] = {module: set() for module in sources}
    for module, name in edges_of(sources):
        if name in graph and name != module:
            graph[module].add(name)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


@cache
def read_tree() -> Sources:
    """
    The source of every module of ours, by name.
    """
    paths = [path for top in ("touchstone", "contract_tests", "load") for path in (ROOT / top).rglob("*.py")]
    names = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths}
    return {name.removesuffix(".__init__"): path.read_text("utf-8") for path, name in names.items()}


NAMES = frozenset(read_tree())


def test_every_import_points_one_way() -> None:
    """
    No module imports from a layer above its own, and no framework is met outside its place.
    """
    assert wrong_ways(read_tree()) == set()


def test_no_modules_import_each_other() -> None:
    """
    The imports of the package form no cycle, local ones included.
    """
    assert cycle(read_tree()) == []


def test_tree_that_is_read_is_the_whole_package() -> None:
    """
    The checks above see every layer and side that the design names and that is there.
    """
    seen = {layer_of(module) for module in read_tree()}
    assert seen >= {*LAYERS, "twin", "adapters", "contract_tests"}


def test_table_names_only_modules_that_exist() -> None:
    """
    A module that is gone is taken out of the table, so that its name cannot excuse another one.
    """
    modules = read_tree()
    gone = [name for name in LAYER_OF if name != "load" and not any(below(module, name) for module in modules)]
    assert gone == []


@pytest.mark.parametrize(
    ("module", "source", "fault"),
    [
        ("touchstone.exchange", "import touchstone.settings", "touchstone.exchange imports touchstone.settings"),
        (
            "touchstone.rules.x",
            "from touchstone.transport import Call",
            "touchstone.rules.x imports touchstone.transport",
        ),
        ("touchstone.rules.x", "from ..transport import Call", "touchstone.rules.x imports touchstone.transport"),
        ("touchstone.rules.x", "from .. import transport", "touchstone.rules.x imports touchstone.transport"),
        ("touchstone.rules.x", "from touchstone import transport", "touchstone.rules.x imports touchstone.transport"),
        ("touchstone.runlog", "import touchstone.report.view as v", "touchstone.runlog imports touchstone.report.view"),
        ("touchstone.report.view", "from touchstone import cli", "touchstone.report.view imports touchstone.cli"),
        ("touchstone.rules.x", "import httpx", "touchstone.rules.x imports httpx"),
        ("touchstone.provision", "from httpx import Client", "touchstone.provision imports httpx"),
        ("contract_tests.test_x", "import httpx", "contract_tests.test_x imports httpx"),
        ("touchstone.transport", "import requests", "touchstone.transport imports requests"),
        ("touchstone.cli", "import pytest", "touchstone.cli imports pytest"),
        ("touchstone.rules.x", "from schemathesis.checks import x", "touchstone.rules.x imports schemathesis.checks"),
        ("touchstone.cli", "from locust import User", "touchstone.cli imports locust"),
        ("touchstone.cli", "import contract_tests.situations", "touchstone.cli imports contract_tests.situations"),
        ("touchstone.cli", "from touchstone.adapters import plan", "touchstone.cli imports touchstone.adapters.plan"),
        ("touchstone.adapters.x", "import touchstone.runner", "touchstone.adapters.x imports touchstone.runner"),
        ("touchstone.adapters.x", "import contract_tests.y", "touchstone.adapters.x imports contract_tests.y"),
        (
            "touchstone.twin.app",
            "from touchstone.contract import Contract",
            "touchstone.twin.app imports touchstone.contract",
        ),
        (
            "touchstone.twin.app",
            "from touchstone.exchange import Exchange",
            "touchstone.twin.app imports touchstone.exchange",
        ),
        ("touchstone.rules.x", "import touchstone.twin.app", "touchstone.rules.x imports touchstone.twin.app"),
        ("contract_tests.test_x", "import touchstone.twin", "contract_tests.test_x imports touchstone.twin"),
        ("touchstone.brand_new", "", "touchstone.brand_new has no layer; add it to LAYER_OF"),
    ],
)
def test_import_the_wrong_way_is_found(module: str, source: str, fault: str) -> None:
    """
    Each kind of import that the layers forbid is found, whichever way it is written.
    """
    assert fault in wrong_ways({**dict.fromkeys(NAMES, ""), module: source})


@pytest.mark.parametrize(
    "hidden",
    [
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import touchstone.cli\n",
        "def f():\n    import touchstone.cli\n",
        "try:\n    import touchstone.cli\nexcept ImportError:\n    pass\n",
        "import importlib\nimportlib.import_module('touchstone.cli')\n",
        "__import__('touchstone.cli')\n",
    ],
)
def test_hidden_import_is_found(hidden: str) -> None:
    """
    An import counts wherever it stands: for types only, in a function, in a try, or by its name.
    """
    assert wrong_ways({"touchstone.rules.x": hidden, "touchstone.cli": ""}) == {
        "touchstone.rules.x imports touchstone.cli"
    }


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("touchstone.cli", "from touchstone.report.text import render\nimport touchstone.twin\nimport typer"),
        ("touchstone.rules.x", "from touchstone.rules.rule import rule\nfrom touchstone.exchange import Exchange"),
        ("touchstone.transport", "import httpx\nfrom touchstone.redact import Secrets"),
        (
            "touchstone.twin.app",
            "from touchstone.errors import UsageError\nfrom touchstone.twin import engine\nimport starlette",
        ),
        ("contract_tests.test_x", "import pytest\nfrom touchstone.examination import Examination"),
        ("touchstone.report.html", "from touchstone import __version__\nimport jinja2"),
    ],
)
def test_import_the_right_way_is_no_fault(module: str, source: str) -> None:
    """
    What the layers allow is not reported.
    """
    tree = {module: source, "touchstone": "", "touchstone.twin.engine": "", "touchstone.rules.rule": ""}
    assert wrong_ways(tree) == set()


def test_cycle_is_found() -> None:
    """
    Modules that import each other are named, also where one of them does it late.
    """
    sources = {"a": "import b", "b": "def f():\n    import c", "c": "from a import x", "d": "import a"}
    assert set(cycle(sources)) == {"a", "b", "c"}
