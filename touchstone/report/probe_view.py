"""View of a probe: limiter, advice for clients, and knee (the highest rate that meets a latency limit); no I/O."""

import math
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from touchstone.facts.identity import Identity, Interval, Step, Tier
from touchstone.facts.probe import Answer, Identified, Knee, ProbeStory, Tried
from touchstone.facts.wording import brief, figure, percentage, plural
from touchstone.limiter.identify import cost
from touchstone.limiter.pace import Pace, pace
from touchstone.loadgen.knee import describe_reason
from touchstone.report.texts import TEXTS

_UNITS = {1.0: "per second", 60.0: "per minute", 3600.0: "per hour", 86400.0: "per day"}
_USUAL = {"fixed-window": {"opens": "first"}, "sliding-counter": {"opens": "clock"}}


def noun(operation: str) -> str:
    """Noun for a request of an operation: ``build`` or ``read``."""
    return "build" if operation == "startBuild" else "read"


def describe_family(family: str) -> str:
    """Display name of a family of limiters, such as ``token bucket``."""
    return {"builds": "cap on builds in flight", "none": "no limit"}.get(family, family.replace("-", " "))


def lasting(duration_s: float) -> str:
    """Describes a duration; in minutes, hours or days if it is a whole number of them: ``4 s``, ``2 h``, ``1 day``."""
    for unit_s, unit in ((86400.0, "day"), (3600.0, "h"), (60.0, "min")):
        count = duration_s / unit_s
        if count >= 1 and abs(count - round(count)) < 1e-9:
            return plural(round(count), unit) if unit == "day" else f"{round(count)} {unit}"
    return brief(duration_s)


def describe_rate(rate_per_s: float, what: str, unit_s: float = 0.0) -> str:
    """Describes a rate, such as ``10 builds per minute``; *unit_s* 0 means the shortest unit that gives at least 1."""
    if unit_s not in _UNITS:
        unit_s = next((unit_s for unit_s in _UNITS if rate_per_s * unit_s >= 0.9995), 86400.0)
    number = figure(rate_per_s * unit_s)
    return f"{number} {what}{'' if number == '1' else 's'} {_UNITS[unit_s]}"


def describe_numbers(tier: Tier, what: str) -> dict[str, str]:
    """Describes the numbers of a limiter, by name; prefers the numbers in the limiter's text, which are rounder."""
    first, _, second = tier.text.rpartition(":")[2].partition(",")[0].partition("/")
    unit, found = "build" if tier.family == "builds" else what, {}
    for name, number in tier.numbers.items():
        if name == "rate_per_s":
            found[name] = describe_rate(float(first) / float(second), what, float(second))
        elif name.endswith("_s"):
            written = {"gap_s": first, "window_s": second}.get(name) if "rate_per_s" not in tier.numbers else None
            found[name] = lasting(float(written or number.value))
        else:
            found[name] = plural(round(number.value), unit) if name == "limit" else f"{round(number.value)}"
    return found


def describe_limiter(tiers: Sequence[Tier], what: str) -> str:
    """Describes one or two limiters, each with its numbers and their uncertainty."""
    texts = [f"{describe_family(t.family)}: {_describe_tier(t, what)}" for t in tiers if t.family != "builds"]
    texts += [f"at most {_describe_tier(tier, what)}" for tier in tiers if tier.family == "builds"]
    return "; and ".join(texts) or "no limit"


def _describe_tier(tier: Tier, what: str) -> str:
    numbers = describe_numbers(tier, what)
    known = {name: numbers[name] + give_or_take(name, number) for name, number in tier.numbers.items()}
    text, options = TEXTS["limiters"][tier.family].format(what=what, **known), TEXTS["options"]
    for option, value in (_USUAL.get(tier.family, {}) | tier.options).items():
        text += options.get(f"{option}={value}", options.get(option, "")).format(value)
    return text


