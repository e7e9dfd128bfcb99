"""A sweep removes what a killed run left, and nothing else."""

import json
import os
import socketserver
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.command import KEYS, PRIMARY, SECOND, Command, Ended, Shell
from tests.watched import ENDLESS_S, Watched
from touchstone.check.budget import SILENT_REMOVALS
from touchstone.check.journal import SUFFIX, Journal
from touchstone.check.sweep import EMBEDDED_URL, sweep_run
from touchstone.config import Settings, TargetSettings

Sweep = Callable[..., tuple[int, str, Ended]]
RUN = "260102-030405-0000a1"
NOWHERE = "http://127.0.0.1:9/api"
WRONG = "sk_live_nobody_has_this"


def own(purpose: str) -> str:
    return f"default/touchstone-{RUN}-{purpose}@1.0.0"


@pytest.fixture
def sweep(tmp_path: Path, call: Command) -> Sweep:
    """Sweeps with the given keys; returns exit code, numbers of removed and left templates, and the result."""

    def run(url: str, keys: Mapping[str, str] = KEYS) -> tuple[int, str, Ended]:
        ended = call(Shell(tmp_path, keys), "sweep", "--url", url)
        counts = [word for word in ended.last_line.partition(";")[0].split() if word.isdigit()]
        return ended.code, ",".join(counts), ended

    return run


def journal_of(folder: Path, url: str) -> Journal:
    return Journal.open(RUN, url, folder / "state" / "touchstone" / "journals")


def left_by(folder: Path, url: str, *refs: str, by: str = "primary") -> list[Path]:
    """The journals after a run that ended while it created *refs*."""
    with journal_of(folder, url) as journal:
        for ref in refs:
            journal.intend(ref, by)
    return [journal.path]


def planted(folder: Path, url: str, run_id: str, *refs: str) -> Path:
    """A forged journal in the folder of journals."""
    path = folder / "state" / "touchstone" / "journals" / f"{run_id}{SUFFIX}"
    path.parent.mkdir(parents=True, exist_ok=True)
    steps = ({"step": "intend", "ref": ref, "by": role} for ref in refs for role in ("primary", "second"))
    lines = ({"journal": 1, "run_id": run_id, "target_url": url}, *steps)
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")
    path.chmod(0o600)
    return path


def journals(folder: Path) -> list[Path]:
    return Shell(folder).journals()


# --- what is removed --------------------------------------------------------------------------------------------------


def test_templates_of_the_run_are_removed_and_others_stay(sweep: Sweep, tmp_path: Path) -> None:
    with Watched(build_s=ENDLESS_S) as watched:
        others = [watched.publish("somebody-else"), watched.publish("touchstone-by-hand")]
        built = watched.publish(f"touchstone-{RUN}-there", build=True)
        left_by(tmp_path, watched.url, own("never"), built)
        assert sweep(watched.url)[:2] == (0, "1,0")
        assert (watched.refs(), watched.running(), journals(tmp_path)) == (sorted(others), 0, [])
    left_by(tmp_path, EMBEDDED_URL, own("a"), own("b"))
    assert (sweep(NOWHERE)[:2], journals(tmp_path)) == ((0, "0,0"), [])


def test_name_that_two_accounts_have_is_swept_for_both(sweep: Sweep, tmp_path: Path) -> None:
    with Watched() as watched:
        refs = {watched.publish(f"touchstone-{RUN}-common", key=key) for key in (PRIMARY, SECOND)}
        planted(tmp_path, watched.url, RUN, *refs)
        assert (sweep(watched.url)[0], watched.refs(), journals(tmp_path)) == (0, [], [])


