"""The command `init`, which writes a settings file and a CI workflow for a new project."""

import json
import re
from pathlib import Path
from typing import Annotated, Literal

from jinja2 import Template
from rich.console import Console
from typer import Option, Typer

from touchstone.cli.options import examples, say
from touchstone.config import EMBEDDED, Url, find, kind
from touchstone.errors import UsageError, checked
from touchstone.facts.output import write_whole

app = Typer()

SETTINGS = "touchstone.toml"
EXAMPLE_URL = "https://staging.example.test/api"
WORKFLOWS = {"github": ".github/workflows/touchstone.yml", "gitlab": ".gitlab-ci.yml"}

_STARTERS = Path(__file__).resolve().parent / "starters"


@app.command(
    epilog=examples(
        "init", "init --target canary --url https://canary.example.test/api --ci gitlab", "init --ci none --force"
    )
)
def init(
    target: Annotated[str, Option(help="Name of the target.")] = "staging",
    url: Annotated[str | None, Option(help="Base URL of the target.  [default: a placeholder]")] = None,
    ci: Annotated[Literal["github", "gitlab", "none"], Option(help="Pipeline to write a workflow for.")] = "github",
    force: Annotated[bool, Option("--force", help="Overwrite existing files.")] = False,
) -> None:
    """Write touchstone.toml and a workflow for a pipeline.

    Both files go into the working directory, which should be the root of a repository.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", target):
        raise UsageError(f"--target {target!r}: expected letters, digits, - and _, such as staging")
    if target == EMBEDDED:
        raise UsageError(f"--target {target}: {EMBEDDED} names the embedded server; choose another name")
    address = json.dumps(checked("--url", url or EXAMPLE_URL, kind(Url)), ensure_ascii=False)
    starters = {SETTINGS: SETTINGS} | ({WORKFLOWS[ci]: f"{ci}.yml"} if ci in WORKFLOWS else {})
    taken = [] if force else [name for name in starters if Path(name).exists()]
    if taken:
        also = ", or --ci none to write no workflow" if set(taken) & set(WORKFLOWS.values()) else ""
        found = f"{' and '.join(taken)}: found in this folder; nothing was written"
        raise UsageError(f"{found}; use --force to overwrite what is there{also}")
    if not force and (there := find(None, Path())).table.model_fields_set:
        found = f"found a table [tool.touchstone], which {SETTINGS} would hide; nothing was written"
        raise UsageError(f"{there.name}: {found}; move the table and use --force")
    for name, starter in starters.items():
        text = (_STARTERS / starter).read_text(encoding="utf-8")
        write_whole(Path(name), text.replace("%TARGET%", target).replace("%URL%", address))
    steps = Template((_STARTERS / "next.txt.j2").read_text(encoding="utf-8"), trim_blocks=True)
    lines = steps.render(url=url, settings=SETTINGS, example_url=EXAMPLE_URL, target=target, ci=ci).splitlines()
    wrote = [f"wrote {name}" for name in starters]
    todo = [f"{number}. {line}" for number, line in enumerate(lines, start=1)]
    say(Console(), "\n".join([*wrote, "", "Next steps:", *todo]))