def give_or_take(name: str, number: Interval) -> str:
    """Uncertainty of a time or rate: `` (±0.4 %)``, empty below 0.05 %; of a count: `` (±1)`` or `` (4 to 6)``."""
    over, under = number.high - number.value, number.value - number.low
    if not name.endswith("_s"):
        is_even = round(over) == round(under)
        return f" (±{round(over)})" if is_even else f" ({round(number.low)} to {round(number.high)})"
    share = max(over, under) / number.value if number.value else 0.0
    if share >= 1:
        return " (very uncertain)"
    return f" (±{percentage(share, 2)})" if share >= 0.0005 else ""


def describe_free(identity: Identity) -> Iterator[str]:
    """Yields a text for each cap on open requests or on builds that the probe looked for and did not find."""
    capped = {tier.family for tier in identity.tiers}
    if identity.uncapped_to and "concurrency" not in capped:
        yield f"no cap on open requests up to {identity.uncapped_to}"
    if identity.holds_to and "builds" not in capped:
        yield f"no cap on builds in flight up to {identity.holds_to}"


def describe_fields(identity: Identity, answers: Sequence[Answer]) -> Iterator[tuple[str, str, str]]:
    """Yields a row for each header field about the limit: its name, what it says, and what the limiter does."""
    numbers = identity.tiers[0].numbers if identity.tiers else {}
    pairs = {"limit": numbers.get("limit") or numbers.get("burst"), "window_s": numbers.get("window_s")}
    for name, number in pairs.items():
        if values := {answer.quota[name] for answer in answers if name in answer.quota}:
            unit = " s" if name == "window_s" else ""
            yield TEXTS["fields"][name], _range(values, unit), figure(number.value) + unit if number else "not found"
    hinted = [number for number, answer in enumerate(answers) if answer.retry_after_s is not None]
    found = Counter(filter(None, (_after(number, answers) for number in hinted)))
    if any(tier.family in ("builds", "concurrency") for tier in identity.tiers):
        found.pop("early", None)  # the probe itself made room
    if found:
        says = _range([answers[number].retry_after_s or 0.0 for number in hinted], " s")
        does = ", ".join(f"{count} of {found.total()} {TEXTS['waits'][what]}" for what, count in sorted(found.items()))
        yield TEXTS["fields"]["retry_after"], says, does


def _range(values: Collection[float], unit: str) -> str:
    return " to ".join(dict.fromkeys((f"{min(values):g}{unit}", f"{max(values):g}{unit}")))


def _after(number: int, answers: Sequence[Answer]) -> str:
    """What came of a Retry-After, as in the table ``waits``; empty if no later request shows it."""
    at = answers[number].done_at
    due_at = at + (answers[number].retry_after_s or 0.0)
    later = (one for one in answers[number + 1 :] if one.sent_at > at and (one.accepted or one.sent_at >= due_at))
    first = next(later, None)
    if first is None:
        return ""
    if not first.accepted:
        return "late"
    return "early" if first.sent_at < due_at - 1.0 else "kept"


def _sentence(name: str, *about: object) -> str:
    from touchstone.report import html  # noqa: PLC0415 - that module imports this one

    return html.sentence(name, *about, of="probe")


@dataclass(frozen=True, slots=True)
class Advice:
    """Advice for clients."""

    pace: Pace | None  # safe pace; None if no request was refused, or nothing is known
    rate_per_s: float | None  # steady rate of requests; None if no rate is limited
    families: tuple[str, ...]  # families for which the advice is safe; several if the probe is not certain
    retry_after: bool  # whether clients may rely on the Retry-After of responses
    lines: tuple[str, ...]


