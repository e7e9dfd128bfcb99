"""
The files that a project begins with: its settings, each with what holds without it, and a workflow for its pipeline.
"""

import dataclasses
import functools
import json
import re
import tempfile
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from touchstone.check import runner
from touchstone.cli.plan import builds_of
from touchstone.cli.settings_help import Described, run_keys, target_keys, template_keys
from touchstone.config import Settings
from touchstone.config_file import EMBEDDED, find
from touchstone.config_kinds import checked, url
from touchstone.errors import UsageError
from touchstone.facts.output import write_whole

SETTINGS = "touchstone.toml"
EXAMPLE_URL = "https://staging.example.test/api"
# Where each pipeline looks for its file.
WORKFLOWS = {"github": ".github/workflows/touchstone.yml", "gitlab": ".gitlab-ci.yml"}
_STARTERS = Path(__file__).resolve().parent / "starters"

_WIDTH = 100
_ROUND = 50
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_TITLE = "Settings of touchstone: what is judged, with whose keys, and how patiently."
_ABOUT = (
    "A line such as #seed = 20 shows what holds without it: take its # away to say something else. Options of the "
    "command line and variables of the environment weigh more than this file."
)
# What somebody could write where nothing holds without it.
_EXAMPLES: Mapping[str, Any] = {"report_dir": "results", "max_seconds": 900, "baseline": "known-broken.txt"}


def files(target: str, address: str | None, pipeline: str) -> dict[str, str]:
    """What is written, by path.

    Args:
        address: The base URL of the target; None for one that has to be replaced.
        pipeline: A key of WORKFLOWS, or another word for none.

    Raises:
        UsageError: the target or its URL cannot be written into a settings file.
    """
    if not _NAME.fullmatch(target):
        raise UsageError(f"--target {target!r}: expected letters, digits, - and _, such as staging")
    if target == EMBEDDED:
        raise UsageError(f"--target {target}: {EMBEDDED} names the embedded server; choose another name")
    place = checked("--url", address or EXAMPLE_URL, url)
    found = {SETTINGS: settings_text(target, place)}
    if pipeline in WORKFLOWS:
        text = (_STARTERS / f"{pipeline}.yml").read_text(encoding="utf-8")
        found[WORKFLOWS[pipeline]] = text.replace("%TARGET%", target)
    return found


def settings_text(target: str, address: str) -> str:
    """A settings file with one target and every key; each that has a default stands there with it, behind a #.

    The budget is that of a standard check: with the default one it would end without a verdict.
    """
    lines = [*_comment(_TITLE), "#", *_comment(_ABOUT), ""]
    for key in run_keys():
        lines += [*_key(key), ""]
    lines += ["", *_comment(f"A target: `touchstone check --target {target}` judges it."), f"[targets.{target}]"]
    for key in offered():
        written = {"url": address, "max_builds": budget()}.get(key.name)
        lines += [*([*_comment(key.meaning), f"{key.name} = {_toml(written)}"] if written else _key(key)), ""]
    return "\n".join(lines).rstrip() + "\n"


@functools.cache
def budget() -> int:
    """How many builds a standard check may start: half as many again as its plan has.

    A start whose answer does not say that no build began counts as one.
    """
    settings = Settings(profile="standard")
    with tempfile.TemporaryDirectory() as folder:
        planned = builds_of(json.loads(runner.plan(settings, Path(folder))), settings)
    return -(-planned * 3 // 2 // _ROUND) * _ROUND


def offered() -> tuple[Described, ...]:
    """The keys of a target but those that spell a key of the API out, which a file that others see must not do."""
    every = target_keys()
    variables = {key.name for key in every}
    lists = (dataclasses.replace(key, name=f"templates.{key.name}") for key in template_keys())
    return (*(key for key in every if f"{key.name}_env" not in variables), *lists)


def write(folder: Path, texts: Mapping[str, str], *, force: bool) -> None:
    """Writes the files, or none of them.

    Raises:
        UsageError: one of them is there already and *force* is not given, or cannot be written.
    """
    taken = [name for name in texts if (folder / name).exists()]
    if taken and not force:
        are, them = ("is", "it") if len(taken) == 1 else ("are", "them")
        also = ", --ci none leaves the pipeline alone" if set(taken) & set(WORKFLOWS.values()) else ""
        raise UsageError(
            f"{' and '.join(taken)}: {are} there already, and nothing was written; --force writes {them} anew{also}"
        )
    if not force and SETTINGS in texts:
        _check_pyproject(folder)
    for name, text in texts.items():
        write_whole(folder / name, text)


def _check_pyproject(folder: Path) -> None:
    there = find(None, folder)
    if there.run or there.targets:
        raise UsageError(
            f"{there.name}: has a table [tool.touchstone], which {SETTINGS} would hide; nothing was written; move the "
            "table and use --force"
        )


def _key(key: Described) -> Iterator[str]:
    yield from _comment(key.meaning)
    if key.default is not None:
        yield f"#{key.name} = {_toml(key.default)}"
    elif key.name in _EXAMPLES:
        yield f"#   for example: {key.name} = {_toml(_EXAMPLES[key.name])}"


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)]


def _toml(value: Any) -> str:
    # Of what settings hold, TOML writes everything as JSON does.
    plain = int(value) if isinstance(value, float) and value.is_integer() else value
    return json.dumps(plain, ensure_ascii=False)
