"""The command `serve`, which serves the twin until a signal arrives."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Literal

from rich.console import Console
from typer import Typer

from touchstone.cli.options import command, flag, option, say
from touchstone.errors import UsageError, quoted
from touchstone.twin import DEFAULT_ACCOUNTS, Account, RateLimit, TwinSettings, serve_forever
from touchstone.twin.console import ConsoleTwin
from touchstone.twin.limits import FAMILIES
from touchstone.twin.serve import Behaviour

app = Typer()

_RATE = (
    "Rate limit of starts per account: LIMIT/SECONDS or FAMILY:NUMBERS[,OPTION=VALUE]; + joins two limits. "
    f"Families: {', '.join(FAMILIES)}; docs/limits.md describes them."
)


@command(
    app, "serve --port 8123 --capacity 2", "serve --rate token-bucket:10/1,burst=5", "serve --fault cancel-answers-200"
)
@dataclass(frozen=True, kw_only=True)
class Serve:
    """Serve the twin, a reference server of the API."""

    port: int = option("Port; 0 for any free one.", default=8123)
    host: str = option("Address to listen on.", default="127.0.0.1")
    rate: str | None = option(_RATE)
    capacity: int | None = option("Maximum number of builds in flight.")
    build_s: float = option("Seconds that a build takes, without its sleep steps.", default=0.2)
    settle_s: float = option("Seconds until a cancelled build has settled.", default=0.05)
    latency_s: float = option("Seconds added to every response.", default=0.0)
    retry_after: Literal["seconds", "date", "none"] = option(
        "Form of Retry-After in a 429 response.", default="seconds"
    )
    build_timeout_s: float | None = option("Seconds after which a build fails.")
    digest_scope: Literal["document", "content"] = option(
        "Input of a digest; content excludes name and version.", default="document"
    )
    base_path: str = option("Prefix of all paths.", default="/api")
    account: list[str] | None = option(
        "Account KEY:PLAN, plan scale or hacker; repeatable.  [default: three test accounts]"
    )
    seed: int | None = option("Seed of request ids.")
    fault: list[str] | None = option("Fault to serve, repeatable; `touchstone prove --list` lists all.")
    variant: str | None = option("Variant to serve; `touchstone prove --list` lists all.")
    seed_templates: bool = flag("Publish hello, which builds, broken, which fails, and slow, which takes a minute.")
    control: bool = flag(
        "Let this machine switch faults and limits: PUT /__touchstone/faults and /__touchstone/limits."
    )
    quiet: bool = flag("Print no line for each request.")

    def run(self) -> int:
        """Serves until a signal arrives."""
        out, given = Console(), asdict(self)
        faults, variant, accounts, rate = (given.pop(name) for name in ("fault", "variant", "account", "rate"))
        seeds, control, quiet = (given.pop(name) for name in ("seed_templates", "control", "quiet"))
        if faults and variant:
            raise UsageError(f"--fault {faults[0]} --variant {variant}: both are given; use only one")

        def behave(names: Sequence[str]) -> Behaviour:
            from touchstone.proof import catalogue  # noqa: PLC0415 - slow, and only needed for faults and variants

            return catalogue.faulty(names, self.seed or 1) if names or not variant else catalogue.variant(variant)

        behaviour = behave(faults or ()) if faults or variant else Behaviour("", "")
        given["accounts"] = tuple(map(_account, accounts)) if accounts else DEFAULT_ACCOUNTS
        settings = TwinSettings(rate=RateLimit.parse(rate, "--rate") if rate else None, **given)
        if behaviour.name:
            say(out, f"{'variant' if variant else 'fault'} {behaviour.name}: {behaviour.says}")
        options = {"faults": faults or (), "control": control, "log": None if quiet else partial(say, out)}
        serve_forever(ConsoleTwin(settings, behaviour, behave, seeds=seeds, **options), partial(say, out))
        return 0


def _account(text: str) -> Account:
    key, _, plan = text.partition(":")
    if key and (plan or "scale") in ("scale", "hacker"):
        return Account(key, "hacker" if plan == "hacker" else "scale", key[:16] + "…" if len(key) > 16 else key)
    raise UsageError(f"--account {quoted(text)}: expected KEY:scale or KEY:hacker, such as sk_live_test_mine:scale")
