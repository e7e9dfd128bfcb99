"""No rule blames a correct simulated server, with any allowed behaviour."""

from collections.abc import Sequence
from dataclasses import fields, replace
from random import Random
from typing import Any, get_args, get_type_hints

from hypothesis import given, note, settings
from hypothesis import strategies as st

from tests.rules import simulated
from tests.rules.exchanges import history
from tests.rules.simulated import Kind, Manners, Recipe, Server, Step, play
from touchstone.contract import claims
from touchstone.facts.exchange import Credential, Exchange
from touchstone.facts.finding import Judgement
from touchstone.rules.catalogue import EXCHANGE_RULES, STORY_RULES
from touchstone.rules.judge import Judge
from touchstone.rules.lifecycle import life_cycle

ONE, TWO, THEIRS = (f"default/touchstone-t1-{name}@1.0.0" for name in ("one", "two", "theirs"))
OWNERS: dict[str, Credential] = {ONE: "primary", TWO: "primary", THEIRS: "second"}
RECIPES = (
    Recipe("quick"),
    Recipe("slow", sleep_ms=400),
    Recipe("other", sleep_ms=300),
    Recipe("failing", "failed"),
    Recipe("slow-failing", "failed", 300),
)
CHOICES: dict[str, tuple[Any, ...]] = {
    "prefix": ("", "sha256:"),
    "overhead_ms": (0, 0, 10, 50, 300),
    "clock_share": (1.0, 0.95, 0.91),
    "settle_ms": (0, 1, 50, 400),
    "capacity": (1, 2, 100, 100),
}
KINDS: dict[Kind, int] = {"start": 6, "read": 9, "cancel": 4, "publish": 3, "delete": 1}
LOSSES: tuple[simulated.Fate, ...] = ("answered",) * 12 + ("lost", "late", "dropped", "gateway")
SEEDS = st.integers(0, 2**64)
SETTINGS = settings(max_examples=300)


def any_manners(chance: Random) -> Manners:
    """Allowed behaviour of a correct server."""
    kinds = get_type_hints(Manners)
    drawn: dict[str, Any] = {}
    for field in fields(Manners):
        kind = kinds[field.name]
        choices = CHOICES.get(field.name, (False, True) if kind is bool else get_args(kind))
        drawn[field.name] = chance.choice(choices)
    if not drawn["digest_covers_name"]:
        # A refused publish that took effect shares an unknown digest.
        drawn["auto_refused"] = "201"
        drawn["keeps_goldens"] = "for starts"
    return Manners(**drawn)


def any_story(chance: Random, fates: Sequence[simulated.Fate], slowness: int = 1) -> list[Step]:
    """A story of two versions of one account and one of another, with requests by all kinds of keys."""
    story = [Step("publish", ref, OWNERS[ref], recipe=chance.choice(RECIPES)) for ref in OWNERS]
    # Few overlaps allow many conclusions, many overlaps few.
    crowd, hurry, length = chance.choice((0.0, 0.1, 0.5)), chance.choice((1, 20, 100)), chance.randint(5, 40)
    return story + [any_step(chance, chance.choice(fates), crowd, hurry, slowness) for _ in range(length)]


def any_step(chance: Random, fate: simulated.Fate, crowd: float, hurry_ms: int, slowness: int) -> Step:
    """A request. With a *slowness* of 1, starts are faster than any sleep."""
    ref = chance.choice((ONE, ONE, ONE, TWO, THEIRS))
    kind = chance.choices(list(KINDS), list(KINDS.values()))[0]
    strange = kind != "publish" and chance.random() < 0.1
    return Step(
        kind,
        ref,
        chance.choice(("none", "second" if ref != THEIRS else "primary")) if strange else OWNERS[ref],
        gap_ms=chance.choice((0, 0, 1, 10, 50, 150, 300, 500, 1000)),
        beside=chance.random() < crowd,
        before_ms=chance.randint(0, hurry_ms),
        after_ms=chance.randint(0, slowness * hurry_ms if kind == "start" else 3 * hurry_ms),
        fate=fate,
        recipe=chance.choice(RECIPES),
        force=chance.random() < 0.7,
        auto_build=chance.random() < 0.3,
        limited=chance.random() < 0.05,
    )


def blamed(exchanges: Sequence[Exchange], **more: Any) -> list[str]:
    """Findings of the life-cycle rule."""
    known = history(*exchanges, **more)
    return accusations([j for ref in OWNERS for j in life_cycle(ref, known)])


def accusations(judgements: Sequence[Judgement]) -> list[str]:
    return [f"{j.claim} {j.evidence}: not {j.expected}; {j.actual}" for j in judgements if j.outcome == "broken"]


def blamed_by_any_rule(exchanges: Sequence[Exchange], **more: Any) -> list[str]:
    """Findings of all rules."""
    judge = Judge(history(**more), claims.load(), EXCHANGE_RULES, STORY_RULES)
    judgements = [j for exchange in sorted(exchanges, key=lambda e: e.done_at) for j in judge.add(exchange)]
    return accusations([*judgements, *judge.conclude(OWNERS)])


def describe(exchanges: Sequence[Exchange]) -> str:
    """Renders a story, one exchange a line."""
    return "\n".join(
        f"{e.seq:3} {e.sent_at:.3f}-{e.done_at:.3f} {e.operation:16} {e.ref} {e.credential} {e.status} "
        f"{e.body.get('status', '')} {e.body.get('auto_build', '')} {e.note.get('content', '').partition(' ')[2]} "
        f"{'force' if e.note.get('force') else ''} {'auto' if e.note.get('auto_build') else ''}"
        for e in exchanges
    )


@SETTINGS
@given(SEEDS)
def test_correct_server_is_never_blamed(seed: int) -> None:
    chance = Random(seed)
    manners = any_manners(chance)
    exchanges = play(Server(manners), any_story(chance, ("answered",)))
    note(f"{manners}\n{describe(exchanges)}")

    assert blamed(exchanges, bounds=simulated.bounds(manners, RECIPES)) == []


@SETTINGS
@given(SEEDS)
def test_slow_and_lost_answers_blame_nobody(seed: int) -> None:
    chance = Random(seed)
    # With shared digests, the digest of a publish without a response would be needed.
    manners = replace(any_manners(chance), digest_covers_name=True)
    exchanges = play(Server(manners), any_story(chance, LOSSES, slowness=5))
    note(f"{manners}\n{describe(exchanges)}")
    found = blamed(exchanges, bounds=simulated.bounds(manners, RECIPES))

    # A 504 to overlapping starts is undocumented, and slow starts look like starts that wait for builds.
    fair = ("start.concurrent-answers-are-documented ", "start.does-not-wait ")
    assert [text for text in found if not text.startswith(fair)] == []


@settings(SETTINGS, max_examples=40)
@given(SEEDS)
def test_no_rule_blames_a_correct_server(seed: int) -> None:
    chance = Random(seed)
    manners = any_manners(chance)
    # No simultaneous events: their order is judged by the life-cycle rule.
    story = [
        replace(step, gap_ms=1 + step.gap_ms, before_ms=3 + step.before_ms, after_ms=3 + step.after_ms)
        for step in any_story(chance, ("answered",))
    ]
    exchanges = play(Server(manners), story)
    note(f"{manners}\n{describe(exchanges)}")

    assert blamed_by_any_rule(exchanges, bounds=simulated.bounds(manners, RECIPES)) == []
