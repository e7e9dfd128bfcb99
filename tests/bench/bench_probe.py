"""Measures how well `touchstone probe` names limiters, beside what a naive step ramp costs on the same ones.

First limiters of every form, drawn by seeds, in virtual time: nothing waits, and only CPU time is spent. Then four
usual ones over networks that jitter, with requests of somebody else, and changed in the middle. At last three limiters
over real loopback, by the command itself, and usual ones so while every processor is busy. Nothing here is asserted.
"""

import argparse
import dataclasses
import json
import math
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.bench import probe_tables
from tests.bench.probe_tables import Run
from tests.bench.ramp import ramp, steady_per_s
from tests.command import Shell
from tests.limiter.forms import FORMS, USUAL, drawn
from tests.limiter.judged import Judged, judge, spent
from tests.limiter.virtual import Net
from touchstone.facts.identity import Cost, Identity
from touchstone.facts.observed import Answer
from touchstone.facts.runlog import read
from touchstone.facts.stimulus import Stimulus
from touchstone.limiter.identify import Probe
from touchstone.limiter.terms import Terms
from touchstone.twin import RateLimit, Twin, TwinSettings

# As the command has it where nothing is asked for.
MOST_REQUESTS, MOST_BUILDS, MOST_S = 1000, 400, 900.0
# When a limiter is changed, in times of what it takes to give its limit anew.
CHANGED_AFTER = (0.5, 2.0)
REAL = ("fixed-window:6/0.8", "sliding-log:5/0.7", "token-bucket:8/1,burst=5")
# Nothing of a build ends by itself while a probe runs.
REAL_TWIN = TwinSettings(build_s=600.0)
_CLOCK_S = 60.0
# A command is given 110 s.
_MOST_REAL_S, _MOST_BUSY_S = 90.0, 7200.0
_CAPS = ("builds", "in flight")
_CAPPED = ("none", "concurrency", "builds")


@dataclass(frozen=True, slots=True)
class Condition:
    """What is between a probe and a limiter.

    Attributes:
        jitter_s: Spread of what each leg takes besides, half a normal distribution.
        foreign: Requests of somebody else, as a share of what the limiter lets through for good.
        changed: Whether another limiter takes its place in the middle.
    """

    jitter_s: float = 0.0
    foreign: float = 0.0
    changed: bool = False

    def __str__(self) -> str:
        """In words."""
        words = [
            *([f"jitter of {1000 * self.jitter_s:g} ms a leg"] if self.jitter_s else []),
            *([f"foreign requests at {self.foreign:g} of the rate"] if self.foreign else []),
            *(["changed in the middle"] if self.changed else []),
        ]
        return ", ".join(words) or "nothing in the way"


CLEAN = Condition()
CONDITIONS = (Condition(0.005), Condition(0.020), Condition(foreign=0.1), Condition(changed=True))


class Meter:
    """What was spent before caps were looked for, and after."""

    def __init__(self) -> None:
        self.requests = self.refused = self.caps = 0
        self.seconds = 0.0

    def heard(self, stimulus: Stimulus, answers: Sequence[Answer], at: float) -> None:
        """Counts."""
        if stimulus.stage in _CAPS:
            self.caps += len(answers)
            return
        self.requests += len(answers)
        self.refused += sum(not answer.accepted for answer in answers)
        self.seconds = at

    @property
    def cost(self) -> Cost:
        """What the rate alone took."""
        return Cost(self.requests, self.refused, self.requests - self.refused, self.seconds)


def probed(name: str, seed: int, condition: Condition) -> Run:
    """Probes one limiter in virtual time."""
    text = drawn(name, seed)
    other = _other(name, seed) if condition.changed else ""
    net = Net(text, seed, condition.jitter_s, _foreign_per_s(text, condition), _changes(text, other, seed))
    # Nobody knows at which place of its clock a limiter is met.
    net.began_at += random.Random(f"{text}/{seed}/began").uniform(0.0, _CLOCK_S)
    probe = Probe(Terms(seed, True, MOST_REQUESTS, MOST_BUILDS, MOST_S))
    meter, began_s = Meter(), time.process_time()
    told = f"{text} then {other}" if other else text
    try:
        _play(probe, net, meter)
        identity = probe.known()
    except (ArithmeticError, LookupError, ValueError) as error:
        return Run(name, FORMS[name].family, seed, told, said=repr(error), cpu_s=time.process_time() - began_s)
    cpu_s = time.process_time() - began_s
    cost = identity.cost if _has_cap(text) else meter.cost
    run = Run(name, FORMS[name].family, seed, told, identity, _judged(text, other, identity), cost, spent(text, cost))
    ramped = ramp(text) if condition == CLEAN and steady_per_s(text) < math.inf else None
    return replace(run, caps=0 if _has_cap(text) else meter.caps, cpu_s=cpu_s, ramp=ramped)


def _play(probe: Probe, net: Net, meter: Meter) -> None:
    """Has a probe ask until it asks no more, or its time is over, which cuts a stimulus short."""
    most_s = probe.terms.most_s
    while (stimulus := probe.propose(net.now_at)) is not None:
        parts = [replace(part, at=tuple(at for at in part.at if at <= most_s)) for part in stimulus.segments]
        within = replace(stimulus, segments=tuple(part for part in parts if part.at))
        answers = net.send(within)
        probe.observe(stimulus, answers)
        meter.heard(stimulus, answers, net.now_at)
        net.now_at += net.think_s
        # One that ended before the place where it was cut, or there by an answer that ends it, is as good as whole.
        if (len(answers) == within.most < stimulus.most and not _ended(within, answers)) or net.now_at > most_s:
            probe.stop("budget")


