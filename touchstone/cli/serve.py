"""The command that serves the twin: argv in, a server until a signal comes."""

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
    "Starts per account: LIMIT/SECONDS, or FAMILY:NUMBERS[,OPTION=VALUE]; two are joined with +. "
    f"Families: {', '.join(FAMILIES)}; docs/limits.md has the form of each."
)
Accounts = Annotated[
    list[str] | None, Option(help="KEY:PLAN, plan scale or hacker; repeat.  [default: three test accounts]")
]
RetryAfter = Annotated[Literal["seconds", "date", "none"], Option(help="What a 429 says of when to come again.")]
DigestScope = Annotated[
    Literal["document", "content"], Option(help="What a digest is of; content is without name and version.")
]


@command(
    app, "serve --port 8123 --capacity 2", "serve --rate token-bucket:10/1,burst=5", "serve --fault cancel-answers-200"
)
@dataclass(frozen=True, kw_only=True)
class Serve:
    """Serve the twin, a reference server."""

    port: Annotated[int, Option(help="Port; 0 for any free one.")] = 8123
    host: Annotated[str, Option(help="Address to listen on.")] = "127.0.0.1"
    rate: Annotated[str | None, Option(help=_RATE)] = None
    capacity: Annotated[int | None, Option(help="Builds in flight at once.")] = None
    build_s: Annotated[float, Option(help="Seconds that a build takes besides its sleep steps.")] = 0.2
    settle_s: Annotated[float, Option(help="Seconds until a cancelled build is gone.")] = 0.05
    latency_s: Annotated[float, Option(help="Seconds added to every answer.")] = 0.0
    retry_after: RetryAfter = "seconds"
    build_timeout_s: Annotated[float | None, Option(help="A longer build fails.")] = None
    digest_scope: DigestScope = "document"
    base_path: Annotated[str, Option(help="What every path starts with.")] = "/api"
    account: Accounts = None
    seed: Annotated[int | None, Option(help="Makes request ids repeat.")] = None
    fault: Annotated[str | None, Option(help="Break a promise; `touchstone prove --list` has all names.")] = None
    variant: Annotated[str | None, Option(help="Behave otherwise where the documentation lets it.")] = None

    def run(self) -> int:
        """Serves until a signal comes."""
        out, given = Console(), asdict(self)
        fault, variant, accounts, rate = (given.pop(name) for name in ("fault", "variant", "account", "rate"))
        behaviour = _behaviour(fault, variant, self.seed or 1)
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


def _behaviour(fault: str | None, variant: str | None, seed: int) -> Behaviour:
    if fault and variant:
        raise UsageError(f"--fault {fault} --variant {variant}: a twin has one of them")
    if not fault and not variant:
        return Behaviour("", "")
    from touchstone.proof import catalogue  # noqa: PLC0415 - a faithful twin does without hundreds of faults

    return catalogue.fault(fault, seed) if fault else catalogue.variant(variant or "")
