"""What the page of a load run shows besides tables: its charts and sentences."""

from dataclasses import dataclass

from touchstone.report.chart import Chart
from touchstone.report.load_answers import requests_chart, starts_chart
from touchstone.report.load_flight import flight_chart
from touchstone.report.load_heat import heat_map
from touchstone.report.load_latency import latency_charts
from touchstone.report.load_time import columns_of, columns_of_builds
from touchstone.report.load_view import LoadView
from touchstone.report.load_words import (
    beyond_words,
    capacity_words,
    closing_words,
    cut_words,
    failed_words,
    generator_words,
    pause_words,
    silence_words,
    timed_words,
    times_words,
    workload_words,
)
from touchstone.report.load_workers import lateness_chart


@dataclass(frozen=True, slots=True)
class Pictures:
    """Charts, None where there is nothing to draw, and sentences.

    Attributes:
        starts: Starts over time, where builds were started.
        requests: All requests over time.
        timed: Which requests the times are of, where not of all.
    """

    capacity: str
    failed: str
    beyond: str
    closing: str
    silence: str
    pauses: str
    cut: str
    starts: Chart | None
    flight: Chart | None
    requests: Chart | None
    latency: tuple[Chart, ...]
    heat: Chart | None
    lateness: Chart | None
    times: str
    generator: str
    workload: str
    timed: str


def pictures(load: LoadView) -> Pictures:
    """The charts and sentences of a load run."""
    columns, near = columns_of(load), columns_of_builds(load)
    found = load.capacity
    return Pictures(
        capacity=capacity_words(found) if found else "",
        failed=failed_words(load.attempts),
        beyond=beyond_words(found) if found else "",
        closing=closing_words(*load.asked),
        silence=silence_words(load.silence, load.workload.began_at) if load.silence else "",
        pauses=pause_words(load.pauses, load.workload.began_at),
        cut=cut_words(load.numbers),
        starts=starts_chart(load.attempts, near) if found else None,
        flight=flight_chart(found, near) if found and found.steps else None,
        requests=requests_chart(load, columns) if load.windows else None,
        latency=latency_charts(load.numbers),
        heat=heat_map(load, columns),
        lateness=lateness_chart(load, columns),
        times=times_words(load.numbers),
        generator=generator_words(load.kept, load.workload.began_at),
        workload=workload_words(load.workload),
        timed=timed_words(load.numbers),
    )
