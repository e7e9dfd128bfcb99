"""`touchstone init`: what it writes is valid, says what holds anyway, and takes nothing from anybody."""

import hashlib
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from tests.command import KEYS, PRIMARY, Command, Ended, Shell
from touchstone.cli.init import EXAMPLE_URL, WORKFLOWS, app
from touchstone.config import Flags, RunTable, Settings, TargetSettings, TargetTable, Templates, load

ROOT = Path(__file__).resolve().parent.parent
URL = "https://staging.example.test/v2"
STUB = """#!/bin/sh
case "$*" in *"pip install"*) echo "$*" >> {calls}; exit 0 ;; esac
exec {python} "$@"
"""
# What the settings file that is written says of builds.
BUDGET = 550
OFFERED = re.compile(r"^#(?=[a-z_.]+ = )", flags=re.MULTILINE)


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which a project has begun."""
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["--url", URL]).exit_code == 0
    return tmp_path


def settings_of(folder: Path, text: str | None = None) -> Settings:
    """The settings of a run against staging."""
    if text is not None:
        (folder / "touchstone.toml").write_text(text)
    return load(Flags(target="staging"), KEYS, folder)


def test_every_default_may_be_spelled_out(begun: Path) -> None:
    """With each # taken away the settings are what they are without."""
    text = (begun / "touchstone.toml").read_text()
    keys = dict(zip(("api_key", "second_api_key", "restricted_api_key"), KEYS.values(), strict=True))
    expected = Settings(TargetSettings("staging", URL, max_builds=BUDGET, **keys))
    assert settings_of(begun) == expected
    assert settings_of(begun, OFFERED.sub("", text)) == expected


def test_default_target_may_be_spelled_out(begun: Path) -> None:
    """Without one the embedded twin is judged, and with the # taken away as well."""
    without = load(Flags(), {}, begun)
    (begun / "touchstone.toml").write_text(OFFERED.sub("", (begun / "touchstone.toml").read_text()))
    assert load(Flags(), {}, begun) == without
    assert without.target.embedded


def test_every_key_is_offered_with_its_meaning(begun: Path) -> None:
    """All that a settings file may hold is in the file, but the keys of the API themselves; each says what it is."""
    text = (begun / "touchstone.toml").read_text()
    spelled_out = {"api_key", "second_api_key", "restricted_api_key"}
    keys = dict(RunTable.model_fields) | dict(TargetTable.model_fields)
    keys |= {f"templates.{name}": key for name, key in Templates.__pydantic_fields__.items()}
    offered = {name: key for name, key in keys.items() if name not in {*spelled_out, "targets", "templates"}}
    assert set(re.findall(r"^#?(?: *for example: )?(?:#  )?([a-z_.]+) = ", text, flags=re.MULTILINE)) == set(offered)
    for name, key in offered.items():
        assert re.fullmatch(r"[A-Z].*[A-Za-z0-9/)]\.", key.description), name
        assert key.description in " ".join(text.replace("\n# ", " ").split())


def test_plan_of_the_written_settings_is_made(begun: Path, call: Command) -> None:
    """A check takes the file as it is."""
    shell = Shell(begun)
    ended = call(shell, "check", "--plan", "--config", "touchstone.toml", "--target", "staging", "--claims", "auth.*")
    assert (ended.code, ended.err) == (0, "")
    assert f"nothing was sent to {URL}" in ended.out


def test_budget_that_is_written_is_enough_for_the_check_that_is_told(begun: Path, call: Command) -> None:
    """The steps that `init` tells end with a verdict: no case of the plan is left out for want of builds."""
    told = call(Shell(begun), "check", "--target", "staging", "--plan").out
    planned, written = re.search(r"at most (\d+) builds \(budget (\d+)\)", " ".join(told.split())).groups()
    assert int(written) > int(planned)
    assert "--max-builds" not in told


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.iterdir()
    return built


