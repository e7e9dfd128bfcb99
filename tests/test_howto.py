"""
The how-tos work for somebody who follows them.
"""

import shutil
import socket
from pathlib import Path

import pytest

from tests.followed import ROOT, Reader

HOWTO = ROOT / "docs" / "howto"
PARTS = ("touchstone", "openapi", "contract_tests", "load", "tests/recordings")


def free_port() -> str:
    """
    A port that nobody listens on.
    """
    with socket.socket() as lent:
        lent.bind(("127.0.0.1", 0))
        return str(lent.getsockname()[1])


@pytest.fixture
def checkout(tmp_path: Path) -> Reader:
    """
    A reader in a copy of the checkout, which its commands run from.
    """
    for part in PARTS:
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    reader = Reader(tmp_path, {"8123": free_port()})
    reader.environment |= {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    return reader


def followed(reader: Reader, name: str) -> None:
    """
    Follows a how-to to its end.
    """
    with reader:
        wrong = reader.follow((HOWTO / name).read_text("utf-8"))
    if wrong:
        pytest.fail("\n\n".join(wrong), pytrace=False)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["add-a-claim.md", "add-a-fault.md", "add-a-scenario.md"])
def test_what_is_added_works(name: str, checkout: Reader) -> None:
    """
    A claim that is added as the page says is judged and proven, a fault is found, a scenario runs.
    """
    followed(checkout, name)
