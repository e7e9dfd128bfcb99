"""Charts of a probe: requests over time, probability of each family of limiters, latency by rate; no I/O."""

from collections.abc import Callable, Sequence

from touchstone.facts.identity import Step
from touchstone.facts.probe import Answer
from touchstone.facts.wording import brief, describe_chance, figure, plural
from touchstone.report import charts
from touchstone.report.charts import SIDE, Axis, Chart, Key, Linear, Log, Note, Shape, Tick, height, line, place
from touchstone.report.probe_sentences import describe_family
from touchstone.report.probe_view import KneeView, ProbeView

_LANES = {"accepted": 0.75, "held": 0.75, "refused": 0.25, "failed": 0.25}
_SORTS = {"accepted": "accepted", "held": "delayed, then accepted", "refused": "refused", "failed": "failed"}
_MARKS = 500  # number of marks that fit side by side; requests closer than that share a mark
_LEAST_SHARE = 0.02  # families that were never more likely than this are not drawn
# Maps a run second to a coordinate.
_Placing = Callable[[float], int]


def pictures(probe: ProbeView) -> dict[str, Chart | None]:
    """Charts of a probe by name: requests, families, knee; a chart without data is None."""
    every = [*probe.answers, *probe.failed]
    begin = min((answer.sent_at for answer in every), default=0.0)
    end = max([begin, *(answer.done_at for answer in every), *(step.at for step in probe.steps)])
    length_s = max(end - begin, 1e-3)
    axis = charts.clock_axis(length_s, "the first request")

    def at_x(at: float) -> int:
        return place(min(max((at - begin) / length_s, 0.0), 1.0))

    return {
        "requests": _requests(probe, axis, at_x) if every else None,
        "families": _families(probe.steps, axis, at_x) if any(step.families for step in probe.steps) else None,
        "knee": knee_chart(probe.knee) if probe.knee else None,
    }


def _requests(probe: ProbeView, axis: Axis, at_x: _Placing) -> Chart:
    groups: dict[str, list[Answer]] = {"accepted": [], "held": [], "refused": [], "failed": list(probe.failed)}
    least_s = min((answer.done_at - answer.sent_at for answer in probe.answers), default=0.0)
    for answer in probe.answers:
        late_s = answer.done_at - answer.sent_at - least_s
        sort = "held" if late_s > max(0.05, 4 * least_s) else "accepted"
        groups[sort if answer.accepted else "refused"].append(answer)
    spans = sorted((at_x(answer.sent_at), at_x(answer.done_at)) for answer in groups["held"])
    top = height(_LANES["held"]) - 60
    shapes = [Shape("".join(f"M{left} {top}H{right}v120H{left}z" for left, right in spans if right > left), "p-held")]
    shapes += [Shape(_marks(answers, at_x, _LANES[sort]), f"p-{sort}") for sort, answers in groups.items()]
    counts = {sort: len(answers) for sort, answers in groups.items() if answers}
    described = ", ".join(f"{number} {_SORTS[sort]}" for sort, number in counts.items())
    return Chart(
        title="Requests by outcome",
        caption=f"{plural(sum(counts.values()), 'request')}: {described}.",
        x=axis,
        y=Axis("", tuple(Tick(_LANES[name], name) for name in ("accepted", "refused"))),
        shapes=tuple(shape for shape in shapes if shape.d),
        keys=tuple(Key(f"p-{sort}", _SORTS[sort], "tick") for sort in counts),
        height_px=96,
    )


def _marks(answers: Sequence[Answer], at_x: _Placing, lane: float) -> str:
    places = sorted({round(at_x(answer.sent_at) * _MARKS / SIDE) for answer in answers})
    return "".join(f"M{place(at / _MARKS)} {height(lane) - 170}v340" for at in places)