def advice(identity: Identity, operation: str) -> Advice:
    """Advice that is safe with the limiter that was found; if the probe is not certain, with all likely limiters."""
    from touchstone.report import html  # noqa: PLC0415 - that module imports this one

    chains = [identity.tiers] if identity.tiers else []
    if not identity.sure:
        likely = [one.text for one in identity.families if one.probability >= 0.01 and one.text]
        chains += [tuple(map(_tier_of, text.split("+"))) for text in likely]
    safest = pace(chain.from_iterable(chains)).beside(identity.others_share.high) if chains else None
    if not chains and identity.refused_for_s:
        wait_s = 1.1 * identity.refused_for_s  # the limiter is unknown
        safest = Pace(wait_s, 1, wait_s, wait_s, wait_s, at_once=1, in_flight=1)
    families = tuple(dict.fromkeys("+".join(tier.family for tier in tiers) for tiers in chains))
    rate_per_s = 1 / safest.spacing_s if safest and safest.spacing_s else None
    retry_after = not any("retry-after" in finding.lower() for finding in identity.findings)
    template = html.environment().get_template("probe_advice.txt.j2")
    text = template.render(
        pace=safest,
        identity=identity,
        what=noun(operation),
        retry_after=retry_after,
        families=["+".join(map(describe_family, name.split("+"))) for name in families],
        rate=describe_rate,
    )
    return Advice(safest, rate_per_s, families, retry_after, tuple(filter(None, text.splitlines())))


def _tier_of(text: str) -> Tier:
    """Parses a limiter such as ``token-bucket:8/4,burst=2``; its numbers count as exact."""
    family, _, rest = text.partition(":")
    numbers, *pairs = rest.split(",")
    options = dict(pair.split("=", 1) for pair in pairs)
    first, _, second = numbers.partition("/")
    values = {"gap_s": float(first)} if family == "minimum-gap" else {"limit": float(first)}
    values |= {"window_s": float(second)} if second else {}
    values |= {"block_s": float(options["block"])} if "block" in options else {}
    if family in ("token-bucket", "leaky-bucket"):
        usual = values["limit"] if family == "token-bucket" else 0.0
        values = {"rate_per_s": values["limit"] / values["window_s"], "burst": float(options.get("burst", usual))}
    return Tier(family, text, {name: Interval(value, value, value) for name, value in values.items()}, options)


@dataclass(frozen=True, slots=True)
class KneeView:
    """Result of a search for the knee, with its trials in order."""

    operation: str
    knee: Knee
    tried: tuple[Tried, ...]

    @property
    def limit(self) -> str:
        """Latency limit of the search, such as ``p99 ≤ 100 ms``."""
        return f"p99 ≤ {brief(self.knee.slo_s)}"

    @property
    def sentence(self) -> str:
        """Result in one sentence."""
        return _sentence("knee", self, describe_reason(self.knee))


@dataclass(frozen=True, slots=True)
class ProbeView:
    """View of a probe."""

    operation: str  # operationId of the requests
    answers: tuple[Answer, ...]  # responses in the order of their requests
    failed: tuple[Answer, ...]  # requests without a response, and responses of a failing server
    identity: Identity
    steps: tuple[Step, ...]  # probabilities after each stimulus (a planned series of requests)
    sentence: str
    limiter: str  # description of the limiter that was found, or of the likeliest limiter
    tried: list[str]  # caps that the probe looked for and did not find, and which quotas are not excluded
    others: str  # share of the limit that other clients use; empty if they use none
    advice: Advice
    knee: KneeView | None
    needs_s: int  # seconds that a longer probe needs if the last Retry-After is right; 0 if this one suffices
    says: list[tuple[str, str, str]]  # rows: what header fields say beside what the limiter does

    @property
    def numbers(self) -> Iterator[tuple[str, str, str, str]]:
        """Yields a row for each number or option of a limiter: name, family, value, 95 % interval (or empty)."""
        what = noun(self.operation)
        for tier in self.identity.tiers:
            values = describe_numbers(tier, what)
            if "rate_per_s" in values:
                values.pop("window_s", None)  # the window is not shown, because it follows from the rate
            for name, value in (values | tier.options | values).items():
                interval = _ends(name, tier.numbers[name]) if name in values else ""
                yield TEXTS["numbers"].get(name, name), describe_family(tier.family), value, interval


