"""Estimates how long a check takes, from its cases, the time of a build, and the latency."""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import median

from touchstone.check.cases import ALONE, Declared
from touchstone.contract.lifecycle import FINISHED
from touchstone.facts.runlog import read

BUILD_S, LATENCY_S = 120.0, 0.1  # of the documented service, and of a usual connection
READERS = 4  # cases that may run beside those that build


@dataclass(frozen=True, slots=True)
class Pace:
    """Time of a build and of a request, in seconds, and where they come from."""

    build_s: float
    latency_s: float
    source: str


def duration_s(cases: Iterable[Declared], pace: Pace, room: int) -> float:
    """Returns the estimated duration of *cases* in their order, with *room* for builds at a time."""
    total_s = 0.0
    for stage, group in groupby(cases, key=lambda case: case.stage):
        running: list[tuple[float, int]] = []  # when each running case ends, and its builds at once
        now_s = 0.0
        for case in group:
            needed = room if stage >= ALONE else min(case.at_once, room)
            while running and (needed + sum(n for _, n in running) > room or len(running) >= room + READERS):
                now_s, _ = heapq.heappop(running)
            took_s = case.lengths * pace.build_s + case.requests * pace.latency_s
            heapq.heappush(running, (now_s + took_s, needed))
        total_s += max(at_s for at_s, _ in running)
    return total_s


def seen_in(run_log: Path) -> Pace | None:
    """Returns the median times of a build and of a status read in an earlier run log; None if it shows no build."""
    began_at: dict[str, float] = {}
    builds, reads = list[float](), list[float]()
    for exchange in read(run_log).exchanges:
        status, ref = exchange.body.get("status"), exchange.ref or ""
        if exchange.operation == "startBuild" and status == "building":
            began_at.setdefault(ref, exchange.sent_at)
        elif exchange.operation == "getBuild" and exchange.status == 200:
            reads.append(exchange.elapsed_s)
            began = began_at.pop(ref, None) if status != "building" else None
            builds += [exchange.done_at - began] if began is not None and status in FINISHED else []
    return Pace(median(builds), median(reads), f"as in {run_log}") if builds else None
