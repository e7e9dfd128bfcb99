"""`touchstone init`: what it writes is valid, changes no default, and takes nothing from anybody."""

import hashlib
import re
import subprocess
import sys
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from check_jsonschema import main as check_schema  # type: ignore[import-untyped]
from click.testing import CliRunner

from tests.command import KEYS, Command, Shell
from touchstone.cli.init import WORKFLOWS
from touchstone.config import Flags, RunTable, Settings, TargetSettings, TargetTable, Templates, load

ROOT = Path(__file__).resolve().parent.parent.parent
URL = "https://staging.example.test/v2"
BUDGET = 64  # builds, by default
OFFERED = re.compile(r"^#(?=[a-z_.]+ = )", flags=re.MULTILINE)


@pytest.fixture
def begun(tmp_path: Path, call: Command) -> Path:
    """A folder in which a project has begun."""
    assert call(Shell(tmp_path), "init", "--url", URL).code == 0
    return tmp_path


def workflow(folder: Path, name: str) -> dict[Any, Any]:
    return dict(yaml.safe_load((folder / WORKFLOWS[name]).read_text()))


def test_offered_lines_are_the_defaults(begun: Path) -> None:
    keys: dict[str, Any] = dict(zip(("api_key", "second_api_key", "restricted_api_key"), KEYS.values(), strict=True))
    expected = Settings(TargetSettings("staging", URL, max_builds=BUDGET, **keys))
    embedded = load(Flags(), {}, begun)
    assert load(Flags(target="staging"), KEYS, begun) == expected
    assert embedded.target.embedded
    (begun / "touchstone.toml").write_text(OFFERED.sub("", (begun / "touchstone.toml").read_text()))
    assert load(Flags(target="staging"), KEYS, begun) == expected
    assert load(Flags(), {}, begun) == embedded


def test_every_setting_but_the_keys_is_offered(begun: Path) -> None:
    text = (begun / "touchstone.toml").read_text()
    names = {*RunTable.model_fields, *TargetTable.model_fields, *(f"templates.{f.name}" for f in fields(Templates))}
    names -= {"api_key", "second_api_key", "restricted_api_key", "targets", "templates"}
    assert set(re.findall(r"^#?(?: *for example: )?(?:#  )?([a-z_.]+) = ", text, flags=re.MULTILINE)) == names


@pytest.mark.whole
def test_written_budget_is_enough_for_a_whole_check(begun: Path, call: Command) -> None:
    ended = call(Shell(begun), "check", "--target", "staging", "--dry-run")
    assert (ended.code, ended.err) == (0, "")
    plan = re.search(r"at most (\d+) builds, within the budget of (\d+)", " ".join(ended.out.split()))
    assert plan
    assert int(plan[2]) == BUDGET >= int(plan[1])


@pytest.mark.parametrize(("pipeline", "schema"), [("github", "github-workflows"), ("gitlab", "gitlab-ci")])
def test_workflow_is_valid(tmp_path: Path, call: Command, pipeline: str, schema: str) -> None:
    assert call(Shell(tmp_path), "init", "--ci", pipeline).code == 0
    arguments = ["--builtin-schema", f"vendor.{schema}", str(tmp_path / WORKFLOWS[pipeline])]
    checked = CliRunner().invoke(check_schema, arguments)
    assert checked.exit_code == 0, checked.output


def test_github_workflow_may_little_and_keeps_the_report(begun: Path) -> None:
    written = workflow(begun, "github")
    assert written["permissions"] == {"contents": "read"}
    (job,) = written["jobs"].values()
    assert "permissions" not in job
    used = [step["uses"] for step in job["steps"] if "uses" in step]
    assert [use for use in used if not re.fullmatch(r"actions/[a-z-]+@v\d+", use)] == []
    (check,) = [step for step in job["steps"] if "touchstone check" in step.get("run", "")]
    assert check["env"] == {name: f"${{{{ secrets.{name} }}}}" for name in KEYS}
    upload = job["steps"][-1]
    assert upload["if"] == "always()"
    commands = " ".join(step.get("run", "") for step in job["steps"])
    assert [path for path in upload["with"]["path"].split() if path.rstrip("/") not in commands] == []


def test_gitlab_job_keeps_its_report_and_installs_alike(tmp_path: Path, call: Command) -> None:
    call(Shell(tmp_path), "init", "--ci", "gitlab", "--target", "pre-production")
    call(Shell(tmp_path), "init", "--force")
    (job,), (other,) = workflow(tmp_path, "gitlab").values(), workflow(tmp_path, "github")["jobs"].values()
    assert job["artifacts"]["when"] == "always"
    assert job["artifacts"]["reports"]["junit"] == "touchstone-report/junit.xml"
    assert "touchstone check --target pre-production --report-dir touchstone-report" in " ".join(job["script"])
    assert job["script"][0] in [step.get("run") for step in other["steps"]]


