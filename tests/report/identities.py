"""Results of probes, from the text of a limiter."""

from touchstone.facts.identity import Cost, Identity, Interval, Runner, Tier
from touchstone.twin import RateLimit

COST = Cost(requests=43, refused=17, builds=26, seconds=61.2)


def around(value: float, share: float) -> Interval:
    return Interval(value, value * (1 - share), value * (1 + share))


def exactly(value: float) -> Interval:
    return Interval(value, value, value)


def tier(text: str, share: float = 0.004) -> Tier:
    """One tier; *share* is the uncertainty of its times."""
    rate = RateLimit.parse(text)
    family = rate.family
    if family in ("concurrency", "builds"):
        numbers = {"limit": exactly(rate.limit)}
    elif family == "minimum-gap":
        numbers = {"gap_s": around(rate.window_s, share)}
    elif family in ("token-bucket", "leaky-bucket"):
        usual = rate.limit if family == "token-bucket" else 0
        burst = rate.options.get("burst", usual)
        numbers = {"rate_per_s": around(rate.limit / rate.window_s, share), "burst": exactly(burst)}
    else:
        numbers = {"limit": exactly(rate.limit), "window_s": around(rate.window_s, share)}
    numbers |= {"block_s": around(rate.options["block_s"], share)} if "block_s" in rate.options else {}
    numbers |= {"delay": exactly(rate.options["delay"])} if "delay" in rate.options else {}
    options = {name: rate.options[name] for name in ("opens", "refused", "rule", "starts") if name in rate.options}
    more = {name: rate.options.get(name) for name in ("tick_s", "early", "takes_s", "delay", "block_s")}
    options |= {name.removesuffix("_s"): f"{value:g}" for name, value in more.items() if value}
    return Tier(family, text, numbers, options)


def identity(text: str, **parts: object) -> Identity:
    """A certain result."""
    tiers = () if text == "none" else tuple(map(tier, text.split("+")))
    values: dict[str, object] = {"cost": COST, "sure": True, "why": "settled"}
    if tiers:
        values["families"] = (
            Runner(tiers[0].family, 0.9996, text),
            Runner("sliding-log", 0.0004, "sliding-log:5/28", "refused at 12.3 s, but it would have accepted one"),
        )
    else:
        values |= {"families": (), "unlimited_to": 400}
    return Identity(tiers, **(values | parts))  # type: ignore[arg-type]  # the parts are those of Identity
