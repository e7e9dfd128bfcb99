"""
A run whose main key is below the Scale plan judges nothing; a server that refuses a right key now and then is judged.
"""

import json
from pathlib import Path

import pytest

from tests.command import PRIMARY, RESTRICTED, Command, Ended, Shell
from tests.rules.exchanges import exchange
from tests.test_examination import examination
from tests.watched import Watched
from touchstone.check.job import RESTRICTED_REF
from touchstone.check.preflight import UPGRADE_REQUIRED, PlanWatch
from touchstone.twin import Account, Engine
from touchstone.twin.answers import plan_too_small
from touchstone.twin.catalog import Version
from touchstone.twin.documents import Document

CLAIMS = "publish.answers-201,start.answers-202,reuse.ready-at-once"


class FirstPublishesNeedMore(Engine):
    """Takes a right key for one below the plan in its first two publishes."""

    refused = 0

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        if self.refused < 2:
            self.refused += 1
            raise plan_too_small("Publishing")
        return super().publish(account, document, force)


class NobodyMayStart(Engine):
    """Lets everybody publish, and takes every key for one below the plan where it starts a build."""

    def require_plan(self, account: Account, doing: str) -> None:
        if doing != "Publishing":
            raise plan_too_small(doing)


def checked(folder: Path, call: Command, url: str, key: str, table: str = "") -> Ended:
    """A quick check of a few claims by a target of a settings file."""
    (folder / "touchstone.toml").write_text(f'[targets.a]\nurl = "{url}"\napi_key_env = "MINE"\n{table}\n')
    arguments = ("check", "--target", "a", "--profile", "quick", "--claims", CLAIMS)
    return call(Shell(folder, {"MINE": key}), *arguments)


@pytest.mark.parametrize("table", ["", f'publish = "never"\ntemplates.buildable = ["{RESTRICTED_REF}"]'])
def test_key_below_the_plan_ends_the_run_before_anything_is_judged(tmp_path: Path, call: Command, table: str) -> None:
    """Three refusals are enough: the last line says what key is needed, and that the server may be wrong."""
    with Watched() as watched:
        ended = checked(tmp_path, call, watched.url, RESTRICTED, table)
        assert (watched.refs(), watched.launched) == ([], [])
    assert ended.code == 3
    assert ended.last_line == (
        "exit 3: the account of MINE is below the Scale plan, or the server wrongly takes it to be (each publish or "
        "start is answered with 403 UPGRADE_REQUIRED); use a key of a Scale account; one below it belongs in "
        "restricted_api_key_env"
    )
    assert ended.report()["findings"] == []
    assert ended.report()["counts"]["exchanges"] <= 40


def test_right_key_that_is_refused_now_and_then_is_a_finding(tmp_path: Path, call: Command) -> None:
    """A server that accepts one of three publishes is judged, and what it refused is held against it."""
    with Watched(engine=FirstPublishesNeedMore) as watched:
        ended = checked(tmp_path, call, watched.url, PRIMARY)
        assert watched.refs() == []
    assert ended.code == 1
    assert ended.verdicts()["publish.answers-201"] == "broken"


def test_key_that_may_publish_is_not_below_the_plan(tmp_path: Path, call: Command) -> None:
    """Where only starts are refused, the run goes on and says what it could not judge."""
    with Watched(engine=NobodyMayStart) as watched:
        ended = checked(tmp_path, call, watched.url, PRIMARY)
    assert ended.code == 3
    assert "below the Scale plan" not in ended.last_line
    assert ended.verdicts()["publish.answers-201"] == "upheld"


def test_refusals_of_another_kind_settle_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where the tries that follow fail, nobody knows, and the run goes on; where they are refused alike, it is known.
    """
    refused = exchange("publishTemplate", 403, body=json.dumps({"code": UPGRADE_REQUIRED}).encode())
    watch, exam = PlanWatch(), examination(lambda _: (500, {}, {}))
    watch.hear(refused)
    monkeypatch.setattr(exam, "publish", lambda _: watch.hear(exchange("publishTemplate", 500)))
    assert not watch.settle(exam)
    monkeypatch.setattr(exam, "publish", lambda _: watch.hear(refused))
    assert watch.settle(exam)
