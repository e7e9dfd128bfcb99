"""
Measures what a request costs both load engines, Locust's own users, wrk and hey: same server, same run, one core each.

Prints CPU time of each generator's processes by requests that the server counted, as figures and as ratios; what TLS,
heads, statistics and rules add; and what it costs to judge an exchange. Nothing here is asserted: speed is reported.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path

from tests.bench import load_rules
from tests.bench.load_generators import (
    BESIDE,
    GENERATORS,
    PARTS,
    WARM_UP_S,
    Generator,
    Idle,
    Kind,
    Running,
    begun,
    costs_of_parts,
    end,
    running,
)
from tests.bench.load_spent import can_measure, cores, spent_within
from tests.bench.load_tables import Measured, compared, taken_apart
from tests.bench.load_target import BODY, Target, serving

# Rates at which it is looked how late our engines are; beyond this at p99 one is not on time.
LADDERS: dict[Kind, tuple[int, ...]] = {
    "flows": (250, 500, 1_000, 2_000, 3_000, 4_000, 6_000, 8_000, 12_000),
    "bulk": (1_000, 2_000, 5_000, 10_000, 15_000, 20_000, 25_000, 30_000, 40_000, 50_000),
}
LATE_MS = 10.0


class Bench:
    """What is measured at one server."""

    def __init__(self, target: Target, folder: Path, core: int, seconds: float) -> None:
        self._target = target
        self._folder = folder
        self._core = core
        self._seconds = seconds
        self._runs = 0

    def compare(self, rounds: int) -> None:
        """Prints what each generator costs, the median of some rounds in which each has its turn."""
        found: dict[str, list[Measured]] = {}
        for generator in GENERATORS:
            lacking = generator.lacks(self._target)
            if lacking:
                print(f"{generator.name}: skipped; {lacking}")
            else:
                found[generator.name] = []
        for number in range(1, rounds + 1):
            print(f"round {number} of {rounds}", file=sys.stderr)
            for generator in (generator for generator in GENERATORS if generator.name in found):
                try:
                    found[generator.name].append(self._measured(generator))
                except Idle as idle:
                    print(f"{generator.name}: left out; it sent nothing and said: {idle}")
                    del found[generator.name]
        _print(compared(found))

    def take_apart(self) -> None:
        """Prints what the parts of a read cost the flows engine: they take turns within one process."""
        with self._running(PARTS, 6 * self._seconds) as started:
            end(started, wait=True)
            costs = costs_of_parts(started.folder)
        _print(taken_apart(costs, BESIDE))

    def climb(self, tries: int) -> None:
        """Prints how late both engines are at ever higher rates, the best of some tries, until they are hopeless."""
        print(f"{'':<24}{'sent':>10}{'late p50':>12}{'late p99':>12}{'of a core':>11}")
        for kind, rates in LADDERS.items():
            for per_s in rates:
                generator = Generator(f"{kind} at {per_s:,}/s", kind, per_s=per_s)
                best = min((self._measured(generator) for _ in range(tries)), key=lambda run: run.late_p99_ms)
                late = f"{best.late_p50_ms:>9.3f} ms{best.late_p99_ms:>9.3f} ms"
                print(f"{generator.name:<24}{best.per_s:>8,.0f}/s{late}{best.busy:>10.0%}", flush=True)
                if best.late_p99_ms > LATE_MS:
                    break

    def _running(self, generator: Generator, seconds: float) -> AbstractContextManager[Running]:
        self._runs += 1
        return running(generator, self._target, self._folder / f"run-{self._runs}", self._core, seconds)

    def _measured(self, generator: Generator) -> Measured:
        target = self._target
        with self._running(generator, self._seconds) as started:
            begun(started, target.requests)
            time.sleep(WARM_UP_S)
            spent = spent_within(self._seconds, started.process.pid, target.requests, target.cpu_s)
            # One that is paced writes down to its end how late it was.
            end(started, wait=generator.per_s is not None)
        late = started.late()
        return Measured(
            per_s=spent.requests / spent.wall_s,
            cpu_us=1e6 * spent.cpu_s / max(spent.requests, 1),
            busy=spent.cpu_s / spent.wall_s,
            server_busy=spent.server_s / spent.wall_s,
            late_p50_ms=1e3 * late.quantile_s(0.5) if generator.per_s else 0.0,
            late_p99_ms=1e3 * late.quantile_s(0.99) if generator.per_s else 0.0,
            says=started.says if spent.whole else "not all of its processes were there to the end",
        )


def judging(folder: Path) -> None:
    """Prints what it costs to judge an exchange."""
    rows = [*load_rules.in_passing(), *load_rules.afterwards(folder)]
    _print([f"{'of an exchange':<44}{'CPU':>8}", *(f"{name:<44}{cost_us:>8.2f} us" for name, cost_us in rows)])


def _print(lines: Iterable[str]) -> None:
    print()
    for line in lines:
        print(line)
    sys.stdout.flush()


def main() -> None:
    """Prints all tables."""
    asked = _asked()
    if not can_measure():
        print("bench of load: skipped; only Linux tells what other processes spend")
        return
    server_core, core = cores()
    # This process only watches; it must not watch from the core of a generator.
    os.sched_setaffinity(0, {server_core})
    with tempfile.TemporaryDirectory(prefix="touchstone-bench-") as name:
        folder = Path(name)
        with serving(folder, server_core, own=asked.own_server) as target:
            where = f"on core {server_core}; generators on core {core}"
            print(f"server: {target.says}, {where}; answers of {len(BODY)} bytes", flush=True)
            bench = Bench(target, folder, core, asked.seconds)
            if asked.ladder:
                bench.climb(asked.rounds)
                return
            bench.compare(asked.rounds)
            bench.take_apart()
        judging(folder)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench_load", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.5, help="how long each generator is measured in each round")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured, in turn")
    parser.add_argument("--own-server", action="store_true", help="the small server also where nginx is installed")
    parser.add_argument("--ladder", action="store_true", help="instead, look how late our engines are at which rate")
    return parser.parse_args()


if __name__ == "__main__":
    main()
