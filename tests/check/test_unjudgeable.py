"""Targets that a run cannot judge: out of reach, without what the settings name, or with a key below the Scale plan."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.check.scripted import Answer, Scripted, examination
from tests.command import KEYS, PRIMARY, RESTRICTED, Command, Ended, Shell
from tests.inline import inline
from tests.rules.exchanges import exchange
from tests.watched import Watched
from touchstone.check.job import RESTRICTED_REF
from touchstone.check.preflight import UPGRADE_REQUIRED, PlanWatch, check_given
from touchstone.config import TargetSettings, Templates
from touchstone.errors import TargetError
from touchstone.facts.exchange import Exchange
from touchstone.target.call import Call
from touchstone.twin import Account, Engine
from touchstone.twin.answers import plan_too_small
from touchstone.twin.catalog import Version
from touchstone.twin.documents import Document

THERE, GONE, HALF = "default/there@1.0.0", "default/gone@1.0.0", "default/half@1.0.0"


@pytest.mark.parametrize("fault", ["nobody-listens", "mute", "wrong-path", "wrong-key", "misspelt-ref"])
def test_target_that_cannot_be_judged_ends_with_3_and_reports(tmp_path: Path, call: Command, fault: str) -> None:
    key = "sk_live_of_nobody" if fault == "wrong-key" else PRIMARY
    with Watched() as watched, socket.create_server(("127.0.0.1", 0)) as mute:
        url = watched.url if fault in ("wrong-key", "misspelt-ref") else f"{watched.url.removesuffix('/api')}/v2"
        if fault in ("nobody-listens", "mute"):
            url = f"http://127.0.0.1:{mute.getsockname()[1]}/api"
        if fault == "nobody-listens":
            mute.close()
        table = f'[targets.a]\nurl = "{url}"\napi_key_env = "STAGING_KEY"\nrequest_timeout_s = 0.2\n'
        table += f'publish = "never"\ntemplates.buildable = ["{GONE}"]\n' if fault == "misspelt-ref" else ""
        (tmp_path / "touchstone.toml").write_text(table)
        ended = call(Shell(tmp_path, KEYS | {"STAGING_KEY": key}), "check", "--target", "a", "--profile", "quick")
        assert (watched.refs(), watched.launched) == ([], [])
    assert ended.code == 3
    assert (GONE if fault == "misspelt-ref" else url) in ended.last_line
    assert ("STAGING_KEY" in ended.last_line) == (fault == "wrong-key")
    assert {path.name for path in ended.results.iterdir()} >= {"report.json", "report.html", "junit.xml"}
    assert (set(ended.verdicts().values()), ended.report()["findings"]) == ({"could-not-run"}, [])
    assert key not in ended.out + ended.err


# --- versions that the settings name ----------------------------------------------------------------------------------


def given_reads(publish: Any, low: str | None = RESTRICTED, **refs: str) -> list[tuple[str, str | None]]:
    """What is read of a server that has one version, and denies one of the two pages of another one."""

    def answer(call: Call) -> Answer:
        is_there = call.ref == THERE or (call.ref == HALF and call.operation == "getTemplate")
        return 200 if is_there else 404, {}, {}

    transport: Any = Scripted(answer)
    templates = Templates(**{name: (ref,) for name, ref in refs.items()})
    check_given(transport, TargetSettings("a", restricted_api_key=low, publish=publish, templates=templates))
    return [(call.operation, call.ref) for call in transport.calls]


@pytest.mark.parametrize(
    "refs", [{"buildable": GONE}, {"buildable": THERE, "failing": GONE}, {"restricted": GONE}], ids=str
)
def test_given_ref_that_is_not_there_is_reported(refs: dict[str, str]) -> None:
    with pytest.raises(TargetError) as error:
        given_reads("never", **refs)
    assert str(error.value).startswith(f"{list(refs)[-1]}: {GONE} ")


def test_given_refs_are_read_once_where_they_are_used() -> None:
    reads = [("getBuild", THERE), ("getBuild", HALF), ("getTemplate", HALF)]
    assert given_reads("never", buildable=THERE, failing=HALF) == reads
    assert given_reads("raw", None, buildable=GONE, failing=HALF, restricted="default/gone-too@1.0.0") == []


# --- a main key below the Scale plan ----------------------------------------------------------------------------------


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


def checked(folder: Path, url: str, key: str, claims: str, table: str = "") -> Ended:
    """A quick check of some claims with a key that the settings name."""
    (folder / "touchstone.toml").write_text(f'[targets.a]\nurl = "{url}"\napi_key_env = "MINE"\n{table}\n')
    arguments = ("check", "--target", "a", "--profile", "quick", "--claims", claims)
    return inline(Shell(folder, {"MINE": key}), *arguments)


@pytest.mark.parametrize("table", ["", f'publish = "never"\ntemplates.buildable = ["{RESTRICTED_REF}"]'])
def test_key_below_the_plan_ends_the_run_unjudged(tmp_path: Path, table: str) -> None:
    with Watched() as watched:
        ended = checked(tmp_path, watched.url, RESTRICTED, "reuse.status-code", table)
        assert (watched.refs(), watched.launched) == ([], [])
    assert ended.code == 3
    assert [data for data in ("MINE", UPGRADE_REQUIRED) if data not in ended.last_line] == []
    report = ended.report()
    assert report["findings"] == []
    assert report["counts"]["exchanges"] <= 40


def test_right_key_that_is_refused_now_and_then_is_a_finding(tmp_path: Path) -> None:
    with Watched(engine=FirstPublishesNeedMore) as watched:
        ended = checked(tmp_path, watched.url, PRIMARY, "publish.answers-201")
        assert watched.refs() == []
    assert ended.code == 1
    assert ended.verdicts()["publish.answers-201"] == "broken"


def test_key_that_may_publish_is_not_below_the_plan(tmp_path: Path) -> None:
    claims = "publish.ref-is-the-document,reuse.status-code"
    with Watched(engine=NobodyMayStart) as watched:
        ended = checked(tmp_path, watched.url, PRIMARY, claims)
    assert (ended.code, UPGRADE_REQUIRED in ended.last_line) == (3, False)
    assert ended.verdicts() == dict(zip(claims.split(","), ("upheld", "could-not-run"), strict=True))


BODY = json.dumps({"code": UPGRADE_REQUIRED}).encode()
REFUSED = exchange("publishTemplate", 403, body=BODY)


@pytest.mark.parametrize(
    ("before", "later", "barred"),
    [
        ([REFUSED], REFUSED, True),
        ([REFUSED], exchange("publishTemplate", 500), False),
        ([REFUSED, exchange("startBuild", 202)], REFUSED, False),
        ([REFUSED, exchange("publishTemplate", 409)], REFUSED, False),
        ([exchange("publishTemplate", 403)], REFUSED, False),
        ([exchange("publishTemplate", 403, body=BODY, credential="restricted")], REFUSED, False),
        ([exchange("getBuild", 403, body=BODY)], REFUSED, False),
    ],
    ids=["always", "fails-later", "started", "conflict", "another-403", "restricted-key", "read"],
)
def test_key_is_barred_where_every_try_is_refused_alike(
    monkeypatch: pytest.MonkeyPatch, before: list[Exchange], later: Exchange, barred: bool
) -> None:
    watch, exam = PlanWatch(), examination(lambda _: (500, {}, {}))
    monkeypatch.setattr(exam, "publish", lambda _: watch.hear(later))
    for received in before:
        watch.hear(received)
    assert watch.settle(exam) is barred
    assert watch.is_barred is barred
