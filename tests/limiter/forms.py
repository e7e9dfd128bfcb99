"""Limiters drawn at random, by family and variant, for a probe to be tried on: the same seed draws the same text."""

import random
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Form:
    """One variant of one family, or of two in a row.

    Attributes:
        family: What it is counted under.
        text: As `touchstone serve --rate` takes it, with names of numbers in the place of numbers.
    """

    family: str
    text: str


FORMS: Mapping[str, Form] = {
    "fixed-window": Form("fixed-window", "fixed-window:{limit}/{window}"),
    "fixed-window/clock": Form("fixed-window", "fixed-window:{limit}/{window},opens=clock"),
    "fixed-window/block": Form("fixed-window", "fixed-window:{limit}/{window},block={block}"),
    "fixed-window/restart": Form("fixed-window", "fixed-window:{limit}/{window},refused=restart"),
    "sliding-log": Form("sliding-log", "sliding-log:{limit}/{window}"),
    "sliding-log/count": Form("sliding-log", "sliding-log:{limit}/{window},refused=count"),
    "sliding-counter": Form("sliding-counter", "sliding-counter:{limit}/{window}"),
    "sliding-counter/below": Form("sliding-counter", "sliding-counter:{limit}/{window},rule=below"),
    "sliding-counter/count": Form("sliding-counter", "sliding-counter:{limit}/{window},refused=count"),
    "sliding-counter/first": Form("sliding-counter", "sliding-counter:{limit}/{window},opens=first"),
    "sliding-counter/below-count": Form("sliding-counter", "sliding-counter:{limit}/{window},rule=below,refused=count"),
    "sliding-counter/first-below": Form("sliding-counter", "sliding-counter:{limit}/{window},opens=first,rule=below"),
    "sliding-counter/first-count": Form(
        "sliding-counter", "sliding-counter:{limit}/{window},opens=first,refused=count"
    ),
    "sliding-counter/first-below-count": Form(
        "sliding-counter", "sliding-counter:{limit}/{window},opens=first,rule=below,refused=count"
    ),
    "token-bucket": Form("token-bucket", "token-bucket:{limit}/{window},burst={burst}"),
    "token-bucket/empty": Form("token-bucket", "token-bucket:{limit}/{window},burst={burst},starts=empty"),
    "token-bucket/tick": Form("token-bucket", "token-bucket:{limit}/{window},burst={burst},tick=1"),
    "token-bucket/early": Form("token-bucket", "token-bucket:{limit}/{window},burst={burst},early=0.5"),
    "minimum-gap": Form("minimum-gap", "minimum-gap:{window}"),
    "leaky-bucket": Form("leaky-bucket", "leaky-bucket:{limit}/{window},burst={burst}"),
    "leaky-bucket/delay": Form("leaky-bucket", "leaky-bucket:{limit}/{window},burst={burst},delay={delay}"),
    "none": Form("none", "none"),
    "concurrency": Form("concurrency", "concurrency:{cap},takes={takes}"),
    "builds": Form("builds", "builds:{cap}"),
    "fixed-window+builds": Form("rate + builds", "fixed-window:{limit}/{window}+builds:{cap}"),
    "sliding-log+builds": Form("rate + builds", "sliding-log:{limit}/{window}+builds:{cap}"),
    "token-bucket+builds": Form("rate + builds", "token-bucket:{limit}/{window},burst={burst}+builds:{cap}"),
    "sliding-log+fixed-window": Form("rate + rate", "sliding-log:{few}/{short}+fixed-window:{limit}/{long}"),
    "token-bucket+fixed-window": Form("rate + rate", "token-bucket:{few}/{short}+fixed-window:{limit}/{long}"),
}
FAMILIES = tuple(dict.fromkeys(form.family for form in FORMS.values()))

# One of each of the families that most limiters belong to.
USUAL = ("fixed-window", "sliding-log", "token-bucket", "sliding-counter")

# Limits, bursts and caps are drawn up to these, windows between these seconds.
MOST_LIMIT, MOST_BURST, MOST_CAP = 60, 40, 12
WINDOW_S = (1.0, 6.0)
_SHORT_S, _LONG_S, _TAKES_S = (0.5, 2.0), (5.0, 12.0), (0.1, 0.6)
_LEAST_FEW = 3


def drawn(name: str, seed: int, most: int = MOST_LIMIT) -> str:
    """The text of one limiter of a form; *most*: the largest limit, burst or cap that may be drawn, at least 4."""
    chance = random.Random(f"{name}/{seed}")
    burst = chance.randint(2, min(most, MOST_BURST))
    numbers: dict[str, float] = {
        "limit": chance.randint(2, most),
        "window": round(chance.uniform(*WINDOW_S), 3),
        "burst": burst,
        "block": round(chance.uniform(*WINDOW_S), 3),
        "delay": chance.randint(1, burst),
        "cap": chance.randint(1, min(most, MOST_CAP)),
        "takes": round(chance.uniform(*_TAKES_S), 2),
    }
    return FORMS[name].text.format(**numbers | (_two(chance, most) if "{few}" in FORMS[name].text else {}))


def _two(chance: random.Random, most: int) -> dict[str, float]:
    """The numbers of two rates, both of which are met: the short one lets more through in the long window."""
    while True:
        limit = chance.randint(_LEAST_FEW + 1, most)
        few = max(_LEAST_FEW, limit // 4)
        short, long = round(chance.uniform(*_SHORT_S), 3), round(chance.uniform(*_LONG_S), 3)
        if few * (long // short) > limit:
            return {"limit": limit, "few": few, "short": short, "long": long}
