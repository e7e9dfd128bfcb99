"""What a shell may complete: commands and options from a table, their values from this folder and the package.

To import all commands takes a second, which is too long for a key that was pressed. ``python -m tests.commandtable``
makes the table anew, and a test says when that is due.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from functools import cache
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.main import get_group

from touchstone.config_file import EMBEDDED, PROFILES, find
from touchstone.contract import claims as ledger_of_claims
from touchstone.errors import HarnessError

TABLE = Path(__file__).resolve().parent / "commands.json"
# What an option takes where that is one of a few words; its help says the same.
WORDS: dict[str, tuple[str, ...]] = {
    "--profile": PROFILES,
    "--ci": ("github", "gitlab", "none"),
    "--retry-after": ("seconds", "date", "none"),
    "--digest-scope": ("document", "content"),
    "--model": ("open", "closed"),
}

# Given the context of a command line, and the beginning of a word.
Source = Callable[[Any, str], Iterable[str]]


def command(name: str) -> Any:
    """The command called *name*, as far as completing its words needs it; None where the table has none."""
    entry = _table()["commands"].get(name)
    return None if entry is None else _command(name, entry)


@cache
def _table() -> dict[str, Any]:
    return dict(json.loads(TABLE.read_text(encoding="utf-8")))


def _command(name: str, entry: dict[str, Any]) -> Any:
    lone = typer.Typer(rich_markup_mode=None, add_completion=False)
    if entry["commands"]:
        inner = typer.Typer(rich_markup_mode=None, help=entry["help"])
        for part, its in entry["commands"].items():
            inner.command(part, help=its["help"])(_function(part, its))
        lone.add_typer(inner, name=name)
    else:
        lone.command(name, help=entry["help"])(_function(name, entry))
        lone.callback()(_nothing_more)  # or a lone command would stand for its group
    return get_group(lone).commands[name]


def _nothing_more() -> None:
    pass


def _function(name: str, entry: dict[str, Any]) -> Callable[..., None]:
    """A function that does nothing, with the parameters of the command."""
    kinds = {f"option_{number}": _option(name, option) for number, option in enumerate(entry["options"])}
    kinds |= {argument["name"]: _argument(name, argument) for argument in entry["arguments"]}

    def run(**_given: Any) -> None:
        pass

    parameters = [
        Parameter(word, Parameter.KEYWORD_ONLY, default=None, annotation=kind) for word, kind in kinds.items()
    ]
    run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]  # every function may be given one
    run.__annotations__ = kinds
    return run


def _option(command_name: str, option: dict[str, Any]) -> Any:
    names: list[str] = option["names"]
    if not option["takes"]:
        return Annotated[bool | None, typer.Option("/".join(names), help=option["help"])]
    own = _listed("faults") if (command_name, names[0]) == ("serve", "--fault") else None  # a twin has one of them
    source = _completed(own or _OPTIONS.get(names[0], _nothing))
    kind = list[str] | None if option["multiple"] else str | None
    return Annotated[kind, typer.Option(*names, help=option["help"], autocompletion=source)]


def _argument(name: str, argument: dict[str, Any]) -> Any:
    kind = str | None if argument["nargs"] == 1 else list[str] | None
    return Annotated[kind, typer.Argument(autocompletion=_completed(_ARGUMENTS.get(name, _nothing)))]


def _completed(source: Source) -> Callable[[typer.Context, str], list[str]]:
    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        return [word for word in source(ctx, incomplete) if word.startswith(incomplete)]

    return complete


def _nothing(_context: Any, _begun: str) -> Iterable[str]:
    return ()


def _targets(context: Any, _begun: str) -> Iterator[str]:
    yield EMBEDDED
    config = _given(context, "--config")
    try:
        yield from find(Path(config) if config else None, Path.cwd()).targets
    except HarnessError:
        return  # a settings file that cannot be read is told when a command is run


def _given(context: Any, name: str) -> Any:
    """What the option called *name* has been given so far."""
    return next((context.params.get(param.name) for param in context.command.params if name in param.opts), None)


def _claims(_context: Any, _begun: str) -> Iterator[str]:
    for row in ledger_of_claims.load().values():
        yield row.id


def _globs(_context: Any, begun: str) -> Iterator[str]:
    """Subjects as globs, and within a subject its claims; what stands before the last comma stays."""
    before, comma, last = begun.rpartition(",")
    judged = [row for row in ledger_of_claims.load().values() if not row.excluded]
    found = list(dict.fromkeys(f"{row.subject}.*" for row in judged))
    if "." in last or not any(glob.startswith(last) for glob in found):
        found += [row.id for row in judged]
    return (f"{before}{comma}{word}" for word in found)


def _listed(kind: str) -> Source:
    return lambda _context, _begun: _table()[kind]


def _fault_globs(_context: Any, begun: str) -> Iterator[str]:
    """Faults by name, and the globs of those that begin alike."""
    names: list[str] = _table()["faults"]
    globs = dict.fromkeys(f"{name.partition('-')[0]}-*" for name in names)
    yield from (glob for glob in globs if sum(fnmatchcase(name, glob) for name in names) > 1)
    yield from (name for name in names if name.startswith(begun))


def _words(name: str) -> Source:
    return lambda _context, _begun: WORDS[name]


_OPTIONS: dict[str, Source] = {
    "--target": _targets,
    "--claims": _globs,
    "--fault": _fault_globs,
    "--variant": _listed("variants"),
    **{name: _words(name) for name in WORDS},
}
# By command.
_ARGUMENTS: dict[str, Source] = {
    "explain": _claims,
    "claims": _globs,
    "load": _listed("scenarios"),
    "record": _listed("recorded"),
}
