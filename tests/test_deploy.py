"""
What runs the load on several machines fits together: files, schemas, flags, and the arguments that an operator adds.
"""

import json
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
from jsonschema import Draft202012Validator

from deploy.entrypoint import main, translated
from tests.command import KEYS, Shell, called
from touchstone.twin import DEFAULT_ACCOUNTS

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"

# What the operator adds at release 2.3.0, for three workers and its defaults.
TO_MASTER = (
    *("--master", "--master-port=5557", "--expect-workers=3"),
    *("--autostart", "--autoquit", "60", "--enable-rebalancing", "--only-summary"),
)
TO_WORKER = ("--worker", "--master-port=5557", "--master-host=touchstone-steady-master")


def read(name: str) -> dict[str, Any]:
    """A YAML file of deploy/."""
    return dict(yaml.safe_load((DEPLOY / name).read_text("utf-8")))


def schema(name: str) -> dict[str, Any]:
    """A schema of deploy/schema/."""
    return dict(json.loads((DEPLOY / "schema" / f"{name}.json").read_text("utf-8")))


def pod(role: str) -> list[str]:
    """What the operator starts the pods of a role with: the command, its own flags, and the further ones."""
    spec = read("locusttest.yaml")["spec"][role]
    return [*spec["command"].split(), *(TO_MASTER if role == "master" else TO_WORKER), *spec.get("extraArgs", ())]


def service(name: str, **variables: str) -> list[str]:
    """The command of a service of the compose file; a variable that is not given has its default."""

    def value(match: re.Match[str]) -> str:
        return variables.get(match[1], match[2])

    command = re.sub(r"\$\{(\w+):-([^}]*)\}", value, read("compose.yaml")["services"][name]["command"])
    return shlex.split(command)


def commands() -> Iterator[list[str]]:
    """Every command of touchstone that a file of deploy/ names."""
    yield from (service(name) for name in read("compose.yaml")["services"])
    yield from (translated(pod(role)) for role in ("master", "worker"))
    shown = re.findall(r"^touchstone (.+)$", (DEPLOY / "README.md").read_text("utf-8"), flags=re.MULTILINE)
    yield from map(shlex.split, shown)


def flags_of(command: str) -> set[str]:
    """The flags that a command of touchstone has."""
    import typer

    from touchstone.cli.app import app

    group: Any = typer.main.get_command(app)
    return {flag for option in group.commands[command].params for flag in (*option.opts, *option.secondary_opts)}


def test_commands_name_flags_that_there_are() -> None:
    """Each flag in a file of deploy/ is one of the command that it stands with."""
    found = list(commands())
    assert len(found) >= 7
    for command, *rest in found:
        named = {word.partition("=")[0] for word in rest if word.startswith("--")}
        assert named
        assert named - flags_of(command) == set()


