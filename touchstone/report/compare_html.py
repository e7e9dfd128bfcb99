"""A comparison of two runs as one self-contained page."""

from touchstone.facts.figures import brief
from touchstone.loadgen.metrics import Times
from touchstone.loadgen.thresholds import named
from touchstone.report import page
from touchstone.report.chart import Chart, Key, Log, Shape
from touchstone.report.compare_loads import LoadComparison, OperationChange
from touchstone.report.compare_words import apart_words, method_words, run_words, statistic_words, value_words
from touchstone.report.comparison import GROUPS, Comparison, kind_of_run
from touchstone.report.html import SYMBOLS
from touchstone.report.load_latency import curve, curve_shapes, nines_axis, nines_of
from touchstone.report.load_words import capacity_words, workload_words
from touchstone.rules.verdict import plural

TONES = {"slower": "broken", "faster": "upheld", "more": "indeterminate", "less": "indeterminate"}
_SHARES = (0.5, 0.9, 0.99, 0.999)


def render(comparison: Comparison) -> str:
    """The comparison as an HTML page."""
    return page.render(
        "compare.html.j2",
        ("report.css", "load.css"),
        ("report.js",),
        both=comparison,
        load=comparison.load,
        headline=_headline(comparison),
        runs=[(letter, log, run_words(log)) for letter, log in (("A", comparison.before), ("B", comparison.after))],
        kind=kind_of_run(comparison.after).partition(" (")[0],
        charts=overlays(comparison.load) if comparison.load else (),
        method=method_words(comparison.load) if comparison.load else "",
        groups=GROUPS,
        symbols=SYMBOLS,
        tones=TONES,
        named=named,
        apart=apart_words,
        statistic=statistic_words,
        value=value_words,
        capacity_words=capacity_words,
        workload_words=workload_words,
    )


def _headline(comparison: Comparison) -> str:
    if comparison.differs:
        return "The two runs differ"
    if comparison.is_open:
        return "Too little to tell"
    return "No difference beyond noise" if comparison.load else "No difference"


def overlays(load: LoadComparison) -> tuple[Chart, ...]:
    """For each operation that both runs timed, their percentile curves over each other."""
    pairs = [(one, _times(one, load)) for one in load.operations if len(load.operations) != 2 or one.name != "*"]
    drawn = [(one, times) for one, times in pairs if times]
    if not drawn:
        return ()
    nines = nines_of(time.count for _, times in drawn for time in times)
    return tuple(_overlay(one, times, nines) for one, times in drawn)


def _times(one: OperationChange, load: LoadComparison) -> tuple[Times, Times] | None:
    if one.before is None or one.after is None:
        return None
    before, after = one.before.whole, one.after.whole
    first, second = (before.response, after.response) if load.timed else (before.service, after.service)
    return (first, second) if first and second else None


def _overlay(one: OperationChange, times: tuple[Times, Times], nines: float) -> Chart:
    # An axis of its own: what is compared lies close together.
    scale = Log(min(time.cells.quantile_s(0.01) for time in times), max(time.cells.quantile_s(0.999) for time in times))
    shapes: list[Shape] = []
    for time, css in zip(times, ("run-a", "run-b"), strict=True):
        shapes += curve_shapes(curve(time.cells, nines, time.never), css, nines, scale)
    told = (", ".join(f"{time.at(share).name} {brief(time.at(share).value_s)}" for share in _SHARES) for time in times)
    return Chart(
        title=named(one.name).capitalize() if one.name == "*" else one.name,
        words="; ".join(f"{letter}: {words}" for letter, words in zip("AB", told, strict=True)),
        x=nines_axis(nines),
        y=scale.axis("time"),
        shapes=tuple(shapes),
        keys=tuple(
            Key(css, f"{letter}, {plural(time.count, 'sample')}", "line")
            for css, letter, time in zip(("run-a", "run-b"), "AB", times, strict=True)
        ),
        height_px=210,
    )
