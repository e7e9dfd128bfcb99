"""Measures how well `touchstone probe` identifies limiters, drawn by seed, in virtual time.

First limiters of every form. Then four usual ones: with network jitter, with other clients, and changed in the middle.
"""

import argparse
import math
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from tests.bench import probe_tables
from tests.bench.probe_tables import Run
from tests.limiter.forms import FORMS, USUAL, drawn
from tests.limiter.judged import Judged, judge, spent
from tests.limiter.virtual import Net
from touchstone.facts.identity import Identity
from touchstone.facts.probe import Answer, Stimulus, Terms
from touchstone.limiter.identify import Probe
from touchstone.twin import RateLimit

# As the command has it where nothing is asked for.
MOST_REQUESTS, MOST_BUILDS, MOST_S = 1000, 400, 900.0
# When a limiter is changed, in times of what it takes to give its limit anew.
CHANGED_AFTER = (0.5, 2.0)
_CLOCK_S = 60.0
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


def probed(name: str, seed: int, condition: Condition) -> Run:
    """Probes one limiter in virtual time."""
    text = drawn(name, seed)
    other = _other(name, seed) if condition.changed else ""
    net = Net(text, seed, condition.jitter_s, _foreign_per_s(text, condition), _changes(text, other, seed))
    # Nobody knows at which place of its clock a limiter is met.
    net.began_at += random.Random(f"{text}/{seed}/began").uniform(0.0, _CLOCK_S)
    probe = Probe(Terms(seed, True, MOST_REQUESTS, MOST_BUILDS, MOST_S))
    began_s = time.process_time()
    title = f"{text} then {other}" if other else text
    try:
        _play(probe, net)
        identity = probe.known()
    except (ArithmeticError, LookupError, ValueError) as error:
        return Run(name, FORMS[name].family, seed, title, error=repr(error), cpu_s=time.process_time() - began_s)
    cpu_s = time.process_time() - began_s
    judged, cost = _judged(text, other, identity), spent(text, identity.cost)
    return Run(name, FORMS[name].family, seed, title, identity, judged, cost, cpu_s)


def _play(probe: Probe, net: Net) -> None:
    """Has a probe ask until it asks no more, or its time is over, which cuts a stimulus short."""
    most_s = probe.terms.most_s
    while (stimulus := probe.propose(net.now_at)) is not None:
        parts = [replace(part, at=tuple(at for at in part.at if at <= most_s)) for part in stimulus.segments]
        within = replace(stimulus, segments=tuple(part for part in parts if part.at))
        answers = net.send(within)
        probe.observe(stimulus, answers)
        net.now_at += net.think_s
        # One that ended before the place where it was cut, or there by an answer that ends it, is as good as whole.
        if (len(answers) == within.most < stimulus.most and not _ended(within, answers)) or net.now_at > most_s:
            probe.stop("budget")


def _ended(stimulus: Stimulus, answers: Sequence[Answer]) -> bool:
    """Whether an answer came after which the rest of some segment is left out."""
    return any(part.ends_with(accepted=one.accepted, took_s=()) for part in stimulus.segments for one in answers[-2:])


def _foreign_per_s(text: str, condition: Condition) -> float:
    per_s = min(map(_steady_per_s, RateLimit.parse(text).tiers))
    return condition.foreign * per_s if per_s < math.inf else condition.foreign


def _steady_per_s(tier: RateLimit) -> float:
    """Sustained rate of a limiter; infinite if it accepts every single request."""
    if tier.family in _CAPPED:
        return tier.limit / tier.options["takes_s"] if "takes_s" in tier.options else math.inf
    return tier.limit / tier.window_s


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


def main() -> None:
    """Measures, and prints the tables."""
    options = _options()
    own = Condition(options.jitter_ms / 1000, options.foreign, options.changed)
    names = options.forms.split(",") if options.forms else list(FORMS)
    first = CLEAN if own == CLEAN else own
    _print(f"{first}; virtual time, {options.seeds} of each form", _runs(names, first, options))
    for condition in CONDITIONS if own == CLEAN and not options.forms else ():
        _print(f"{condition}; virtual time, {options.seeds} of each form", _runs(USUAL, condition, options))


def _runs(names: Iterable[str], condition: Condition, options: argparse.Namespace) -> Iterator[Run]:
    for name in names:
        for seed in range(options.first, options.first + options.seeds):
            yield probed(name, seed, condition)


def _print(title: str, runs: Iterable[Run]) -> None:
    found = list(runs)
    print(f"{title}\n")
    for table in (probe_tables.accuracy, probe_tables.costs):
        lines = list(table(found))
        print("\n".join(lines) + "\n" * bool(lines))
    for line in probe_tables.faults(found):
        print(line)
    print(flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench_probe", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1, help="how many limiters are drawn of each form")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--forms", help=f"which forms, with commas between them, of {', '.join(FORMS)}; usually all")
    parser.add_argument("--jitter-ms", type=float, default=0.0, help="spread of what each leg takes besides")
    parser.add_argument("--foreign", type=float, default=0.0, help="requests of others, as a share of the true rate")
    parser.add_argument("--changed", action="store_true", help="another limiter takes the place of each in the middle")
    return parser.parse_args()


if __name__ == "__main__":
    main()