@dataclass
class Step:
    """
    The step of a workflow that installs, run in a folder with the wheel in it, by a `python` that installs nothing.
    """

    folder: Path
    wheel: Path
    pipeline: str

    def run(self, **variables: str) -> tuple[int, str, list[str]]:
        """Its exit code, what it said, and the arguments of each installation."""
        document = yaml.safe_load((self.folder / WORKFLOWS[self.pipeline]).read_text())
        (job,) = document["jobs"].values() if self.pipeline == "github" else (document["touchstone"],)
        lines = [each.get("run", "") for each in job["steps"]] if self.pipeline == "github" else job["script"]
        (script,) = [line for line in lines if "pip install" in line]
        calls, stub = self.folder / "calls", self.folder / "bin" / "python"
        stub.parent.mkdir(exist_ok=True)
        stub.write_text(STUB.format(calls=calls, python=sys.executable))
        stub.chmod(0o700)
        calls.write_text("")
        (self.folder / self.wheel.name).write_bytes(self.wheel.read_bytes())
        environment = {"PATH": f"{stub.parent}:/usr/bin:/bin", "HOME": str(self.folder), "TMPDIR": str(self.folder)}
        ended = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=environment | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        return ended.returncode, ended.stdout + ended.stderr, calls.read_text().splitlines()


@pytest.fixture(params=["github", "gitlab"])
def step(request: pytest.FixtureRequest, tmp_path: Path, wheel: Path, call: Command) -> Step:
    """The step that each workflow has."""
    assert call(Shell(tmp_path), "init", "--ci", request.param).code == 0
    return Step(tmp_path, wheel, request.param)


@pytest.mark.parametrize("given", [(), ("TOUCHSTONE_WHEEL",), ("TOUCHSTONE_SHA256",)])
def test_workflow_without_a_wheel_says_what_to_set(step: Step, given: tuple[str, ...]) -> None:
    """It installs nothing then, from nowhere."""
    code, told, installed = step.run(**dict.fromkeys(given, "x"))
    assert (code, installed) == (2, [])
    assert [name for name in ("TOUCHSTONE_WHEEL", "TOUCHSTONE_SHA256") if name not in told] == []


@pytest.mark.parametrize("sha256", ["0" * 64, "x", "latest"])
def test_workflow_installs_no_other_wheel(step: Step, sha256: str) -> None:
    """One with another hash, or with none that is a hash, is not installed."""
    code, _, installed = step.run(TOUCHSTONE_WHEEL=step.wheel.name, TOUCHSTONE_SHA256=sha256)
    assert (code != 0, installed) == (True, [])


def test_workflow_installs_by_hash_alone(step: Step) -> None:
    """
    The wheel that was given, and what it needs with the hashes that it carries; nothing is looked for by our own name.
    """
    digest = hashlib.sha256(step.wheel.read_bytes()).hexdigest()
    code, told, installed = step.run(TOUCHSTONE_WHEEL=step.wheel.name, TOUCHSTONE_SHA256=digest)
    assert code == 0, told
    needed, ours = installed
    assert "--require-hashes -r " in needed
    locked = Path(needed.split()[-1]).read_text()
    assert [name in locked for name in ("httpx==", "ruff==", "touchstone-build-api==")] == [True, False, False]
    assert " --no-deps --no-index " in ours
    assert ours.endswith(step.wheel.name)


@pytest.mark.parametrize(("pipeline", "schema"), [("github", "github-workflows"), ("gitlab", "gitlab-ci")])
def test_workflow_is_valid(tmp_path: Path, call: Command, pipeline: str, schema: str) -> None:
    """The schema of whoever runs it has nothing against it."""
    assert call(Shell(tmp_path), "init", "--ci", pipeline).code == 0
    words = ["--builtin-schema", f"vendor.{schema}", str(tmp_path / WORKFLOWS[pipeline])]
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", *words], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def workflow(folder: Path, name: str) -> dict[Any, Any]:
    """A workflow as its reader sees it."""
    return dict(yaml.safe_load((folder / WORKFLOWS[name]).read_text()))


def test_github_workflow_asks_for_little(begun: Path) -> None:
    """
    It may read the repository and nothing else, names its actions by major version, and keeps the report of a failure.
    """
    written = workflow(begun, "github")
    assert written["permissions"] == {"contents": "read"}
    (job,) = written["jobs"].values()
    assert "permissions" not in job
    used = [step["uses"] for step in job["steps"] if "uses" in step]
    assert [use for use in used if not re.fullmatch(r"actions/[a-z-]+@v\d+", use)] == []
    (check,) = [step for step in job["steps"] if "touchstone check" in step.get("run", "")]
    assert set(check["env"]) == set(KEYS)
    assert set(check["env"].values()) == {f"${{{{ secrets.{name} }}}}" for name in KEYS}
    upload = job["steps"][-1]
    assert upload["if"] == "always()"
    assert upload["with"]["path"].rstrip("/") in check["run"]


