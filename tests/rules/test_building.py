"""The life-cycle rule never blames a correct server, whatever such a server is free to do."""

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
SETTINGS = settings(max_examples=600)


def any_manners(chance: Random) -> Manners:
    """One of the ways in which a correct server may behave."""
    kinds = get_type_hints(Manners)
    drawn: dict[str, Any] = {}
    for field in fields(Manners):
        kind = kinds[field.name]
        choices = CHOICES.get(field.name, (False, True) if kind is bool else get_args(kind))
        drawn[field.name] = chance.choice(choices)
    if not drawn["digest_covers_name"]:
        # A publish that was refused and still published shares a digest that nobody was told.
        drawn["auto_refused"] = "201"
        drawn["keeps_goldens"] = "for starts"
    return Manners(**drawn)


def any_story(chance: Random, fates: Sequence[simulated.Fate], slowness: int = 1) -> list[Step]:
    """A story of two versions of one account and one of another, about which all kinds of key ask."""
    story = [Step("publish", ref, OWNERS[ref], recipe=chance.choice(RECIPES)) for ref in OWNERS]
    # Where little overlaps, much can be concluded; where much does, little.
    crowd, hurry, length = chance.choice((0.0, 0.1, 0.5)), chance.choice((1, 20, 100)), chance.randint(5, 40)
    return story + [any_step(chance, chance.choice(fates), crowd, hurry, slowness) for _ in range(length)]


def any_step(chance: Random, fate: simulated.Fate, crowd: float, hurry_ms: int, slowness: int) -> Step:
    """One request. Where *slowness* is 1 a start is answered sooner than any sleep ends."""
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
    """What the life-cycle rule holds against the server."""
    known = history(*exchanges, **more)
    judgements = [j for ref in OWNERS for j in life_cycle(ref, known)]
    return [f"{j.claim} {j.evidence}: not {j.expected}; {j.actual}" for j in judgements if j.outcome == "broken"]


def blamed_by_any_rule(exchanges: Sequence[Exchange], **more: Any) -> list[str]:
    """What all rules together hold against the server."""
    judge = Judge(history(**more), claims.load(), EXCHANGE_RULES, STORY_RULES)
    judgements = [j for exchange in sorted(exchanges, key=lambda e: e.done_at) for j in judge.see(exchange)]
    judgements += judge.tell(OWNERS)
    return [f"{j.claim} {j.evidence}: not {j.expected}; {j.actual}" for j in judgements if j.outcome == "broken"]


def described(exchanges: Sequence[Exchange]) -> str:
    """A story, one exchange a line."""
    return "\n".join(
        f"{e.seq:3} {e.sent_at:.3f}-{e.done_at:.3f} {e.operation:16} {e.ref} {e.credential} {e.status} "
        f"{e.body.get('status', '')} {e.body.get('auto_build', '')} {e.note.get('content', '').partition(' ')[2]} "
        f"{'force' if e.note.get('force') else ''} {'auto' if e.note.get('auto_build') else ''}"
        for e in exchanges
    )


@SETTINGS
@given(SEEDS)
def test_correct_server_is_never_blamed(seed: int) -> None:
    """
    Whatever a correct server does where it is free to choose, and in whatever order requests overlap, it is not blamed.
    """
    chance = Random(seed)
    manners = any_manners(chance)
    exchanges = play(Server(manners), any_story(chance, ("answered",)))
    note(f"{manners}\n{described(exchanges)}")

    assert blamed(exchanges, bounds=simulated.bounds(manners, RECIPES)) == []


@SETTINGS
@given(SEEDS)
def test_slow_and_lost_answers_blame_nobody(seed: int) -> None:
    """A request that got no answer may have acted at once, later or never, and nobody is blamed for what it did."""
    chance = Random(seed)
    # Where digests are shared, the digest of a publish without an answer would have to be known.
    manners = replace(any_manners(chance), digest_covers_name=True)
    exchanges = play(Server(manners), any_story(chance, LOSSES, slowness=5))
    note(f"{manners}\n{described(exchanges)}")
    found = blamed(exchanges, bounds=simulated.bounds(manners, RECIPES))

    # A 504 beside another start is no documented answer, and slow starts look like ones that wait for their builds.
    told = ("start.concurrent-answers-are-documented ", "start.does-not-wait ")
    assert [text for text in found if not text.startswith(told)] == []


@settings(SETTINGS, max_examples=40)
@given(SEEDS)
def test_no_rule_blames_a_correct_server(seed: int) -> None:
    """All rules together, on whatever else than the life cycle a story shows, hold nothing against a correct server."""
    chance = Random(seed)
    manners = any_manners(chance)
    # No two moments fall together here: which of them came first is a question of the life cycle.
    story = [
        replace(step, gap_ms=1 + step.gap_ms, before_ms=3 + step.before_ms, after_ms=3 + step.after_ms)
        for step in any_story(chance, ("answered",))
    ]
    exchanges = play(Server(manners), story)
    note(f"{manners}\n{described(exchanges)}")

    assert blamed_by_any_rule(exchanges, bounds=simulated.bounds(manners, RECIPES)) == []
