"""The how-tos work for somebody who follows them."""

import shutil
from pathlib import Path

import pytest

from tests.followed import ROOT, Reader
from tests.stages import free_port

HOWTO = ROOT / "docs" / "howto"
NEEDS_CURL = pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
PARTS = ("touchstone", "openapi", "contract_tests", "load", "tests/recordings")


@pytest.fixture
def checkout(tmp_path: Path) -> Reader:
    """A reader in a copy of the checkout, which its commands run from."""
    for part in PARTS:
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    reader = Reader(tmp_path, {"8123": str(free_port())})
    reader.environment |= {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    return reader


def followed(reader: Reader, name: str) -> None:
    """Follows a how-to to its end."""
    with reader:
        wrong = reader.follow((HOWTO / name).read_text("utf-8"))
    if wrong:
        pytest.fail("\n\n".join(wrong), pytrace=False)


@pytest.mark.alone
@pytest.mark.parametrize("name", ["add-a-claim.md", pytest.param("add-a-fault.md", marks=NEEDS_CURL)])
def test_what_is_added_is_proven(name: str, checkout: Reader) -> None:
    """A claim that is added as the page says is judged and proven, and a fault is found."""
    followed(checkout, name)


@pytest.mark.alone
def test_scenario_that_is_added_runs(checkout: Reader) -> None:
    """A scenario that is added as the page says can be planned, runs, and is judged by its thresholds."""
    followed(checkout, "add-a-scenario.md")


@pytest.mark.alone
@pytest.mark.parametrize("name", ["read-a-report.md", "run-against-staging.md"])
def test_commands_print_what_is_shown(name: str, tmp_path: Path) -> None:
    """The commands of a page that changes nothing print what it shows, in an empty folder."""
    followed(Reader(tmp_path, {"8123": str(free_port())}), name)
