"""The pages of the reference by file name."""

from collections.abc import Callable, Mapping
from pathlib import Path

from tests.reference import commands, load, recordings, report, runlog, settings

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "reference"
NOTE = "<!-- Made from the code: change the code, then run `make docs`. -->"

MAKERS: Mapping[str, Callable[[], str]] = {
    "commands.md": commands.page,
    "settings.md": settings.page,
    "load.md": load.page,
    "recordings.md": recordings.page,
    "report.md": report.page,
    "runlog.md": runlog.page,
}


def pages() -> dict[str, str]:
    """The text of each page."""
    return {name: f"{NOTE}\n{make().strip()}\n" for name, make in MAKERS.items()}
