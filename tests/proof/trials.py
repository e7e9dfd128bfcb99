"""Bodies of trials that end otherwise than usual; each runs in a process of its own."""

import dataclasses
import json
import os
import threading
from pathlib import Path

from touchstone.proof.result import Blame, Trial
from touchstone.proof.trial import Order


def dies(_order: Order, _result: Path) -> None:
    """The process ends without a result."""
    os._exit(9)


def hangs(order: Order, result: Path) -> None:
    """A trial whose name begins with a never ends; the others end as `kills` does."""
    if order.subject.name.startswith("a"):
        threading.Event().wait()
    kills(order, result)


def kills(order: Order, result: Path) -> None:
    """Finds its fault, unless its name begins with m: that one is missed."""
    blame = Blame("check", "1", "2", "case", exchanges=5, seconds=0.5)
    broken = {} if order.subject.name.startswith("m") else {order.subject.breaks[0]: blame}
    (order.folder / "runlog.jsonl").write_text("{}\n", "utf-8")
    trial = Trial(order.subject, broken, exit_code=1, judged=9, exchanges=7, seconds=0.6)
    result.write_text(json.dumps(dataclasses.asdict(trial)), "utf-8")
