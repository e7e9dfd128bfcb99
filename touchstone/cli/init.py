"""The command that a project begins with: writes its settings, with what holds without them, and a workflow."""

import functools
import json
import re
import tempfile
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from touchstone.check import runner
from touchstone.cli.options import examples, say
from touchstone.cli.plans import builds_of
from touchstone.config import EMBEDDED, KEY_NAMES, RunTable, Settings, TargetTable, Templates, Url, find, kind
from touchstone.contract.quoting import checked
from touchstone.errors import UsageError
from touchstone.facts.output import write_whole

app = typer.Typer()

SETTINGS = "touchstone.toml"
EXAMPLE_URL = "https://staging.example.test/api"
# Where each pipeline looks for its file.
WORKFLOWS = {"github": ".github/workflows/touchstone.yml", "gitlab": ".gitlab-ci.yml"}

_SECRETS = {
    "github": "store ORGO_API_KEY as a secret of the repository: Settings > Secrets and variables > Actions",
    "gitlab": "store ORGO_API_KEY as a masked variable of the project (Settings > CI/CD), and plan a schedule",
}
_WHEEL = (
    "store two variables there: TOUCHSTONE_WHEEL, the wheel to install, as a path in the repository or an https "
    "address, and TOUCHSTONE_SHA256, its SHA-256"
)
_TITLE = "Settings of touchstone: what is judged, with whose keys, and how patiently."
_ABOUT = (
    "A line such as #seed = 20 shows what holds without it: take its # away to say something else. Options of the "
    "command line and variables of the environment weigh more than this file."
)
# What somebody could write where nothing holds without it.
_EXAMPLES: Mapping[str, Any] = {"report_dir": "results", "max_seconds": 900, "baseline": "known-broken.txt"}
_ROUND = 50


@app.command(
    epilog=examples(
        "init", "init --target canary --url https://canary.example.test/api --ci gitlab", "init --ci none --force"
    )
)
def init(
    target: Annotated[str, typer.Option(help="What the target is called.")] = "staging",
    url: Annotated[str | None, typer.Option(help="Base URL of the target.  [default: one to be replaced]")] = None,
    ci: Annotated[
        Literal["github", "gitlab", "none"], typer.Option(help="Whose pipeline to write a file for.")
    ] = "github",
    force: Annotated[bool, typer.Option("--force", help="Write over files that are there.")] = False,
) -> None:
    """Write touchstone.toml and a workflow for a pipeline.

    Both into the working directory, which should be the top of a repository.
    """
    texts = _files(target, url, ci)
    _write(Path(), texts, force=force)
    steps = [
        *([] if url else [f"set url in {SETTINGS}, which is {EXAMPLE_URL} now"]),
        "touchstone check: judges the embedded twin, and shows that all is installed",
        "export ORGO_API_KEY=<your key>",
        f"touchstone check --target {target} --plan: says what it would do and cost, and sends nothing",
        f"touchstone check --target {target}: judges it",
        *([_SECRETS[ci], _WHEEL] if ci in _SECRETS else []),
    ]
    wrote = [f"wrote {name}" for name in texts]
    todo = [f"{number}. {step}" for number, step in enumerate(steps, start=1)]
    say(Console(), "\n".join([*wrote, "", "What to do next:", *todo]))


def _files(target: str, address: str | None, pipeline: str) -> dict[str, str]:
    """What is written, by path; refuses a target or a URL that no settings file can hold."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", target):
        raise UsageError(f"--target {target!r}: expected letters, digits, - and _, such as staging")
    if target == EMBEDDED:
        raise UsageError(f"--target {target}: {EMBEDDED} names the embedded server; choose another name")
    found = {SETTINGS: settings_text(target, checked("--url", address or EXAMPLE_URL, kind(Url)))}
    if pipeline in WORKFLOWS:
        starter = Path(__file__).resolve().parent / "starters" / f"{pipeline}.yml"
        found[WORKFLOWS[pipeline]] = starter.read_text(encoding="utf-8").replace("%TARGET%", target)
    return found


def settings_text(target: str, address: str) -> str:
    """A settings file with one target and every key; each that has a default stands there with it, behind a #.

    The budget is that of a standard check: with the default one it would end without a verdict. Keys of the API are
    not spelt out in a file that others see.
    """
    lines = [*_comment(_TITLE), "#", *_comment(_ABOUT), ""]
    for name, key in RunTable.model_fields.items():
        lines += _key(name, key) if name != "targets" else []
    lines += ["", *_comment(f"A target: `touchstone check --target {target}` judges it."), f"[targets.{target}]"]
    written = {"url": address, "max_builds": budget()}
    for name, key in TargetTable.model_fields.items():
        lines += _key(name, key, written.get(name)) if name not in (*KEY_NAMES, "templates") else []
    for name, key in Templates.__pydantic_fields__.items():  # type: ignore[attr-defined]  # of a pydantic dataclass
        lines += _key(f"templates.{name}", key)
    return "\n".join(lines).rstrip() + "\n"


def _key(name: str, key: Any, written: object = None) -> Iterator[str]:
    yield from _comment(key.description)
    if written is not None:
        yield f"{name} = {_toml(written)}"
    elif key.default is not None:
        yield f"#{name} = {_toml(key.default)}"
    elif name in _EXAMPLES:
        yield f"#   for example: {name} = {_toml(_EXAMPLES[name])}"
    yield ""


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, 100, break_long_words=False, break_on_hyphens=False)]


def _toml(value: Any) -> str:
    # Of what settings hold, TOML writes everything as JSON does.
    plain = int(value) if isinstance(value, float) and value.is_integer() else value
    return json.dumps(plain, ensure_ascii=False)


@functools.cache
def budget() -> int:
    """How many builds a standard check may start: half as many again as its plan has.

    A start whose answer does not say that no build began counts as one.
    """
    settings = Settings(profile="standard")
    with tempfile.TemporaryDirectory() as folder:
        planned = builds_of(json.loads(runner.plan(settings, Path(folder))), settings)
    return -(-planned * 3 // 2 // _ROUND) * _ROUND


def _write(folder: Path, texts: Mapping[str, str], *, force: bool) -> None:
    """Writes the files, or none of them where one is there already and *force* is not given."""
    taken = [name for name in texts if (folder / name).exists()]
    if taken and not force:
        are, them = ("is", "it") if len(taken) == 1 else ("are", "them")
        also = ", --ci none leaves the pipeline alone" if set(taken) & set(WORKFLOWS.values()) else ""
        raise UsageError(
            f"{' and '.join(taken)}: {are} there already, and nothing was written; --force writes {them} anew{also}"
        )
    there = find(None, folder)
    if not force and there.table.model_fields_set:
        raise UsageError(
            f"{there.name}: has a table [tool.touchstone], which {SETTINGS} would hide; nothing was written; move the "
            "table and use --force"
        )
    for name, text in texts.items():
        write_whole(folder / name, text)
