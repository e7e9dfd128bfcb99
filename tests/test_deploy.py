"""Files for loads on several machines agree: compose, manifests, flags, and the operator's arguments."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.entrypoint import main, translated
from tests.command import KEYS, Command, Shell
from touchstone.twin import DEFAULT_ACCOUNTS

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text("utf-8")

# Arguments that the operator 2.3.0 adds by default for three workers.
TO_MASTER = (
    *("--master", "--master-port=5557", "--expect-workers=3"),
    *("--autostart", "--autoquit", "60", "--enable-rebalancing", "--only-summary"),
)
TO_WORKER = ("--worker", "--master-port=5557", "--master-host=touchstone-steady-master")
STEADY = ("load", "steady")


def read(name: str) -> dict[str, Any]:
    """A YAML file of deploy/."""
    return dict(yaml.safe_load((DEPLOY / name).read_text("utf-8")))


def pod(role: str) -> list[str]:
    """Arguments of the pods of a role: the command, the operator's flags, and extra ones."""
    spec = read("locusttest.yaml")["spec"][role]
    return [*spec["command"].split(), *(TO_MASTER if role == "master" else TO_WORKER), *spec.get("extraArgs", ())]


def service(name: str, **variables: str) -> list[str]:
    """Command of a compose service; variables have their defaults if not given."""
    command = read("compose.yaml")["services"][name]["command"]
    return shlex.split(re.sub(r"\$\{(\w+):-([^}]*)\}", lambda match: variables.get(match[1], match[2]), command))


def commands() -> Iterator[list[str]]:
    """All touchstone commands in deploy/."""
    yield from (service(name) for name in read("compose.yaml")["services"])
    yield from (translated(pod(role)) for role in ("master", "worker"))
    documented = re.findall(r"^touchstone (.+)$", (DEPLOY / "README.md").read_text("utf-8"), flags=re.MULTILINE)
    yield from map(shlex.split, documented)


def test_commands_have_only_flags_that_exist() -> None:
    import typer

    from touchstone.cli.app import app

    group: Any = typer.main.get_command(app)
    for command, *arguments in commands():
        known = {flag for option in group.commands[command].params for flag in (*option.opts, *option.secondary_opts)}
        flags = {argument.partition("=")[0] for argument in arguments if argument.startswith("--")}
        assert flags
        assert flags - known == set()


@pytest.mark.parametrize("name", ["compose", "operator"])
def test_master_can_be_planned(name: str, tmp_path: Path, call: Command) -> None:
    arguments = service("master") if name == "compose" else translated(pod("master"))
    ended = call(Shell(tmp_path), *arguments, "--plan")
    assert ended.code == 0, ended.err


def test_workers_load_what_the_master_plans() -> None:
    services, target = read("compose.yaml")["services"], [*STEADY, "--url", "http://twin:8123/api"]
    assert service("master")[:4] == service("worker")[:4] == target
    assert service("worker")[-2:] == ["--worker", "master"]
    assert service("twin")[:5] == ["serve", "--host", "0.0.0.0", "--port", "8123"]
    assert services["worker"]["deploy"]["replicas"] == "${WORKERS:-3}"
    assert "--expect-workers 3" in " ".join(service("master"))
    wished = {"WORKERS": "5", "LOAD_FLAGS": "--duration 60", "SCENARIO": "storm"}
    assert service("worker", **wished)[1] == service("master", **wished)[1] == "storm"
    assert "--expect-workers 5" in " ".join(service("master", **wished))
    assert service("master", **wished)[-2:] == ["--duration", "60"]


def test_keys_in_the_files_are_those_of_the_twin() -> None:
    texts = "\n".join(path.read_text("utf-8") for path in DEPLOY.rglob("*") if path.is_file() and path.suffix != ".pyc")
    assert set(re.findall(r"sk_\w+", texts)) == {account.key for account in DEFAULT_ACCOUNTS[:2]}
    for name, value in read("compose.yaml")["services"]["master"]["environment"].items():
        assert value == f"${{{name}:-{KEYS[name]}}}"


