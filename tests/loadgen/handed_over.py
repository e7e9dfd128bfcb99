"""What the master and the workers of a small load are started with."""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.loadlogs import header
from touchstone.config import Settings
from touchstone.facts.events import Limit
from touchstone.facts.runlog import RunLogWriter
from touchstone.loadgen.handover import GO, Go, LoadHandover
from touchstone.loadgen.plan import Options, Stage, scenario

KEY = "sk_live_0123456789abcdef"
READY, OWN = "default/ready@1.0.0", ("default/own-a@1.0.0", "default/own-b@1.0.0")
# Nothing waits this long unless it hangs.
LIMIT_S = 20.0


def handover(
    folder: Path, workers: int = 1, *, aborts: bool = False, options: dict[str, Any] | None = None, **settings: Any
) -> LoadHandover:
    """Six reads in one and a half seconds; *options* and *settings* are changes."""
    log = folder / "runlog.jsonl"
    with RunLogWriter(log) as writer:
        writer.write(header())
    reads = Options(scenario("steady"), "constant:4", 1.5, {"read": 1}, seed=1, ready=1, build_s=0.05)
    stage = Stage({"ready": (READY,), "own": OWN}, {})
    go = Go(replace(reads, **(options or {})), stage, origin=time.monotonic(), workers=workers)
    (folder / "go.json").write_text(json.dumps(GO.dump_python(go, mode="json")), encoding="utf-8")
    target = {"api_key": KEY, "url": "http://127.0.0.1:1"} | settings.pop("target", {})
    known = Settings(**settings)
    return LoadHandover(
        settings=replace(known, target=replace(known.target, **target)),
        run_log=str(log),
        go_file=str(folder / "go.json"),
        limits=(Limit("*", "max_s", 0.01),) if aborts else (),
        aborts=aborts,
    )