def _ends(name: str, number: Interval) -> str:
    if number.low == number.high:
        return "exact"
    unit = " per second" if name == "rate_per_s" else " s" if name.endswith("_s") else ""
    return f"{figure(number.low, 4)} to {figure(number.high, 4)}{unit}"


def probe_of(story: ProbeStory | None) -> ProbeView | None:
    """View of the probe in a run log; None if the run was not a probe."""
    if story is None:
        return None
    every = (one.answer for one in story.answers if one.is_evidence)
    answers, operation = sorted(every, key=lambda answer: (answer.sent_at, answer.stream)), story.probing.operation
    spent = cost(answers, starts=operation == "startBuild")
    found = story.identified or Identified(Identity((), (), spent, why="interrupted"))
    identity = found.identity
    limiter = describe_limiter(identity.tiers, noun(operation))
    free, given = list(describe_free(identity)), advice(identity, operation)
    horizon = _sentence("horizon", identity, noun(operation), _soak(story, identity, given.pace))
    shut = _sentence("shut", identity, answers, needed := needed_s(identity, answers))
    return ProbeView(
        operation=operation,
        answers=tuple(answers),
        failed=tuple(one.answer for one in story.answers if not one.is_evidence),
        identity=identity,
        steps=tuple(found.steps),
        sentence=_sentence("found", identity, limiter, free),
        limiter=limiter,
        tried=[*(free if identity.tiers else []), *filter(None, [horizon, shut])],
        others=_sentence("others", identity.others_share),
        advice=given,
        knee=_knee_of(story),
        needs_s=needed,
        says=list(describe_fields(identity, answers)),
    )


def needed_s(identity: Identity, answers: Sequence[Answer]) -> int:
    """Seconds that a probe needs, if its limiter refused up to the end, and the last Retry-After is right; else 0."""
    hint_s, since = answers[-1].retry_after_s if answers else None, identity.refused_for_s
    if hint_s is None or identity.sure or identity.why not in ("budget", "interrupted"):
        return 0
    if any(answer.accepted for answer in answers if answer.sent_at > answers[-1].done_at - since):
        return 0
    return math.ceil(WINDOWS * (since + hint_s) / 100) * 100


WINDOWS = 6  # an identification may need so many windows
_MORE = 5  # a longer soak accepts so many times the requests of this probe


def _soak(story: ProbeStory, identity: Identity, safest: Pace | None) -> tuple[str, float]:
    """Options for a probe that soaks longer than this one, and the seconds that the soak takes."""
    accepted, terms = max(identity.cost.requests - identity.cost.refused, 1), story.probing.terms
    count = round(_MORE * accepted, 2 - len(str(_MORE * accepted)))
    each_s = max(safest.spacing_s if safest else 0.0, identity.cost.seconds / accepted)
    budget = {"requests": 2 * count, "builds": 2 * count * terms["starts"], "seconds": math.ceil(2 * count * each_s)}
    has = {"requests": terms["most_requests"], "builds": terms["most_builds"], "seconds": terms["most_s"]}
    more = (f" --max-{name} {need}" for name, need in budget.items() if need > has[name])
    return f"--soak {count}" + "".join(more), count * each_s


def _knee_of(story: ProbeStory) -> KneeView | None:
    """Result of the search for the knee, or its trials until it was interrupted; None if the probe did not search."""
    if story.probing.knee is None:
        return None
    requests = sum(each.outcome.sent for each in story.tried)
    seconds = sum(each.outcome.lasted_s for each in story.tried)
    knee = story.knee or Knee(story.probing.knee.slo_s, "interrupted", requests=requests, seconds=seconds)
    return KneeView(story.probing.operation, knee, tuple(story.tried))
