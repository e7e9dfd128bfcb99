"""Documents: links lead somewhere, command lines parse, README and tutorial work word for word."""

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import typer
from typer.main import get_group

from tests.reader import Reader
from tests.reference.marks import slug
from tests.stages import free_port
from touchstone.cli import app

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")])
# What stands for words of the reader's own is in capitals; where a number is wanted, this is one.
NUMBER = "1"


def name_of(path: Path) -> str:
    """How a test is called that is about a document."""
    return path.relative_to(ROOT).as_posix()


def without_code(text: str) -> str:
    """A document without what is code, in which nothing is a link or a heading."""
    return re.sub(r"`[^`\n]*`", "`code`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))


def anchors(path: Path) -> set[str]:
    """The places in a document that a link may name: its headings as GitHub calls them, and anchors of its own."""
    text = re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE):
        name, number = slug(heading), 1
        while name in found:
            name, number = f"{slug(heading)}-{number}", number + 1
        found.add(name)
    return found | set(re.findall(r'<a id="([^"]+)">', text))


def broken_links(path: Path) -> list[str]:
    """The links of a document to what is not there. Addresses of other machines are not looked at."""
    wrong = []
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(path.read_text("utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, place = link.partition("#")
        there = (path.parent / file).resolve() if file else path
        if not there.exists() or (place and place not in anchors(there)):
            wrong.append(link)
    return wrong


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    assert broken_links(path) == []


def commands(text: str) -> Iterator[str]:
    """The command lines of touchstone in a document: in blocks that are not files, and between backticks."""
    blocks = re.findall(r"^```(?:console|sh)?\n(.*?)^```$|((?:^ {4}.*\n)+)", text, flags=re.MULTILINE | re.DOTALL)
    for block in ("".join(pair) for pair in blocks):
        for line in block.replace("\\\n", " ").splitlines():
            found = re.match(
                r"(?:    )?(?:\$ )?(?:\S*=\S* )*(?:\.venv/bin/)?touchstone ((?!listening|is in|\d|[a-z]+: |is ).*)",
                line,
            )
            # A line of usage is no command line.
            if found and "[OPTIONS]" not in found[1]:
                yield found[1]
    for mention in re.findall(r"(?<!`)`touchstone ([^`\n]+)`(?!`)", text):
        # Running text may speak of an option without its value.
        yield f"{mention} {NUMBER}" if re.search(r" --(rate|claims|fault|url|target)$", mention) else mention


def unparsed(line: str) -> str:
    """Why a command line cannot be given; empty where it can."""
    words = [NUMBER if word == "N" else word for word in shlex.split(line, comments=True)]
    command, names = get_group(app.app), []
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words[0]]
        names.append(words.pop(0))
    if not names and words[0] not in ("--version", "--help", "COMMAND"):
        return f"no command {words[0]}"
    try:
        # Nothing that asks for help has to be complete, and a mention by name alone is no command line.
        if names and words and "--help" not in words:
            command.make_context(" ".join(names), words, parent=typer.Context(get_group(app.app)))
    except Exception as error:  # noqa: BLE001 - whatever the parser calls it, it is told
        return f"{error!r}: {getattr(error, 'message', '')}"
    return ""


def test_every_command_line_parses() -> None:
    """Commands, options and values in the documents exist."""
    lines = {(name_of(path), line) for path in DOCUMENTS for line in commands(path.read_text("utf-8"))}
    assert {f"{name}: touchstone {line}: {unparsed(line)}" for name, line in lines if unparsed(line)} == set()


@pytest.mark.alone
def test_readme_works(tmp_path: Path) -> None:
    follow(ROOT / "README.md", tmp_path, {"make check": "touchstone check --target twin"})


@pytest.mark.alone
def test_tutorial_works(tmp_path: Path) -> None:
    instead = {
        "make install": f"make -C {ROOT} --no-print-directory -o .venv/.ready install",
        "/tmp/tour": str(tmp_path / "tour"),
        "8123": str(free_port()),
    }
    follow(ROOT / "docs" / "tutorial.md", tmp_path, instead)


def follow(document: Path, folder: Path, instead: Mapping[str, str]) -> None:
    """Runs each command of a document in order and compares its output with the one in the document."""
    with Reader(folder, instead) as reader:
        wrong = reader.follow(document.read_text("utf-8"))
    if wrong:
        pytest.fail("\n\n".join(wrong), pytrace=False)
