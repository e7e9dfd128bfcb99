"""Golden files in tests/golden; `make test ARGS="tests/report tests/cli --renew"` writes them again."""

import os
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "golden"


def agrees(name: str, actual: str) -> None:
    """Compares *actual* with a golden file; with --renew, writes the file first."""
    path = FOLDER / name
    if os.environ.get("RENEW_GOLDEN_FILES"):
        path.write_text(actual, encoding="utf-8")
    assert actual == path.read_text(encoding="utf-8"), f"{path} differs"
