"""Functions that replace a trial; each runs in its own process."""

import dataclasses
import json
import os
import threading
from pathlib import Path

from touchstone.proof.result import Blame, Trial
from touchstone.proof.trial import Order


def dies(_order: Order, _result: Path) -> None:
    """Ends the process without a result."""
    os._exit(9)


def hangs(order: Order, result: Path) -> None:
    """Never ends if the name begins with a; otherwise does the same as `kills`."""
    if order.subject.name.startswith("a"):
        threading.Event().wait()
    kills(order, result)


def kills(order: Order, result: Path) -> None:
    """Finds the fault, unless its name begins with m."""
    blame = Blame("check", "1", "2", "case", exchanges=5, seconds=0.5)
    broken = {} if order.subject.name.startswith("m") else {order.subject.breaks[0]: blame}
    (order.folder / "runlog.jsonl").write_text("{}\n", "utf-8")
    trial = Trial(order.subject, broken, exit_code=1, judged=9, exchanges=7, seconds=0.6)
    result.write_text(json.dumps(dataclasses.asdict(trial)), "utf-8")