@pytest.mark.parametrize("name", ["compose", "operator"])
def test_master_can_be_planned(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The master's command line is taken as it is, and its plan fits into the builds that it allows itself."""
    arguments = service("master") if name == "compose" else translated(pod("master"))
    ended = called(Shell(tmp_path), monkeypatch, capsys, *arguments, "--plan")
    assert ended.code == 0, ended.err
    assert "steady" in ended.out


def test_services_agree() -> None:
    """The workers load what the master plans, come to where it is, and are as many as it waits for."""
    services = read("compose.yaml")["services"]
    target = ["load", "steady", "--url", "http://twin:8123/api", "--allow-load", "twin"]
    assert service("master") == [*target, "--master", "--expect-workers", "3", "--max-builds", "60"]
    assert service("worker") == [*target, "--worker", "master"]
    assert services["worker"]["deploy"]["replicas"] == "${WORKERS:-3}"
    assert service("twin")[:5] == ["serve", "--host", "0.0.0.0", "--port", "8123"]
    assert "8123" in services["twin"]["healthcheck"]["test"][-1]
    wished = {"WORKERS": "5", "LOAD_FLAGS": "--arrivals ramp:50..400 --duration 60", "SCENARIO": "storm"}
    assert service("master", **wished)[-4:] == ["--arrivals", "ramp:50..400", "--duration", "60"]
    assert "--expect-workers 5" in " ".join(service("master", **wished))
    assert service("worker", **wished)[1] == service("master", **wished)[1] == "storm"


def test_keys_in_the_files_are_made_up() -> None:
    """The only keys in deploy/ are two that the twin has by default."""
    texts = "\n".join(path.read_text("utf-8") for path in DEPLOY.rglob("*") if path.is_file() and path.suffix != ".pyc")
    assert set(re.findall(r"sk_\w+", texts)) == {account.key for account in DEFAULT_ACCOUNTS[:2]}
    environment = read("compose.yaml")["services"]["master"]["environment"]
    for name, value in environment.items():
        assert value == f"${{{name}:-{KEYS[name]}}}"


def test_images_have_no_address() -> None:
    """The image is built where it is used and called by a local name; its base has no address either."""
    names = [one["image"] for one in read("compose.yaml")["services"].values()]
    names.append(read("locusttest.yaml")["spec"]["image"])
    names += re.findall(r"^ARG BASE=(\S+)", (DEPLOY / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)
    assert len(names) == 5
    assert [name for name in names if "/" in name] == []
    assert set(names[:-1]) == {"touchstone:local"}


def test_master_keeps_its_results() -> None:
    """What the image calls reports/ is on a volume, and the journals are below it."""
    image = (DEPLOY / "Dockerfile").read_text("utf-8")
    assert "WORKDIR /work\nENV XDG_STATE_HOME=/work/reports/state\nUSER 1000\n" in image
    assert read("compose.yaml")["services"]["master"]["volumes"] == ["reports:/work/reports"]
    spec = read("locusttest.yaml")["spec"]
    assert spec["volumeMounts"] == [{"name": "reports", "mountPath": "/work/reports", "target": "master"}]
    assert spec["volumes"][0]["persistentVolumeClaim"]["claimName"] == read("claim.yaml")["metadata"]["name"]
    assert spec["security"]["podSecurityContext"]["runAsUser"] == 1000


def test_workers_are_kept_apart_by_the_label_that_the_operator_gives() -> None:
    """The operator labels each pod with the name of the test."""
    manifest = read("locusttest.yaml")
    (rule,) = manifest["spec"]["scheduling"]["affinity"]["podAntiAffinity"].popitem()[1]
    labels = rule["podAffinityTerm"]["labelSelector"]["matchLabels"]
    assert labels == {"performance-test-name": manifest["metadata"]["name"]}


def copied() -> list[str]:
    """What the Dockerfile copies into the image, as paths from the root."""
    return re.findall(r"^COPY (\S+) \S+$", (DEPLOY / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)


def test_image_is_made_of_what_its_context_has() -> None:
    """
    The ignore file lets through what the Dockerfile copies from, and nothing else but what stands on one line with it.
    """
    (both,) = re.findall(r"^COPY (\S+) (\S+) \./$", (DEPLOY / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)
    lines = (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8").split()
    assert lines[0] == "*"
    let_through = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert let_through == {*copied(), *both}
    assert [path for path in let_through if not (ROOT / path).exists()] == []


def test_image_has_all_that_the_wheel_needs(tmp_path: Path) -> None:
    """The wheel is built from the files of the image alone, with everything that a run reads in it."""
    for path in (*copied(), "pyproject.toml", "README.md"):
        source = ROOT / path
        if source.is_dir():
            shutil.copytree(source, tmp_path / path, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, tmp_path / path)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    shutil.unpack_archive(next((tmp_path / "dist").glob("*.whl")), tmp_path / "wheel", "zip")
    bundle = tmp_path / "wheel" / "touchstone" / "_bundle"
    files = {"lock_of.py", "requirements.lock"}
    assert {path.name for path in bundle.iterdir()} == {"contract_tests", "load", "openapi", "recordings", *files}


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (
            ["load", "steady", "--url", "http://a", *TO_MASTER, "--duration", "60"],
            [
                *("load", "steady", "--url", "http://a", "--master", "--port", "5557", "--expect-workers=3"),
                *("--duration", "60"),
            ],
        ),
        (
            ["load", "steady", *TO_WORKER],
            ["load", "steady", "--port", "5557", "--worker", "touchstone-steady-master"],
        ),
        # autostart and autoquit switched off, or another time for the latter
        (
            ["load", "steady", "--master", "--master-port=5557", "--expect-workers=1", "--enable-rebalancing"],
            ["load", "steady", "--master", "--port", "5557", "--expect-workers=1"],
        ),
        (["load", "steady", "--master", "--autoquit=0"], ["load", "steady", "--master"]),
        (
            ["load", "steady", "--worker", "--master-host", "m", "--seed", "3"],
            ["load", "steady", "--seed", "3", "--worker", "m"],
        ),
        # what is meant for touchstone as it is
        (["load", "steady", "--worker", "m"], ["load", "steady", "--worker", "m"]),
        (["load", "steady", "--worker=m", "--port=1"], ["load", "steady", "--worker=m", "--port=1"]),
        (["serve", "--host", "0.0.0.0"], ["serve", "--host", "0.0.0.0"]),
        (["--help"], ["--help"]),
        ([], []),
    ],
)
def test_arguments_of_the_operator_become_those_of_the_command(given: list[str], taken: list[str]) -> None:
    """Flags of Locust are renamed or left out; all others stay as they are and where they are."""
    assert translated(given) == taken


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["load", "steady", "--otel", *TO_MASTER], "--otel: a load run exports no telemetry; take spec.observability"),
        (["load", "steady", "--worker"], "--worker: it does not say for which master; expected --master-host=HOST"),
        (["load", "steady", "--worker", "--master-host"], "--worker: it does not say for which master"),
    ],
)
def test_argument_that_cannot_be_kept_is_an_error(
    given: list[str], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a load run cannot do is refused with exit code 2 and a word on what to change."""
    monkeypatch.setattr(sys, "argv", ["entrypoint.py", *given])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert f"exit 2: {told}" in capsys.readouterr().err


def test_entrypoint_becomes_the_command(tmp_path: Path) -> None:
    """The script hands its place to `touchstone`, with the arguments translated."""
    shown = tmp_path / "touchstone"
    shown.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nexit 3\n', "utf-8")
    shown.chmod(0o755)
    command = [sys.executable, str(DEPLOY / "entrypoint.py"), "load", "storm", *TO_WORKER]
    ended = subprocess.run(
        command, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 3
    assert ended.stdout.split() == translated(["load", "storm", *TO_WORKER])


@pytest.mark.parametrize(("name", "file"), [("locusttest", "locusttest.yaml"), ("claim", "claim.yaml")])
def test_manifest_fits_its_schema(name: str, file: str) -> None:
    """Each schema is one, and the manifest that it is for has no fault."""
    Draft202012Validator.check_schema(schema(name))
    assert [fault.message for fault in Draft202012Validator(schema(name)).iter_errors(read(file))] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("apiVersion", "locust.io/v1"),
        ("metadata/name", "Touchstone"),
        ("metadata/name", "t" * 57),
        ("spec/image", None),
        ("spec/imagePullPolicy", "Sometimes"),
        ("spec/workers", 3),
        ("spec/master/replicas", 1),
        ("spec/master/autoquit", 60),
        ("spec/master/extraArgs", ["--duration", 120]),
        ("spec/worker/replicas", 0),
        ("spec/worker/replicas", "3"),
        ("spec/worker/resources/requests/cpus", "1"),
        ("spec/worker/resources/limits/memory", "1 GB"),
        ("spec/env/secretRef", [{"name": "touchstone-keys"}]),
        ("spec/env/variables", [{"name": "A", "value": "1", "valueFrom": {"secretKeyRef": {}}}]),
        ("spec/volumeMounts/0/target", "masters"),
        ("spec/volumeMounts/0/mountPath", "/lotest/src/reports"),
        ("spec/volumes/0/name", "secret-reports"),
        ("spec/scheduling/antiAffinity", {}),
        ("spec/security/podSecurityContext/seccompProfile/type", "Default"),
        ("spec/observability", {"openTelemetry": {"enabled": True}}),
    ],
)
def test_broken_manifest_is_refused(path: str, value: object) -> None:
    """A field that is unknown, missing or of another form is found, where it stands."""
    manifest = read("locusttest.yaml")
    *parents, last = path.split("/")
    place: Any = manifest
    for step in parents:
        place = place[int(step)] if isinstance(place, list) else place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    faults = list(Draft202012Validator(schema("locusttest")).iter_errors(manifest))
    assert len(faults) == 1
    assert list(map(str, faults[0].absolute_path))[: len(parents)] == parents


@pytest.mark.parametrize(
    ("was", "becomes", "told"),
    [
        ("    command: serve", "    comand: serve", "comand"),
        ("replicas: ${WORKERS:-3}", "replicas: [3]", "replicas"),
        ("condition: service_healthy", "condition: healthy", "condition"),
    ],
)
def test_broken_compose_file_is_refused(was: str, becomes: str, told: str, tmp_path: Path) -> None:
    """The tool of `make lint` knows the Compose Specification: it takes the file, and no misspelled copy of it."""
    text = (DEPLOY / "compose.yaml").read_text("utf-8")
    assert was in text
    (tmp_path / "compose.yaml").write_text(text.replace(was, becomes, 1), "utf-8")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert told in ended.stdout


def test_lint_checks_every_file() -> None:
    """Each manifest and the compose file stand in the script that `make lint` runs, the former with their schemas."""
    script = (ROOT / ".ci" / "deploy").read_text("utf-8")
    assert "sh .ci/deploy $(BIN)" in (ROOT / "Makefile").read_text("utf-8")
    assert "--builtin-schema vendor.compose-spec deploy/compose.yaml" in script
    for file in DEPLOY.glob("*.yaml"):
        if file.name != "compose.yaml":
            assert f"--schemafile deploy/schema/{file.stem}.json deploy/{file.name}" in script
    assert {file.stem for file in (DEPLOY / "schema").iterdir()} == {"claim", "locusttest"}


def test_readme_shows_what_the_operator_passes() -> None:
    """The arguments that the tests here give to the script are those that the README explains."""
    text = " ".join((DEPLOY / "README.md").read_text("utf-8").split())
    assert f"`{' '.join(TO_MASTER)}`" in text
    assert f"`{' '.join(TO_WORKER)}`" in text