def _ended(stimulus: Stimulus, answers: Sequence[Answer]) -> bool:
    """Whether an answer came after which the rest of some segment is left out."""
    return any(part.ends_with(accepted=one.accepted, took_s=()) for part in stimulus.segments for one in answers[-2:])


def _has_cap(text: str) -> bool:
    return any(tier.family in _CAPPED for tier in RateLimit.parse(text).tiers)


def _foreign_per_s(text: str, condition: Condition) -> float:
    per_s = steady_per_s(text)
    return condition.foreign * per_s if per_s < math.inf else condition.foreign


def _other(name: str, seed: int) -> str:
    """A limiter of another usual form that takes the place of the first one."""
    chance = random.Random(f"{name}/{seed}/changed")
    return drawn(chance.choice([other for other in USUAL if other != name]), seed + 1000)


def _changes(text: str, other: str, seed: int) -> tuple[tuple[float, str], ...]:
    share = random.Random(f"{text}/{seed}/when").uniform(*CHANGED_AFTER)
    window_s = max(tier.window_s for tier in RateLimit.parse(text).tiers)
    return ((share * window_s, other),) if other else ()


def _judged(text: str, other: str, identity: Identity) -> Judged:
    """By the true text; of a limiter that was changed by the better one of both."""
    both = [judge(each, identity) for each in (text, other) if each]
    return min(both, key=lambda one: (one.misled, not one.family, not one.exact, one.error))


@contextmanager
def every_processor_busy() -> Iterator[None]:
    """Has one process for each processor compute all the while."""
    # A process that outlives this one by accident ends by itself.
    turns = f"import time\nend = time.monotonic() + {_MOST_BUSY_S}\nwhile time.monotonic() < end: sum(range(10000))"
    burning = [subprocess.Popen([sys.executable, "-c", turns]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in burning:
            process.kill()
            process.wait()


def real(text: str, folder: Path, seed: int = 20) -> Run:
    """Has the command probe a twin over loopback, in real time."""
    began_s = _children_s()
    with Twin(replace(REAL_TWIN, rate=RateLimit.parse(text))) as twin:
        ended = Shell(folder).run(
            "probe", "--url", twin.url, "--report-dir", "run", "--max-seconds", f"{_MOST_REAL_S:g}", "--seed", f"{seed}"
        )
    story = read(folder / "run" / "runlog.jsonl").probe if ended.code in (0, 1, 3) else None
    family = RateLimit.parse(text).family
    if story is None or story.identified is None:
        return Run(family, family, seed, text, said=f"exit {ended.code}: {ended.last_line}")
    identity = story.identified.identity
    judged, cpu_s = judge(text, identity), _children_s() - began_s
    return Run(family, family, seed, text, identity, judged, identity.cost, spent(text, identity.cost), cpu_s=cpu_s)


def _children_s() -> float:
    spent_by = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent_by.ru_utime + spent_by.ru_stime


def main() -> None:
    """Measures, and prints the tables."""
    options = _asked()
    own = Condition(options.jitter_ms / 1000, options.foreign, options.changed)
    names = options.forms.split(",") if options.forms else list(FORMS)
    first = CLEAN if own == CLEAN else own
    _print(f"{first}; virtual time, {options.seeds} of each form", _runs(names, first, options))
    for condition in CONDITIONS if own == CLEAN and not options.forms else ():
        _print(f"{condition}; virtual time, {options.seeds} of each form", _runs(USUAL, condition, options))
    if options.real or (own == CLEAN and not options.forms):
        with tempfile.TemporaryDirectory() as folder:
            runs = [real(text, _below(Path(folder), text)) for text in REAL]
        _print("the command itself over real loopback, in real time; costs with the search for caps", runs)
    if options.busy:
        with tempfile.TemporaryDirectory() as folder, every_processor_busy():
            _print("the same of usual ones with every processor busy", _busy(Path(folder), options))


def _busy(folder: Path, options: argparse.Namespace) -> Iterator[Run]:
    for name in USUAL:
        for seed in range(options.first, options.first + options.busy):
            run = real(drawn(name, seed), _below(folder, f"{name}-{seed}"), seed)
            _keep(run, "busy", options.keep)
            yield run


def _below(folder: Path, name: str) -> Path:
    own = folder / name.replace("/", "-")
    own.mkdir()
    return own


def _runs(names: Iterable[str], condition: Condition, options: argparse.Namespace) -> Iterator[Run]:
    for name in names:
        for seed in range(options.first, options.first + options.seeds):
            run = probed(name, seed, condition)
            _keep(run, str(condition), options.keep)
            yield run


def _keep(run: Run, condition: str, path: Path | None) -> None:
    if path:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"condition": condition} | dataclasses.asdict(run)) + "\n")


def _print(title: str, runs: Iterable[Run]) -> None:
    found = list(runs)
    print(f"{title}\n")
    for table in (probe_tables.accuracy, probe_tables.costs, probe_tables.ramps):
        lines = list(table(found))
        print("\n".join(lines) + "\n" * bool(lines))
    for line in probe_tables.faults(found):
        print(line)
    print(flush=True)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench_probe", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1, help="how many limiters are drawn of each form")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--forms", help=f"which forms, with commas between them, of {', '.join(FORMS)}; usually all")
    parser.add_argument("--jitter-ms", type=float, default=0.0, help="spread of what each leg takes besides")
    parser.add_argument("--foreign", type=float, default=0.0, help="requests of others, as a share of the true rate")
    parser.add_argument("--changed", action="store_true", help="another limiter takes the place of each in the middle")
    parser.add_argument("--real", action="store_true", help="the three over loopback also where something is chosen")
    parser.add_argument("--busy", type=int, default=0, help="how many of each usual form over busy loopback as well")
    parser.add_argument("--keep", type=Path, help="a file to which each probe is added as a line of JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