def keeping(app: Any) -> Any:
    """Wraps an application to fail each deletion and cancel of names that end with ``-kept``."""

    async def keep(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["method"] == "DELETE" and "-kept/" in scope["path"]:
            await send({"type": "http.response.start", "status": 503, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        else:
            await app(scope, receive, send)

    return keep


@pytest.mark.parametrize(
    ("name", "build", "listed", "code"),
    [("given", True, True, 0), ("given", False, True, 0), ("given-kept", True, True, 3), ("given", True, False, 3)],
    ids=["running", "idle", "server-fails", "not-in-the-settings"],
)
def test_build_is_cancelled_only_of_a_version_in_the_settings(
    tmp_path: Path, call: Command, name: str, build: bool, listed: bool, code: int
) -> None:
    with Watched(build_s=ENDLESS_S, wrap=keeping) as watched:
        given, other = watched.publish(name, build=build), watched.publish("of-nobody", build=True)
        templates = f'templates = {{ buildable = ["{given}"] }}\n' if listed else ""
        (tmp_path / "touchstone.toml").write_text(f'[targets.staging]\nurl = "{watched.url}"\n{templates}', "utf-8")
        with journal_of(tmp_path, watched.url) as journal:
            journal.started(given)
        ended = call(Shell(tmp_path), "sweep", "--target", "staging")
        assert (watched.refs(), watched.running()) == (sorted([given, other]), 2 if code else 1)
    assert (ended.code, journals(tmp_path)) == (code, [journal.path] if code else [])


# --- what stays, and in the journal -----------------------------------------------------------------------------------


def test_silent_target_gets_a_few_requests(sweep: Sweep, tmp_path: Path) -> None:
    requests: list[bytes] = []

    class HangsUp(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            requests.append(self.request.recv(65_536))

    with socketserver.TCPServer(("127.0.0.1", 0), HangsUp) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/api"
        paths = left_by(tmp_path, url, *(own(str(number)) for number in range(40)))
        *counts, ended = sweep(url)
        at_the_end_of_a_run = sweep_run(Settings(TargetSettings("t", url, PRIMARY)), [paths[0].parent], RUN)
        server.shutdown()
    assert (counts, journals(tmp_path)) == ([3, "0,40"], paths)
    assert url in ended.last_line
    assert ended.out.count("could not be removed") == 1
    assert (len(requests), len(at_the_end_of_a_run)) == (SILENT_REMOVALS + 1, 40)


def test_journal_of_another_target_is_left_alone(sweep: Sweep, tmp_path: Path) -> None:
    paths = left_by(tmp_path, "http://127.0.0.1:9/elsewhere", own("there"))
    code, _, ended = sweep(NOWHERE)
    assert (code, journals(tmp_path), "http://127.0.0.1:9/elsewhere" in ended.out) == (0, paths, True)


@pytest.mark.parametrize(
    ("key", "by", "keys", "advice"),
    [
        (PRIMARY, "primary", {}, "ORGO_API_KEY"),
        (PRIMARY, "primary", {"ORGO_API_KEY": WRONG}, "401"),
        (SECOND, "second", {"ORGO_API_KEY": PRIMARY}, "ORGO_SECOND_API_KEY"),
        (SECOND, "second", {"ORGO_API_KEY": PRIMARY, "ORGO_SECOND_API_KEY": WRONG}, "401"),
    ],
    ids=["no-key", "wrong-key", "no-second-key", "wrong-second-key"],
)
def test_version_is_left_without_the_key_of_its_owner(
    sweep: Sweep, tmp_path: Path, key: str, by: str, keys: Mapping[str, str], advice: str
) -> None:
    with Watched() as watched:
        ref = watched.publish(f"touchstone-{RUN}-mine", key=key)
        paths = left_by(tmp_path, watched.url, ref, by=by)
        code, _, ended = sweep(watched.url, keys)
        assert (code, watched.refs(), journals(tmp_path)) == (3 if keys else 2, [ref], paths)
        assert (advice in ended.out + ended.err, WRONG in ended.out + ended.err) == (True, False)
        assert sweep(watched.url)[:2] == (0, "1,0")
        assert (watched.refs(), journals(tmp_path)) == ([], [])


@pytest.mark.parametrize(
    ("name", "run_id"),
    [
        ("golden", RUN),
        (f"touchstone-{RUN}", RUN),
        ("touchstone-260102-030405-0000a2-of-another-run", RUN),
        (f"x-touchstone-{RUN}-later", RUN),
        ("touchstone-golden-image", "golden"),
        ("touchstone-image", ""),
    ],
)
def test_planted_journal_removes_nothing(sweep: Sweep, tmp_path: Path, name: str, run_id: str) -> None:
    with Watched() as watched:
        refs = [watched.publish(name, key=key) for key in (PRIMARY, SECOND)]
        path = planted(tmp_path, watched.url, run_id, refs[0])
        watched.received.clear()
        *counts, ended = sweep(watched.url)
        assert (watched.refs(), watched.received, journals(tmp_path)) == (refs, [], [path])
    assert counts == [3, "0,1"]
    assert (refs[0] if run_id == RUN else str(path)) in "".join(ended.out.split("\n"))


@pytest.mark.parametrize("how", ["group", "others", "owner", "link", "pipe"])
def test_file_that_others_can_write_is_no_journal(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    path = planted(tmp_path, NOWHERE, RUN, own("there"))
    if how in ("link", "pipe"):
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere") if how == "link" else os.mkfifo(path, 0o600)
    elif how == "owner":
        monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    else:
        path.chmod(0o620 if how == "group" else 0o602)
    *counts, ended = sweep(NOWHERE)
    assert (counts, journals(tmp_path), str(path) in ended.out.replace("\n", "")) == ([3, "0,1"], [path], True)


def test_odd_refs_are_not_swept(sweep: Sweep, tmp_path: Path) -> None:
    with Watched() as watched:
        planted(tmp_path, watched.url, RUN, f"default/touchstone-{RUN}-x@..", f"default/touchstone-{RUN}-x/y@1.0.0")
        assert (sweep(watched.url)[:2], watched.received) == ((3, "0,2"), [])


def test_live_run_is_not_swept(sweep: Sweep, tmp_path: Path) -> None:
    with Watched() as watched:
        ref = watched.publish(f"touchstone-{RUN}-busy")
        with journal_of(tmp_path, watched.url) as journal:
            journal.intend(ref)
            assert (sweep(watched.url)[:2], watched.refs()) == ((0, "0,0"), [ref])
        assert (sweep(watched.url)[:2], watched.refs()) == ((0, "1,0"), [])


def test_version_that_the_server_keeps_stays_in_the_journal(sweep: Sweep, tmp_path: Path) -> None:
    with Watched(wrap=keeping) as watched:
        paths = left_by(tmp_path, watched.url, watched.publish(f"touchstone-{RUN}-kept"), own("never"))
        *counts, ended = sweep(watched.url)
    assert (counts, journals(tmp_path), "503" in ended.out) == ([3, "0,1"], paths, True)
