"""The commands that the README shows, and what they really print."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def consoles() -> list[tuple[str, str]]:
    """Each command of the README with the output shown below it."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output.strip()))
    return found


def normal(text: str) -> str:
    """*text* without what differs from run to run: run ids, counts of exchanges, seconds."""
    text = re.sub(r"reports/[0-9a-f-]+/", "reports/RUN/", text)
    text = re.sub(r"[0-9,]+ exchanges with twin in [0-9.]+ s", "N exchanges with twin in S s", text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def run(arguments: list[str], folder: Path) -> str:
    """What the command prints, run in an empty folder."""
    command = [sys.executable, "-m", "touchstone", *arguments]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "PYTHONPATH": str(ROOT), "COLUMNS": "400"}
    environment |= {name: value for name, value in os.environ.items() if name == "HYPOTHESIS_STORAGE_DIRECTORY"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=400
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout
