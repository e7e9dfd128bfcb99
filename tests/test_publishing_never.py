"""Where the setting says that nothing may be published, nobody publishes anything, in whatever command."""

import json
import re
from pathlib import Path

import pytest

from tests.command import Command, Ended, Shell
from tests.test_examination import examination, told
from tests.test_plan import planned
from tests.watched import Watched
from touchstone.check.examination import PUBLISH_ADVICE, Unsuited
from touchstone.target.call import Call

SETTINGS = """
[targets.staging]
url = "{url}"
max_builds = 400
publish = "never"
[targets.staging.templates]
buildable = ["default/given@1.0.0"]
restricted = ["default/legacy-demo@1.0.0"]
"""

CREATING = ("POST", "PUT", "PATCH")
AT_TARGET = ("--target", "staging")
# A load and a probe of this length are over at once.
LOAD = ("load", "storm", "--builds", "1", "--build-s", "0.05", "--seed", "1")


def staging(shell: Shell, watched: Watched) -> None:
    """Writes the settings of a target that has a version to use, and forgets how that came to be."""
    watched.publish("given")
    watched.asked.clear()
    (shell.folder / "touchstone.toml").write_text(SETTINGS.format(url=watched.url), "utf-8")


def published(watched: Watched) -> list[tuple[str, str]]:
    """The requests that a server may take for ones that publish."""
    return [(method, path) for method, path in watched.asked if method in CREATING and path.endswith("/templates")]


def sending(ended: Ended) -> set[str]:
    """The cases that sent something, by the run log."""
    events = map(json.loads, (ended.results / "runlog.jsonl").read_text("utf-8").splitlines())
    return {event["case"] for event in events if event["type"] == "exchange"} - {"clean-up"}


@pytest.mark.parametrize("profile", ["quick", pytest.param("standard", marks=pytest.mark.whole)])
def test_check_publishes_nothing_and_says_why(tmp_path: Path, call: Command, profile: str) -> None:
    """No case of any profile publishes; what needs it is not applicable for that reason, and the rest is judged."""
    shell = Shell(tmp_path)
    with Watched() as watched:
        staging(shell, watched)
        ended = call(shell, "check", *AT_TARGET, "--profile", profile)
        assert published(watched) == []
        assert watched.refs() == ["default/given@1.0.0"]
        assert len(watched.asked) > 100
        changing = {
            (method, path.rpartition("/given/1.0.0")[2]) for method, path in watched.asked if "/given/1" in path
        }
        assert {end for method, end in changing if method not in ("GET", "HEAD", "OPTIONS")} <= {"/build"}
        others = {(method, path) for method, path in watched.asked if "/given/" in path and "/given/1.0.0" not in path}
        assert {path for method, path in others if method not in ("GET", "HEAD", "OPTIONS")} == set()
    verdicts = ended.verdicts()
    assert {verdict for claim, verdict in verdicts.items() if claim.startswith("publish.")} == {"not-applicable"}
    assert verdicts["access.publish-needs-scale"] == "not-applicable"
    assert {verdicts["access.start-needs-scale"], verdicts["auth.missing-key-is-401"]} == {"upheld"}
    assert PUBLISH_ADVICE in (ended.results / "report.json").read_text("utf-8").replace('\\"', '"')
    assert ended.code == 0, ended.out


def test_plan_names_the_cases_that_run(tmp_path: Path, call: Command) -> None:
    """
    The plan has no case that publishes; in the run the cases of the plan send something, and begin no more builds.
    """
    shell = Shell(tmp_path)
    flags = ("check", *AT_TARGET, "--profile", "standard", "--claims", "auth.*,publish.*,reuse.*,http.*")
    with Watched() as watched:
        staging(shell, watched)
        plan = call(shell, *flags, "--plan")
        number, builds = planned(plan)
        assert watched.asked == []
        ended = call(shell, *flags)
        assert 0 < len(watched.launched) <= builds
    assert len(sending(ended)) == number
    assert not re.search(r"publishing\.|POST /templates]", plan.out)


@pytest.mark.parametrize("command", [("record", "--out", "kept"), LOAD, ("probe", "--max-builds", "3")])
def test_no_other_command_publishes(tmp_path: Path, call: Command, command: tuple[str, ...]) -> None:
    """Neither does a recorder, a load or a probe: each uses what the target names, or does without."""
    shell = Shell(tmp_path)
    with Watched() as watched:
        staging(shell, watched)
        ended = call(shell, command[0], *command[1:], *AT_TARGET)
        assert published(watched) == []
        assert watched.refs() == ["default/given@1.0.0"]
    assert "Traceback" not in ended.out + ended.err


@pytest.mark.parametrize(
    "call",
    [
        Call("publishTemplate", "default/a@1.0.0"),
        Call(method="POST", path="/templates?force=true"),
        Call(method="post", path="//templates/"),
        Call(method="POST", path="/x/../Templates"),
        Call(method="PUT", path="/%74emplates"),
    ],
)
def test_examination_refuses_whatever_may_publish(call: Call) -> None:
    """Whoever asks, and however it is written down, it is not sent: the case cannot do it."""
    exam = examination(lambda _: told("ready"), publish="never")
    with pytest.raises(Unsuited) as refused:
        exam.send(call)
    assert (refused.value.verdict, refused.value.reason) == ("not-applicable", PUBLISH_ADVICE)
    assert exam.transport.calls == []
    exam.send(Call("startBuild", "default/a@1.0.0"))
    exam.send(Call(method="POST", path="/templates/default/a/1.0.0/build"))
    assert len(exam.transport.calls) == 2
