"""The sentences and cells that every report of a comparison shares."""

from touchstone.facts.events import RunLog
from touchstone.facts.figures import brief, figure, percentage
from touchstone.loadgen.metrics import FEW, name_of
from touchstone.report.compare_loads import MATTERS, MATTERS_POINTS, Change, LoadComparison
from touchstone.report.resampling import CONFIDENCE, FEWEST_BLOCKS, ROUNDS

_NAMES = {
    "throughput_per_s": "served a second",
    "error_share": "errors",
    "refused_share": "refused (429)",
}


def run_words(log: RunLog) -> str:
    """One run in a line."""
    header, workload = log.header, log.workload
    when = header.started_at.replace("T", " ").partition(".")[0].removesuffix("Z")
    what = header.command
    if workload:
        what = f"{workload.scenario}, {workload.arrivals} for {brief(workload.duration_s)}"
    target = header.target
    where = target.url if target.name in ("", "url") else target.name
    return f"{header.run_id}: {what}, {where}, {when} UTC"


def statistic_words(change: Change) -> str:
    """A statistic as people call it."""
    if change.statistic in _NAMES:
        return _NAMES[change.statistic]
    digits = change.statistic.removeprefix("p").removesuffix("_s")
    return name_of(float(f"0.{digits}"))


def value_words(change: Change, value: float | None) -> str:
    """A value with its unit."""
    if value is None:
        return "–"
    if change.statistic.endswith("_share"):
        return percentage(value)
    return figure(value, 4) if change.statistic.endswith("_per_s") else brief(value)


def apart_words(change: Change) -> str:
    """
    How far two values are apart, with the interval; how much is there and how much is needed where that is too little.
    """
    if change.lack:
        return f"{change.lack.have:,} of {change.lack.need:,} {change.lack.what}s"
    if change.apart is None:
        return ""
    unit = " points" if change.statistic.endswith("_share") else " %"
    value, low, high = (_bound_words(bound) for bound in (change.apart.value, change.apart.low, change.apart.high))
    return f"{value}{unit} ({low} to {high})"


def _bound_words(bound: float) -> str:
    per_cent = 100 * bound
    # A hair above -100 % is not all of it.
    return "-99.9" if -100 < per_cent < -99.9 else figure(per_cent, 2, sign="+")


def method_words(load: LoadComparison) -> str:
    """How it is told what is noise, and what that cannot see."""
    blocks = " and ".join(dict.fromkeys(f"{seconds} s" for seconds in load.block_s))
    rated = " and ".join(dict.fromkeys(f"{seconds:,} s" for seconds in load.rated_s))
    return (
        f"Served a second is over {rated}, the whole seconds of the schedule, or of the run where all arrive at once: "
        "what was due in them and was served, whenever that was. The report of a run has other rates: of all that was "
        "sent, over the time that it names. "
        f"In brackets: the interval that holds the difference with {100 * CONFIDENCE:.0f} % confidence, by a block "
        f"bootstrap ({ROUNDS:,} seeded rounds over blocks of {blocks} of either run, widened for few blocks; times and "
        "rates by the logarithm of their quotient). Where it holds 0, there is no difference beyond noise; of twenty "
        "such intervals of equal runs one is expected not to. Noise is what varied within each run: what differs from "
        "run to run, such as another machine or a busy neighbour, is not in it. Too uncertain: it holds 0, and also a "
        f"difference of more than {100 * MATTERS:.0f} % or {100 * MATTERS_POINTS:.0f} points, or requests without an "
        f"answer are in it. Too few: fewer than {FEW} samples beyond a percentile, fewer than {FEW} events, or fewer "
        f"than {FEWEST_BLOCKS} blocks with any. Times leave out what was refused or failed."
    )