def test_gitlab_job_keeps_its_report(tmp_path: Path, call: Command) -> None:
    """Also of a failure, with the JUnit file where GitLab looks for it."""
    call(Shell(tmp_path), "init", "--ci", "gitlab", "--target", "pre-production")
    (job,) = workflow(tmp_path, "gitlab").values()
    assert job["artifacts"]["when"] == "always"
    assert job["artifacts"]["reports"]["junit"] == "touchstone-report/junit.xml"
    assert "touchstone check --target pre-production --report-dir touchstone-report" in job["script"][-1]


def test_no_key_is_written(tmp_path: Path, call: Command) -> None:
    """Keys come from the environment, and what is in it stays there."""
    call(Shell(tmp_path), "init")
    call(Shell(tmp_path), "init", "--ci", "gitlab", "--force")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 3
    assert [path for path in files if PRIMARY in path.read_text()] == []
    assert [path for path in files if re.search(r"^[^#]*\bapi_key *=", path.read_text(), flags=re.MULTILINE)] == []


def refused(ended: Ended) -> str:
    """What a command said that ended with 2."""
    assert (ended.code, ended.out) == (2, "")
    return " ".join(ended.err.split())


def test_file_that_is_there_is_kept(tmp_path: Path, call: Command) -> None:
    """It is named, nothing is written, and --force does write."""
    (tmp_path / "touchstone.toml").write_text("# mine\n")
    said = refused(call(Shell(tmp_path), "init"))
    assert said == ("exit 2: touchstone.toml: is there already, and nothing was written; --force writes it anew")
    assert [path.name for path in tmp_path.iterdir()] == ["touchstone.toml"]
    assert (tmp_path / "touchstone.toml").read_text() == "# mine\n"
    assert call(Shell(tmp_path), "init", "--force", "--ci", "none").code == 0
    assert "[targets.staging]" in (tmp_path / "touchstone.toml").read_text()
    assert "--ci none leaves the pipeline alone" not in said


def test_workflow_that_is_there_is_kept(tmp_path: Path, call: Command) -> None:
    """Somebody's pipeline is not touched, and there is a way to have the settings without."""
    (tmp_path / ".gitlab-ci.yml").write_text("stages: []\n")
    said = refused(call(Shell(tmp_path), "init", "--ci", "gitlab"))
    assert "exit 2: .gitlab-ci.yml: is there already" in said
    assert "--ci none leaves the pipeline alone" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--ci", "jenkins"), "--ci: found 'jenkins'; expected one of 'github', 'gitlab', 'none'"),
        (("--target", "a b"), "--target 'a b': expected letters, digits, - and _, such as staging"),
        (("--target", "twin"), "--target twin: twin names the embedded server; choose another name"),
        (("--url", "staging"), "--url: found 'staging'; expected a URL such as https://staging.example.test/api"),
    ],
)
def test_word_that_does_not_fit_is_refused(
    tmp_path: Path, call: Command, arguments: tuple[str, ...], message: str
) -> None:
    """Nothing is written then."""
    assert message in refused(call(Shell(tmp_path), "init", *arguments))
    assert list(tmp_path.iterdir()) == []


def test_settings_of_pyproject_are_not_hidden(tmp_path: Path, call: Command) -> None:
    """Where touchstone.toml is, the table of pyproject.toml is not read."""
    (tmp_path / "pyproject.toml").write_text("[tool.touchstone]\nseed = 3\n")
    assert "pyproject.toml: has a table [tool.touchstone]" in refused(call(Shell(tmp_path), "init"))
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert call(Shell(tmp_path), "init").code == 0


def test_next_steps_are_told(tmp_path: Path, call: Command) -> None:
    """What was written, that the address has to be set where nobody gave one, and what to run."""
    told = call(Shell(tmp_path), "init", "--target", "canary").out
    assert told.splitlines()[:2] == ["wrote touchstone.toml", "wrote .github/workflows/touchstone.yml"]
    assert f"1. set url in touchstone.toml, which is {EXAMPLE_URL} now" in told
    assert "touchstone check --target canary --plan" in told
    assert "set url" not in call(Shell(tmp_path), "init", "--url", URL, "--force").out
