"""Golden files in tests/golden: the words and the shape of what touchstone prints and writes.

`make test ARGS="tests/report tests/cli --renew"` writes them anew, and `git diff tests/golden` shows what has changed.
"""

import os
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "golden"


def agrees(name: str, actual: str) -> None:
    """Fails where *actual* is not what the golden file holds; puts it there where files are renewed."""
    path = FOLDER / name
    if os.environ.get("RENEW_GOLDEN_FILES"):
        path.write_text(actual, encoding="utf-8")
    assert actual == path.read_text(encoding="utf-8"), f"{path} differs"
