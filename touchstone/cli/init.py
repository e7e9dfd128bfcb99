"""The command that a project begins with: argv in, files out."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from touchstone.cli import starters
from touchstone.cli.options import examples, one_of

app = typer.Typer()

_SECRETS = {
    "github": "store ORGO_API_KEY as a secret of the repository: Settings > Secrets and variables > Actions",
    "gitlab": "store ORGO_API_KEY as a masked variable of the project (Settings > CI/CD), and plan a schedule",
}
_WHEEL = (
    "store two variables there: TOUCHSTONE_WHEEL, the wheel to install, as a path in the repository or an https "
    "address, and TOUCHSTONE_SHA256, its SHA-256"
)


@app.command(
    epilog=examples(
        "init", "init --target canary --url https://canary.example.test/api --ci gitlab", "init --ci none --force"
    )
)
def init(
    target: Annotated[str, typer.Option(help="What the target is called.")] = "staging",
    url: Annotated[str | None, typer.Option(help="Base URL of the target.  [default: one to be replaced]")] = None,
    ci: Annotated[str, typer.Option(help="Whose pipeline to write a file for: github, gitlab or none.")] = "github",
    force: Annotated[bool, typer.Option("--force", help="Write over files that are there.")] = False,
) -> None:
    """Write touchstone.toml and a workflow for a pipeline.

    Both into the working directory, which should be the top of a repository.
    """
    pipeline = one_of("--ci", ci, *starters.WORKFLOWS, "none")
    texts = starters.files(target, url, pipeline)
    starters.write(Path(), texts, force=force)
    for name in texts:
        _say(f"wrote {name}")
    _say("")
    _say("What to do next:")
    steps = [
        *([] if url else [f"set url in {starters.SETTINGS}, which is {starters.EXAMPLE_URL} now"]),
        "touchstone check: judges the embedded twin, and shows that all is installed",
        "export ORGO_API_KEY=<your key>",
        f"touchstone check --target {target} --plan: says what it would do and cost, and sends nothing",
        f"touchstone check --target {target}: judges it",
        *([_SECRETS[pipeline], _WHEEL] if pipeline in _SECRETS else []),
    ]
    for number, step in enumerate(steps, start=1):
        _say(f"{number}. {step}")


def _say(text: str) -> None:
    Console().print(text, markup=False, highlight=False, soft_wrap=True)