STUB = """#!/bin/sh
case "$*" in *"pip install"*) echo "$*" >> {calls}; exit 0 ;; esac
exec {python} "$@"
"""


def installed(folder: Path, **variables: str) -> tuple[int, str, list[str]]:
    """What becomes of the step that installs, where `python` installs nothing: code, output, the pip commands."""
    (job,) = workflow(folder, "github")["jobs"].values()
    (script,) = [step["run"] for step in job["steps"] if "pip install" in step.get("run", "")]
    calls, stub = folder / "calls", folder / "bin" / "python"
    stub.parent.mkdir()
    stub.write_text(STUB.format(calls=calls, python=sys.executable))
    stub.chmod(0o700)
    calls.touch()
    environment = {"PATH": f"{stub.parent}:/usr/bin:/bin", "HOME": str(folder), "TMPDIR": str(folder)} | variables
    command = ["bash", "-c", script]
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout + ended.stderr, calls.read_text().splitlines()


@pytest.fixture
def wheel(begun: Path) -> Path:
    """A wheel with what the step reads of it."""
    path = begun / "touchstone_build_api-1.0-py3-none-any.whl"
    info = "touchstone_build_api-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        for name in ("requirements.lock", "deploy/lock_of.py"):
            file.write(ROOT / name, f"touchstone/_bundle/{Path(name).name}")
        file.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: touchstone-build-api\nVersion: 1.0\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")
    return path


@pytest.mark.parametrize("variable", ["TOUCHSTONE_WHEEL", "TOUCHSTONE_SHA256"])
def test_workflow_without_a_wheel_names_what_to_set(begun: Path, variable: str) -> None:
    code, output, commands = installed(begun, **{variable: "x"})
    assert (code, commands) == (2, [])
    assert "TOUCHSTONE_WHEEL" in output
    assert "TOUCHSTONE_SHA256" in output


def test_workflow_installs_no_wheel_with_another_hash(begun: Path, wheel: Path) -> None:
    code, _, commands = installed(begun, TOUCHSTONE_WHEEL=wheel.name, TOUCHSTONE_SHA256="0" * 64)
    assert code != 0
    assert commands == []


def test_workflow_installs_by_hash_alone(begun: Path, wheel: Path) -> None:
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    code, output, commands = installed(begun, TOUCHSTONE_WHEEL=wheel.name, TOUCHSTONE_SHA256=digest)
    assert code == 0, output
    needed, ours = commands
    assert "--require-hashes -r " in needed
    locked = Path(needed.split()[-1]).read_text()
    assert [name in locked for name in ("httpx==", "ruff==", "touchstone-build-api==")] == [True, False, False]
    assert " --no-deps --no-index " in ours
    assert ours.endswith(wheel.name)


@pytest.mark.parametrize(
    ("name", "content", "flags"),
    [
        ("touchstone.toml", "# mine\n", ()),
        (".gitlab-ci.yml", "stages: []\n", ("--ci", "gitlab")),
        ("pyproject.toml", "[tool.touchstone]\nseed = 3\n", ()),  # touchstone.toml would hide it
    ],
)
def test_file_that_is_there_is_kept_without_force(
    tmp_path: Path, call: Command, name: str, content: str, flags: tuple[str, ...]
) -> None:
    (tmp_path / name).write_text(content)
    ended = call(Shell(tmp_path), "init", *flags)
    assert (ended.code, ended.out) == (2, "")
    assert name in ended.err
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == content
    assert ("--ci none" in ended.err) == (name == ".gitlab-ci.yml")
    assert call(Shell(tmp_path), "init", "--force", "--ci", "none").code == 0
    assert "[targets.staging]" in (tmp_path / "touchstone.toml").read_text()


@pytest.mark.parametrize(
    ("flag", "value"), [("--ci", "jenkins"), ("--target", "a b"), ("--target", "twin"), ("--url", "staging")]
)
def test_value_that_does_not_fit_is_refused(tmp_path: Path, call: Command, flag: str, value: str) -> None:
    ended = call(Shell(tmp_path), "init", flag, value)
    assert (ended.code, ended.out) == (2, "")
    assert [word for word in (flag, value) if word not in " ".join(ended.err.split())] == []
    assert list(tmp_path.iterdir()) == []
