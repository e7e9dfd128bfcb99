"""`schemathesis run` with the hooks of Touchstone: broken claims have names, correct servers are not accused."""

import sys
from pathlib import Path

import httpx
import pytest

from tests.command import PRIMARY, Shell
from touchstone.contract.files import openapi_dir
from touchstone.proof import catalogue
from touchstone.twin import Twin, TwinSettings

RUN = ("-c", "from schemathesis.cli import schemathesis; schemathesis()", "run", str(openapi_dir() / "builds.yaml"))
HOOKS = {"SCHEMATHESIS_HOOKS": "touchstone.schemathesis"}


def run(folder: Path, url: str, *options: str) -> tuple[Shell, int, str]:
    """`schemathesis run` in an empty folder: the shell, exit code and output."""
    shell = Shell(folder, HOOKS, (sys.executable, *RUN))
    ended = shell.run("--url", url, "--no-color", "--seed", "1", *options)
    return shell, ended.code, ended.out + ended.err


def test_correct_server_is_not_accused_and_keeps_what_others_published(tmp_path: Path) -> None:
    key = {"Authorization": f"Bearer {PRIMARY}"}
    with Twin(TwinSettings(build_s=0.05)) as twin, httpx.Client(base_url=twin.url, headers=key) as client:
        foreign = {"api_version": "orgo.ai/v1", "template": {"name": "0", "version": "0.0.0"}}
        assert client.post("/templates", json=foreign).status_code == 201
        shell, code, out = run(tmp_path, twin.url, "--max-examples", "8", "--workers", "2")
        kept = client.get("/templates/default/0/0.0.0").status_code
    assert (code, kept, shell.journals()) == (0, 200, []), out


@pytest.mark.parametrize(("check", "code"), [("touchstone_cancel", 1), ("touchstone_events", 0)])
def test_broken_claim_is_named_once_by_the_check_of_its_subject(tmp_path: Path, check: str, code: int) -> None:
    with catalogue.fault("cancel-answers-200", 1).twin(TwinSettings(build_s=0.05)) as twin:
        options = ("--phases", "fuzzing", "--max-examples", "8", "--checks", check)
        _, found, out = run(tmp_path, twin.url, *options)
    assert (found, out.count("- ST901 Broken claim: cancel.in-flight-is-202 (must)")) == (code, code), out


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://127.0.0.1:9/api", "http://127.0.0.1:9/api: no response: ConnectError"),
        ("http://api.example.test/api", "the variable ORGO_API_KEY is not set"),
    ],
)
def test_target_that_cannot_be_judged_is_one_line(tmp_path: Path, url: str, message: str) -> None:
    _, code, out = run(tmp_path, url)
    assert (code, message in out, "Traceback" in out) == (2, True, False), out
