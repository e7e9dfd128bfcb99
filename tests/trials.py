"""Trials that end otherwise than they should, for the tests of what puts them on: each runs in a process of its own."""

import dataclasses
import json
import os
import threading
from pathlib import Path

from touchstone.proof.result import Blame, Trial
from touchstone.proof.trial import Order


def dies(_order: Order, _result: Path) -> None:
    """Ends without a word."""
    os._exit(9)


def hangs(order: Order, result: Path) -> None:
    """Never ends, if its name begins with a; the others write what a killed fault leaves."""
    if order.subject.name.startswith("a"):
        threading.Event().wait()
    kills(order, result)


def kills(order: Order, result: Path) -> None:
    """Finds what has to be found; a name that begins with m is missed."""
    blame = Blame("check", "1", "2", "case", exchanges=5, seconds=0.5)
    broken = {} if order.subject.name.startswith("m") else {order.subject.breaks[0]: blame}
    (order.folder / "runlog.jsonl").write_text("{}\n", "utf-8")
    trial = Trial(order.subject, broken, exit_code=1, judged=9, exchanges=7, seconds=0.6)
    result.write_text(json.dumps(dataclasses.asdict(trial)), "utf-8")
