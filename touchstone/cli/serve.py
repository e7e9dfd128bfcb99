"""The command that serves the twin: argv in, a server until a signal comes."""

from typing import Annotated

import typer
from rich.console import Console

from touchstone.cli.options import examples, one_of
from touchstone.contract.quoting import quoted
from touchstone.errors import UsageError
from touchstone.proof import catalogue
from touchstone.twin import DEFAULT_ACCOUNTS, Account, RateLimit, TwinSettings, serve_forever
from touchstone.twin.behaviour import Behaviour
from touchstone.twin.limit_text import FAMILIES
from touchstone.twin.settings import Plan

app = typer.Typer()

_RATE = (
    "Starts per account: LIMIT/SECONDS, or FAMILY:NUMBERS[,OPTION=VALUE]; two are joined with +. "
    f"Families: {', '.join(FAMILIES)}; docs/limits.md has the form of each."
)
Rate = Annotated[str | None, typer.Option(help=_RATE)]
Accounts = Annotated[
    list[str] | None, typer.Option(help="KEY:PLAN, plan scale or hacker; repeat.  [default: three test accounts]")
]


@app.command(
    epilog=examples(
        "serve --port 8123 --capacity 2", "serve --rate token-bucket:10/1,burst=5", "serve --fault cancel-answers-200"
    )
)
def serve(
    port: Annotated[int, typer.Option(help="Port; 0 for any free one.")] = 8123,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    rate: Rate = None,
    capacity: Annotated[int | None, typer.Option(help="Builds in flight at once.")] = None,
    build_s: Annotated[float, typer.Option(help="Seconds that a build takes besides its sleep steps.")] = 0.2,
    settle_s: Annotated[float, typer.Option(help="Seconds until a cancelled build is gone.")] = 0.05,
    latency_s: Annotated[float, typer.Option(help="Seconds added to every answer.")] = 0.0,
    retry_after: Annotated[str, typer.Option(help="seconds, date or none.")] = "seconds",
    build_timeout_s: Annotated[float | None, typer.Option(help="A longer build fails.")] = None,
    digest_scope: Annotated[str, typer.Option(help="document, or content: without name and version.")] = "document",
    base_path: Annotated[str, typer.Option(help="What every path starts with.")] = "/api",
    account: Accounts = None,
    seed: Annotated[int | None, typer.Option(help="Makes request ids repeat.")] = None,
    fault: Annotated[str | None, typer.Option(help="Break a promise; `touchstone prove --list` has all names.")] = None,
    variant: Annotated[str | None, typer.Option(help="Behave otherwise where the documentation lets it.")] = None,
) -> None:
    """Serve the twin, a reference server."""
    behaviour = _behaviour(fault, variant, seed or 1)
    settings = TwinSettings(
        host=host,
        port=port,
        base_path=base_path,
        accounts=tuple(map(_account, account)) if account else DEFAULT_ACCOUNTS,
        build_s=build_s,
        settle_s=settle_s,
        rate=RateLimit.parse(rate, "--rate") if rate else None,
        capacity=capacity,
        latency_s=latency_s,
        retry_after=one_of("--retry-after", retry_after, "seconds", "date", "none"),
        build_timeout_s=build_timeout_s,
        digest_scope=one_of("--digest-scope", digest_scope, "document", "content"),
        seed=seed,
    )

    def announce(text: str) -> None:
        Console().print(text, markup=False, highlight=False, soft_wrap=True)

    if behaviour.name:
        announce(f"{'variant' if variant else 'fault'} {behaviour.name}: {behaviour.says}")
    serve_forever(behaviour.twin(settings), announce)


def _account(text: str) -> Account:
    key, _, plan = text.partition(":")
    if not key:
        raise UsageError(f"--account {quoted(text)}: expected KEY:PLAN with a key, such as sk_live_test_mine:scale")
    chosen: Plan = one_of("--account", plan or "scale", "scale", "hacker")
    return Account(key, chosen, key[:16] + "…" if len(key) > 16 else key)


def _behaviour(fault: str | None, variant: str | None, seed: int) -> Behaviour:
    if fault and variant:
        raise UsageError(f"--fault {fault} --variant {variant}: a twin has one of them")
    if fault:
        return catalogue.fault(fault, seed)
    return catalogue.variant(variant) if variant else Behaviour("", "")
