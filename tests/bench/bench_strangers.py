"""Measures what `touchstone probe` makes of limiters that it does not know, of tests/lab/strangers.py, in virtual time.

An identity is judged by what it is worth for other clients: see tests/lab/strange_judge.py.
"""

import argparse
import random
import signal
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from tests.bench.bench_probe import MOST_BUILDS, MOST_REQUESTS, Meter, _play
from tests.lab.strange_judge import likeness, refusals
from tests.lab.strange_limiters import Chain, Stranger
from tests.lab.strangers import SIZES, STRANGERS, Entry, Setting, StrangerNet, half
from touchstone.errors import UsageError
from touchstone.facts.identity import Identity
from touchstone.facts.probe import Terms
from touchstone.limiter.identify import Probe

# Differing in such a share of decisions is as good as the same.
WITHIN = 0.03
MOST_CPU_S = 120.0
VERDICTS = ("right", "honest", "wrong", "horizon", "slow", "error")


class Slow(BaseException):
    """A probe takes too much of the processor."""


@dataclass(frozen=True)
class Run:
    """One identification.

    Attributes:
        equal: Share of decisions in which the claimed limiter is like the true one.
        best: The same of two true ones.
        refused: Share of refused starts of a client that does as it is advised; None without advice.
    """

    title: str
    verdict: str
    limit: int
    cpu_s: float
    identity: Identity | None = None
    equal: float = 0.0
    best: float = 1.0
    refused: float | None = None
    error: str = ""

    def __str__(self) -> str:
        """One line."""
        one = self.identity
        if one is None:
            return f"{self.title}: {self.verdict} {self.error} cpu {self.cpu_s:.1f} s"
        cost, safe = one.cost, "-" if self.refused is None else f"{self.refused:.1%}"
        likely = " ".join(f"{each.family}={each.probability:.2f}" for each in one.families[:3])
        more = f"held {one.holds_to} at once {one.uncapped_to} unlimited {one.unlimited_to} why={one.why!r}"
        return (
            f"{self.title}: {self.verdict.upper()} sure={one.sure} equal {self.equal:.3f} of {self.best:.3f} "
            f"refused {safe} requests {cost.requests} ({cost.requests / (self.limit + 5):.1f}) builds {cost.builds} "
            f"{cost.seconds:.0f} s cpu {self.cpu_s:.1f} s | {one.text} | {likely} {more} {list(one.notes) or ''}"
        )


def probed(number: int, size: int, seed: int) -> Run:
    """Probes one stranger in one setting."""
    entry, title = STRANGERS[number], f"{number:02} {STRANGERS[number].name}/{SIZES[size]}/{seed}"
    setting = entry.settings[size]
    limit = max(limit for limit, _ in setting.scales)
    stranger = setting.make(seed)
    net = StrangerNet("none", seed, stranger=stranger, began_at=1000.0 + random.Random(title).uniform(0, 60))
    probe, began_s = Probe(Terms(seed, True, MOST_REQUESTS, MOST_BUILDS, setting.most_s)), time.process_time()
    signal.signal(signal.SIGPROF, _too_slow)
    signal.setitimer(signal.ITIMER_PROF, MOST_CPU_S)
    try:
        _play(probe, net, Meter())
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        cpu_s, identity = time.process_time() - began_s, probe.known()
        equal, best = likeness(setting, entry, identity)
        client = refusals(setting.make(seed + 500), identity, setting, seed)
        verdict = _verdict(entry, setting, identity, stranger, is_like=equal >= best - WITHIN)
    except Slow:
        return Run(title, "slow", limit, time.process_time() - began_s)
    except (ArithmeticError, LookupError, ValueError, AssertionError, UsageError) as error:
        return Run(title, "error", limit, time.process_time() - began_s, error=repr(error))
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
    refused = client[0] / max(1, client[1]) if client else None
    return Run(title, verdict, limit, cpu_s, identity, equal, best, refused)


def _too_slow(*_: object) -> None:
    raise Slow


def _verdict(entry: Entry, setting: Setting, identity: Identity, stranger: Stranger, *, is_like: bool) -> str:
    """What claims no limit is right only where there is none, however seldom others meet the limit."""
    if not identity.sure:
        return "honest"
    if is_like and (identity.tiers or entry.limitless):
        return "right"
    if setting.shorter and isinstance(stranger, Chain) and not stranger.refused[-1]:
        equal, best = likeness(setting, entry, identity, shorter=True)
        return "horizon" if equal >= best - WITHIN else "wrong"
    return "wrong"


def _print(runs: Sequence[Run]) -> None:
    print(f"\n{len(runs)} runs: " + ", ".join(f"{sum(r.verdict == v for r in runs)} {v}" for v in VERDICTS))
    advised = [run.refused for run in runs if run.refused is not None]
    if advised:
        safe = sum(share <= 0.01 for share in advised)
        print(
            f"advice: {safe} of {len(advised)} at most 1 % refused; {statistics.mean(advised):.1%} refused on average"
        )
    kept = [run for run in runs if run.identity]
    for name, values in (
        ("requests / (limit + 5)", [run.identity.cost.requests / (run.limit + 5) for run in kept if run.identity]),
        ("requests", [run.identity.cost.requests for run in kept if run.identity]),
        ("builds", [run.identity.cost.builds for run in kept if run.identity]),
        ("seconds", [run.identity.cost.seconds for run in kept if run.identity]),
        ("cpu s", [run.cpu_s for run in runs]),
    ):
        ordered = sorted(values) or [0.0]
        print(f"{name}: median {statistics.median(ordered):.1f}, p95 {ordered[int(0.95 * (len(ordered) - 1))]:.1f}")


def _runs(tasks: Sequence[tuple[int, int, int]], jobs: int) -> Iterator[Run]:
    if jobs == 1:
        yield from (probed(*task) for task in tasks)
    else:
        with ProcessPoolExecutor(jobs) as pool:
            yield from pool.map(probed, *zip(*tasks, strict=True))


def main() -> None:
    """Measures, and prints a line for each run and the sums."""
    parser = argparse.ArgumentParser(prog="bench_strangers", description=__doc__)
    parser.add_argument("--half", choices=("A", "B"), required=True)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", default="", help="a part of the names of some strangers")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    entries = {number: entry for number, entry in half(options.half).items() if options.only in entry.name}
    for number, entry in entries.items():
        if entry.missing:
            print(f"{number:02} {entry.name}: skipped, {entry.missing} is not installed")
    there = [number for number, entry in entries.items() if not entry.missing]
    tasks = [(number, size, seed) for number in there for size in range(len(SIZES)) for seed in range(options.seeds)]
    runs: list[Run] = []
    for run in _runs(tasks, options.jobs):
        runs.append(run)
        print(run, flush=True)
    _print(runs)


if __name__ == "__main__":
    main()
