"""The command `serve`, which serves the twin until a signal arrives."""

from dataclasses import asdict, dataclass
from typing import Annotated, Literal

from rich.console import Console
from typer import Option, Typer

from touchstone.cli.options import command, say
from touchstone.contract.quoting import quoted
from touchstone.errors import UsageError
from touchstone.twin import DEFAULT_ACCOUNTS, Account, RateLimit, TwinSettings, serve_forever
from touchstone.twin.limits import FAMILIES
from touchstone.twin.serve import Behaviour

app = Typer()

_RATE = (
    "Rate limit of starts per account: LIMIT/SECONDS or FAMILY:NUMBERS[,OPTION=VALUE]; + joins two limits. "
    f"Families: {', '.join(FAMILIES)}; docs/limits.md describes them."
)
Accounts = Annotated[
    list[str] | None, Option(help="Account KEY:PLAN, plan scale or hacker; repeatable.  [default: three test accounts]")
]
RetryAfter = Annotated[Literal["seconds", "date", "none"], Option(help="Form of Retry-After in a 429 response.")]
DigestScope = Annotated[
    Literal["document", "content"], Option(help="Input of a digest; content excludes name and version.")
]


@command(
    app, "serve --port 8123 --capacity 2", "serve --rate token-bucket:10/1,burst=5", "serve --fault cancel-answers-200"
)
@dataclass(frozen=True, kw_only=True)
class Serve:
    """Serve the twin, a reference server of the API."""

    port: Annotated[int, Option(help="Port; 0 for any free one.")] = 8123
    host: Annotated[str, Option(help="Address to listen on.")] = "127.0.0.1"
    rate: Annotated[str | None, Option(help=_RATE)] = None
    capacity: Annotated[int | None, Option(help="Maximum number of builds in flight.")] = None
    build_s: Annotated[float, Option(help="Seconds that a build takes, without its sleep steps.")] = 0.2
    settle_s: Annotated[float, Option(help="Seconds until a cancelled build has settled.")] = 0.05
    latency_s: Annotated[float, Option(help="Seconds added to every response.")] = 0.0
    retry_after: RetryAfter = "seconds"
    build_timeout_s: Annotated[float | None, Option(help="Seconds after which a build fails.")] = None
    digest_scope: DigestScope = "document"
    base_path: Annotated[str, Option(help="Prefix of all paths.")] = "/api"
    account: Accounts = None
    seed: Annotated[int | None, Option(help="Seed of request ids.")] = None
    fault: Annotated[str | None, Option(help="Fault to serve; `touchstone prove --list` lists all.")] = None
    variant: Annotated[str | None, Option(help="Variant to serve; `touchstone prove --list` lists all.")] = None

    def run(self) -> int:
        """Serves until a signal arrives."""
        out, given = Console(), asdict(self)
        fault, variant, accounts, rate = (given.pop(name) for name in ("fault", "variant", "account", "rate"))
        if fault and variant:
            raise UsageError(f"--fault {fault} --variant {variant}: both are given; use only one")
        behaviour = Behaviour("", "")
        if fault or variant:
            from touchstone.proof import catalogue  # noqa: PLC0415 - slow, and only needed for these two

            behaviour = catalogue.fault(fault, self.seed or 1) if fault else catalogue.variant(variant)
        given["accounts"] = tuple(map(_account, accounts)) if accounts else DEFAULT_ACCOUNTS
        settings = TwinSettings(rate=RateLimit.parse(rate, "--rate") if rate else None, **given)
        if behaviour.name:
            say(out, f"{'variant' if variant else 'fault'} {behaviour.name}: {behaviour.says}")
        serve_forever(behaviour.twin(settings), lambda text: say(out, text))
        return 0


def _account(text: str) -> Account:
    key, _, plan = text.partition(":")
    if key and (plan or "scale") in ("scale", "hacker"):
        return Account(key, "hacker" if plan == "hacker" else "scale", key[:16] + "…" if len(key) > 16 else key)
    raise UsageError(f"--account {quoted(text)}: expected KEY:scale or KEY:hacker, such as sk_live_test_mine:scale")