def test_master_keeps_its_results_and_journals() -> None:
    """The folder reports/ of the image is on a volume that its user may write."""
    assert "WORKDIR /work\nENV XDG_STATE_HOME=/work/reports/state\nUSER 1000\n" in DOCKERFILE
    assert read("compose.yaml")["services"]["master"]["volumes"] == ["reports:/work/reports"]
    spec = read("locusttest.yaml")["spec"]
    assert spec["volumeMounts"] == [{"name": "reports", "mountPath": "/work/reports", "target": "master"}]
    assert spec["volumes"][0]["persistentVolumeClaim"]["claimName"] == read("claim.yaml")["metadata"]["name"]
    assert spec["security"]["podSecurityContext"]["runAsUser"] == 1000


def test_workers_are_kept_apart_by_the_label_of_the_operator() -> None:
    manifest = read("locusttest.yaml")
    (rule,) = manifest["spec"]["scheduling"]["affinity"]["podAntiAffinity"].popitem()[1]
    labels = rule["podAffinityTerm"]["labelSelector"]["matchLabels"]
    assert labels == {"performance-test-name": manifest["metadata"]["name"]}


def test_wheel_can_be_built_from_what_the_image_copies(tmp_path: Path) -> None:
    """The ignore file allows exactly the copied files, and the wheel has everything that a run reads."""
    copied = re.findall(r"^COPY (\S+) \S+$", DOCKERFILE, flags=re.MULTILINE)
    (both,) = re.findall(r"^COPY (\S+) (\S+) \./$", DOCKERFILE, flags=re.MULTILINE)
    ignore, *allowed = (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8").split()
    assert ignore == "*"
    assert {line.removeprefix("!") for line in allowed if line.startswith("!")} == {*copied, *both}

    for path in (*copied, *both):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / path).is_dir():
            shutil.copytree(ROOT / path, tmp_path / path, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / path, tmp_path / path)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    shutil.unpack_archive(next((tmp_path / "dist").glob("*.whl")), tmp_path / "wheel", "zip")
    bundle = {path.name for path in (tmp_path / "wheel" / "touchstone" / "_bundle").iterdir()}
    assert bundle >= {"contract_tests", "load", "openapi", "recordings", "requirements.lock"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            [*STEADY, "--url", "http://a", *TO_MASTER, "--duration", "60"],
            [*STEADY, "--url", "http://a", "--master", "--port", "5557", "--expect-workers=3", "--duration", "60"],
        ),
        ([*STEADY, *TO_WORKER], [*STEADY, "--port", "5557", "--worker", "touchstone-steady-master"]),
        # autostart and autoquit switched off, or another time for the latter
        ([*STEADY, "--master", "--enable-rebalancing"], [*STEADY, "--master"]),
        ([*STEADY, "--master", "--autoquit=0"], [*STEADY, "--master"]),
        ([*STEADY, "--worker", "--master-host", "m", "--seed", "3"], [*STEADY, "--seed", "3", "--worker", "m"]),
        # arguments for touchstone itself
        *(
            (as_it_is, as_it_is)
            for as_it_is in (
                [*STEADY, "--worker", "m"],
                [*STEADY, "--worker=m", "--port=1"],
                ["serve", "--host", "0.0.0.0"],
                [],
            )
        ),
    ],
)
def test_arguments_of_the_operator_become_those_of_the_command(given: list[str], expected: list[str]) -> None:
    assert translated(given) == expected


@pytest.mark.parametrize(
    ("given", "flag"),
    [
        ([*STEADY, "--otel", *TO_MASTER], "--otel"),
        ([*STEADY, "--worker"], "--worker"),
        ([*STEADY, "--worker", "--master-host"], "--worker"),
    ],
)
def test_unsupported_argument_ends_with_2(
    given: list[str], flag: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["entrypoint.py", *given])
    with pytest.raises(SystemExit) as end:
        main()
    assert (end.value.code, flag in capsys.readouterr().err) == (2, True)


def test_entrypoint_becomes_the_command(tmp_path: Path) -> None:
    program = tmp_path / "touchstone"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nexit 3\n', "utf-8")
    program.chmod(0o755)
    command = [sys.executable, str(DEPLOY / "entrypoint.py"), "load", "storm", *TO_WORKER]
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    ended = subprocess.run(command, env=path, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout.split()) == (3, translated(["load", "storm", *TO_WORKER]))