def _families(steps: Sequence[Step], axis: Axis, at_x: _Placing) -> Chart:
    """Probabilities of the six likeliest families, stacked; the family that is likeliest at the end lies lowest."""
    last = steps[-1].families
    best = {name: max(step.families.get(name, 0.0) for step in steps) for step in steps for name in step.families}
    likely = sorted((name for name in best if best[name] >= _LEAST_SHARE), key=lambda name: -best[name])[:6]
    shapes, keys, floor = list[Shape](), list[Key](), [0.0] * len(steps)
    edges = [*(at_x(step.at) for step in steps), SIDE]
    for number, name in enumerate(sorted(likely, key=lambda name: -last.get(name, 0.0))):
        top = [low + step.families.get(name, 0.0) for low, step in zip(floor, steps, strict=True)]
        odds = f" {describe_chance(last[name])}" if last.get(name, 0.0) >= _LEAST_SHARE else ""
        shapes.append(Shape(_band(edges, floor, top), f"q{number}", describe_family(name)))
        keys.append(Key(f"q{number}", describe_family(name) + odds))
        floor = top
    if min(floor) < 1 - _LEAST_SHARE:
        shapes.append(Shape(_band(edges, floor, [1.0] * len(floor)), "q-others", "others"))
        keys.append(Key("q-others", "others"))
    shares = Axis("probability after each stimulus", tuple(Tick(n / 4, f"{25 * n} %") for n in range(5)))
    caption = f"{len(steps):,} stimuli." if len(steps) > 1 else "1 stimulus."
    return Chart("Probability of each family", caption, axis, shares, tuple(shapes), tuple(keys), height_px=170)


def _band(edges: Sequence[int], floor: Sequence[float], top: Sequence[float]) -> str:
    """Path of the area between the step curves *floor* and *top*; a step reaches from one of *edges* to the next."""
    upper = "".join(f"V{height(share)}H{edges[n + 1]}" for n, share in enumerate(top))
    lower = "".join(f"V{height(floor[n])}H{edges[n]}" for n in reversed(range(len(floor))))
    return f"M{edges[0]} {height(floor[0])}{upper}{lower}z"


def knee_chart(view: KneeView) -> Chart | None:
    """Chart of latency by rate of reads, with the knee if it is known; None if no trial has a result."""
    conclusive = [each for each in view.tried if each.mark in ("passed", "failed")]
    trials = [(each.trial.rate_per_s, each.outcome.p50_s, each.outcome.p99_s) for each in conclusive]
    if not trials:
        return None
    rates, medians_s, p99s_s = zip(*sorted(trials, key=lambda trial: trial[0]), strict=True)
    knee, slo_s = view.knee, view.knee.slo_s
    x = Linear(rates[-1], 6)
    y = Log(min(medians_s), max(min(max(p99s_s), 30 * slo_s), 1.5 * slo_s))
    limit = y.share(slo_s)
    shapes = [
        Shape(f"M0 {height(limit)}H{SIDE}", "cap", view.limit),
        Shape(line(zip(map(x.share, rates), map(y.share, medians_s), strict=True)), "service"),
        Shape(line(zip(map(x.share, rates), map(y.share, p99s_s), strict=True)), "response"),
    ]
    keys = [Key("response", "p99", "line"), Key("service", "median", "line"), Key("cap", view.limit, "line")]
    caption = ", ".join(f"p99 {brief(p99s_s[end])} at {figure(rates[end])} per second" for end in (0, -1))
    if knee.rate_per_s:
        found = knee.rate_per_s
        low, middle, high = (place(x.share(rate)) for rate in (found.low, found.value, found.high))
        shapes.insert(0, Shape(f"M{low} 0H{high}V{SIDE}H{low}z", "p-room", "the knee"))
        shapes.append(Shape(f"M{middle} 0V{SIDE}", "p-one", "the knee"))
        keys.append(Key("p-room", "interval of the knee"))
        caption += f"; the knee is at {figure(knee.rate_per_s.value)} per second"
    return Chart(
        title="Latency by offered rate",
        caption=f"{caption}.",
        x=x.axis("offered reads per second, by trial"),
        y=y.axis("response time, from the due time"),
        shapes=tuple(shapes),
        keys=tuple(keys),
        notes=(Note(limit, view.limit, ""),),
        height_px=220,
    )
