"""The page about recorded scenarios: what each is about, what it costs to record, what the twin's recording holds."""

import sys
from pathlib import Path
from typing import Any

from tests.reference.docstrings import sentence
from tests.reference.marks import code, table
from touchstone.contract import files
from touchstone.recordings import reader

BEGINNING = """
# Recorded scenarios

`touchstone record` plays these with a target ([recordings.md](../recordings.md)). The column *requests* counts those in
the recording of the twin, which comes with the package.
"""


def page() -> str:
    """The page."""
    rows = [_row(name, scenario) for name, scenario in _scenarios().items()]
    head = ("scenario", "what happens", "builds", "requests", "sets out to show")
    return f"{BEGINNING.strip()}\n\n{table(head, rows)}"


def _scenarios() -> dict[str, Any]:
    """The scenarios, from the folder in which the contract tests import each other by their bare names."""
    folder = str(files.contract_tests_dir())
    sys.path.insert(0, folder)
    try:
        import scenarios
        import scenarios_access
        import scenarios_builds

        assert scenarios_access
        assert scenarios_builds
    finally:
        sys.path.remove(folder)
    return dict(scenarios.SCENARIOS)


def _row(name: str, scenario: Any) -> tuple[str, ...]:
    path = Path(files.recordings_dir()) / f"{name}.har"
    requests = str(len(reader.read(path).exchanges)) if path.exists() else ""
    claims = ", ".join(map(code, scenario.claims))
    return code(name), sentence(scenario.story), str(scenario.builds), requests, claims
