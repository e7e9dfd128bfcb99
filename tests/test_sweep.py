"""What a killed run leaves is removed by a later sweep, and nothing else is touched."""

import json
import os
import re
import socketserver
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.command import KEYS, PRIMARY, SECOND, Command, Ended, Shell, called, children, gone
from tests.watched import ENDLESS_S, WAITING, Watched
from touchstone.check.budget import SILENT_REMOVALS
from touchstone.check.journal import SUFFIX, Journal
from touchstone.check.sweep import EMBEDDED_URL

Sweep = Callable[..., Ended]
RUN = "260102-030405-0000a1"


def killed(shell: Shell, watched: Watched) -> None:
    """Kills a run, the parent only, while its first build runs; returns when the child has noticed."""
    command = shell.start("check", "--url", watched.url, "--claims", WAITING, "--profile", "quick")
    try:
        assert watched.reached.wait(60)
        (worker,) = children(command.pid)
    finally:
        command.kill()
        command.communicate()
    assert gone(worker)


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Sweep:
    """Sweeps a URL from this process, with the given keys."""

    def run(url: str, keys: Mapping[str, str] = KEYS) -> Ended:
        return called(Shell(tmp_path, keys), monkeypatch, capsys, "sweep", "--url", url)

    return run


def left_by(shell: Shell, url: str, *refs: str, by: str = "") -> Path:
    """
    The journal of a run that ended in the middle of creating *refs*; without *by* of an older one, that names no key.
    """
    journal = Journal.open(RUN, url, shell.folder / "state" / "touchstone" / "journals")
    for ref in refs:
        journal.intend(ref, by)
    journal.close()
    return journal.path


def test_killed_run_is_swept_and_others_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sweep after a kill removes the run's templates and builds, and leaves those of others, whatever their names.

    The run log that the kill cut short can be rendered, says so, and is no pass.
    """
    shell = Shell(tmp_path)
    with Watched(build_s=ENDLESS_S) as watched:
        others = [watched.publish("somebody-else"), watched.publish("touchstone-by-hand")]
        killed(shell, watched)
        assert len(watched.refs()) > len(others)
        assert watched.running() == 1
        (journal,) = shell.journals()
        assert '"by": "primary"' in journal.read_text("utf-8")
        ended = called(shell, monkeypatch, capsys, "sweep", "--url", watched.url)
        assert (watched.refs(), watched.running()) == (sorted(others), 0)
    assert (ended.code, ended.err) == (0, "")
    assert ended.last_line.startswith("exit 0: ")
    assert ended.last_line.endswith("templates removed, 0 left")
    assert shell.journals() == []
    (log,) = (tmp_path / "reports").glob("*/runlog.jsonl")
    told = called(shell, monkeypatch, capsys, "report", str(log))
    assert (told.code, told.last_line) == (3, "exit 3: the run log has no footer: the run was cut short")
    assert told.report()["run"]["exit_code"] == 3


def test_nothing_to_sweep_is_fine(sweep: Sweep) -> None:
    """A sweep without journals sends nothing and ends with 0."""
    ended = sweep("http://127.0.0.1:9/api")
    assert (ended.code, ended.last_line) == (0, "exit 0: 0 templates removed, 0 left")


def test_template_that_never_came_to_be_was_gone_already(sweep: Sweep, tmp_path: Path) -> None:
    """What was intended and never created is 404 on the target: nothing was removed, and its journal goes."""
    shell = Shell(tmp_path)
    with Watched() as watched:
        left_by(shell, watched.url, f"default/touchstone-{RUN}-never@1.0.0", watched.publish(f"touchstone-{RUN}-there"))
        ended = sweep(watched.url)
        assert watched.refs() == []
    assert (ended.code, shell.journals()) == (0, [])
    assert ended.last_line == "exit 0: 1 templates removed, 0 left; 1 was gone already"


def test_templates_of_an_embedded_twin_are_gone_with_it(sweep: Sweep, tmp_path: Path) -> None:
    """Nobody has to be asked for them."""
    shell = Shell(tmp_path)
    left_by(shell, EMBEDDED_URL, f"default/touchstone-{RUN}-a@1.0.0", f"default/touchstone-{RUN}-b@1.0.0")
    ended = sweep("http://127.0.0.1:9/api")
    assert (ended.code, shell.journals()) == (0, [])
    assert ended.last_line == "exit 0: 0 templates removed, 0 left; 2 were gone already"


def test_target_that_is_down_keeps_its_journal(sweep: Sweep, tmp_path: Path) -> None:
    """
    Where the target does not answer the sweep ends with 3, says so, names what may be left, and can be tried again.
    """
    shell = Shell(tmp_path)
    with Watched() as watched:
        url = watched.url
    path = left_by(shell, url, f"default/touchstone-{RUN}-stuck@1.0.0")
    ended = sweep(url)
    assert ended.code == 3
    why = r"no answer: ConnectError: .*refused.*"
    assert re.search(rf"^could not be removed: default/touchstone-{RUN}-stuck@1\.0\.0: {why}$", ended.out, re.MULTILINE)
    assert ended.last_line == (
        f"exit 3: 0 templates removed, 1 left; {url} did not answer: check the URL and that the server runs, "
        "and sweep again"
    )
    assert shell.journals() == [path]
    assert "Traceback" not in ended.out + ended.err


def test_sweep_asks_no_more_of_a_target_that_is_down(sweep: Sweep, tmp_path: Path) -> None:
    """After a few requests without an answer the rest is left as well, and not asked for; the reason is told once."""
    asked: list[bytes] = []

    class HangsUp(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            asked.append(self.request.recv(65_536))

    shell = Shell(tmp_path)
    refs = [f"default/touchstone-{RUN}-{number}@1.0.0" for number in range(40)]
    with socketserver.TCPServer(("127.0.0.1", 0), HangsUp) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/api"
        path = left_by(shell, url, *refs)
        ended = sweep(url)
        server.shutdown()
    assert (ended.code, shell.journals()) == (3, [path])
    told = [line for line in ended.out.splitlines() if line.startswith("could not be removed: ")]
    named = ", ".join(refs[:3])
    assert [line.partition(": no answer: ")[0] for line in told] == [f"could not be removed: {named} and 37 more"]
    assert len(asked) == SILENT_REMOVALS


def test_journal_of_another_target_is_left_alone(sweep: Sweep, tmp_path: Path) -> None:
    """A sweep of one target does not touch what a run left on another one, and says where that is."""
    shell = Shell(tmp_path)
    path = left_by(shell, "http://127.0.0.1:9/elsewhere", f"default/touchstone-{RUN}-there@1.0.0")
    with Watched() as watched:
        ended = sweep(watched.url)
    assert (ended.code, shell.journals()) == (0, [path])
    assert f"run {RUN} left 1 templates on http://127.0.0.1:9/elsewhere" in ended.out


@pytest.mark.parametrize("key", ["sk_live_nobody_has_this", ""])
def test_sweep_without_a_good_key_removes_nothing(sweep: Sweep, tmp_path: Path, key: str) -> None:
    """With a wrong key or none the journal stays, so that a sweep with the right key finds it."""
    shell = Shell(tmp_path)
    with Watched() as watched:
        ref = watched.publish(f"touchstone-{RUN}-mine")
        path = left_by(shell, watched.url, ref)
        ended = sweep(watched.url, {"ORGO_API_KEY": key} if key else {})
        assert watched.refs() == [ref]
    assert ended.code == (3 if key else 2)
    assert shell.journals() == [path]
    if key:
        assert f"could not be removed: {ref}: may be made with api_key, which is refused with status 401 " in ended.out
        assert ended.last_line == "exit 3: 0 templates removed, 1 left; set right what is told above, and sweep again"


@pytest.mark.parametrize(
    ("second", "why"),
    [
        ({}, "is not set; set ORGO_SECOND_API_KEY"),
        (
            {"ORGO_SECOND_API_KEY": "sk_live_nobody_has_this"},
            "is refused with status 401 '.*'; set ORGO_SECOND_API_KEY to the right one",
        ),
    ],
)
def test_version_is_gone_only_where_its_own_key_says_so(
    sweep: Sweep, tmp_path: Path, second: dict[str, str], why: str
) -> None:
    """What the second key made is left, and in the journal, until that key was asked: others do not see it at all."""
    shell = Shell(tmp_path)
    with Watched() as watched:
        ref = watched.publish(f"touchstone-{RUN}-ready-second", key=SECOND)
        path = left_by(shell, watched.url, ref, by="second")
        ended = sweep(watched.url, {"ORGO_API_KEY": PRIMARY} | second)
        assert (watched.refs(), shell.journals()) == ([ref], [path])
        told = f"could not be removed: {re.escape(ref)}: made with second_api_key, which {why}"
        assert re.search(f"^{told}$", ended.out, re.MULTILINE)
        assert ended.last_line == "exit 3: 0 templates removed, 1 left; set right what is told above, and sweep again"
        again = sweep(watched.url)
        assert (watched.refs(), shell.journals()) == ([], [])
    assert (ended.code, again.code, again.last_line) == (3, 0, "exit 0: 1 templates removed, 0 left")


def test_variable_that_the_settings_name_is_told(tmp_path: Path, call: Command) -> None:
    """Where a key of a target has another variable than the usual one, the sweep says that one."""
    with Watched() as watched:
        shell = Shell(tmp_path, {"STAGING_KEY": PRIMARY})
        table = f'[targets.staging]\nurl = "{watched.url}"\napi_key_env = "STAGING_KEY"\n'
        (tmp_path / "touchstone.toml").write_text(f'{table}second_api_key_env = "STAGING_SECOND_KEY"\n', "utf-8")
        left_by(shell, watched.url, watched.publish(f"touchstone-{RUN}-ready-second", key=SECOND), by="second")
        ended = call(shell, "sweep", "--target", "staging")
    assert ended.code == 3
    assert "made with second_api_key, which is not set; set STAGING_SECOND_KEY" in " ".join(ended.out.split())


def test_older_journal_forgets_nothing_that_another_key_may_have_made(sweep: Sweep, tmp_path: Path) -> None:
    """Where the journal names no key, what no key that is set finds stays in it, and the way out is told."""
    shell = Shell(tmp_path)
    with Watched() as watched:
        ours, theirs = (
            watched.publish(f"touchstone-{RUN}-ours"),
            watched.publish(f"touchstone-{RUN}-theirs", key=SECOND),
        )
        path = left_by(shell, watched.url, ours, theirs)
        ended = sweep(watched.url, {"ORGO_API_KEY": PRIMARY})
        assert (ended.code, watched.refs(), shell.journals()) == (3, [theirs], [path])
        assert f"could not be removed: {theirs}: may be made with second_api_key, which is not set; " in ended.out
        assert f"; if the run had no such key, delete {path}\n" in ended.out
        assert sweep(watched.url).last_line == "exit 0: 1 templates removed, 0 left"
        assert (watched.refs(), shell.journals()) == ([], [])


def test_name_that_two_accounts_have_is_swept_for_both(sweep: Sweep, tmp_path: Path) -> None:
    """A version of the second account under the same name goes as well."""
    shell = Shell(tmp_path)
    with Watched() as watched:
        ref = watched.publish(f"touchstone-{RUN}-common")
        assert watched.publish(f"touchstone-{RUN}-common", key=KEYS["ORGO_SECOND_API_KEY"]) == ref
        left_by(shell, watched.url, ref)
        ended = sweep(watched.url)
        assert watched.refs() == []
    assert (ended.code, shell.journals()) == (0, [])


@pytest.mark.parametrize("named", [True, False])
def test_build_is_cancelled_only_of_a_version_that_the_settings_name(
    tmp_path: Path, call: Command, named: bool
) -> None:
    """
    A run that must not publish builds versions that are not its own. What it started ends, and nothing is deleted.
    """
    shell = Shell(tmp_path)
    with Watched(build_s=ENDLESS_S) as watched:
        given, other = (watched.publish(name, build=True) for name in ("given", "of-nobody"))
        templates = f'templates = {{ buildable = ["{given}"] }}\n' if named else ""
        (tmp_path / "touchstone.toml").write_text(f'[targets.staging]\nurl = "{watched.url}"\n{templates}', "utf-8")
        journal = Journal.open(RUN, watched.url, tmp_path / "state" / "touchstone" / "journals")
        journal.started(given)
        journal.close()
        ended = call(shell, "sweep", "--target", "staging")
        assert (watched.refs(), watched.running()) == (sorted([given, other]), 1 if named else 2)
    assert (ended.code, shell.journals()) == ((0, []) if named else (3, [journal.path]))


@pytest.mark.parametrize(
    ("name", "run_id"),
    [
        ("golden", RUN),
        (f"touchstone-{RUN}", RUN),
        ("touchstone-260102-030405-0000a2-of-another-run", RUN),
        (f"x-touchstone-{RUN}-later", RUN),
        ("touchstone-golden", "golden"),
        ("touchstone-golden-image", "golden"),
        ("touchstone-image", ""),
    ],
)
def test_planted_journal_removes_nothing(sweep: Sweep, tmp_path: Path, name: str, run_id: str) -> None:
    """What has no name of the journal's own run is named and left, with whichever key the journal asks for."""
    shell = Shell(tmp_path)
    with Watched() as watched:
        ref = watched.publish(name)
        assert watched.publish(name, key=SECOND) == ref
        path = planted(tmp_path, watched.url, run_id, ref)
        watched.asked.clear()
        ended = sweep(watched.url)
        assert (watched.refs(), watched.asked, shell.journals()) == ([ref, ref], [], [path])
    assert (ended.code, "1 left" in ended.last_line) == (3, True)
    assert (ref if run_id == RUN else str(path)) in "".join(ended.out.split("\n"))


def planted(folder: Path, url: str, run_id: str, *refs: str, by: tuple[str, ...] = ("primary", "second")) -> Path:
    """A journal that no run wrote, where a sweep looks for journals."""
    path = folder / "state" / "touchstone" / "journals" / f"{run_id}{SUFFIX}"
    path.parent.mkdir(parents=True, exist_ok=True)
    steps = ({"step": "intend", "ref": ref, "by": role} for ref in refs for role in by)
    lines = ({"journal": 1, "run_id": run_id, "target_url": url}, *steps)
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("how", ["group", "others", "link", "pipe"])
def test_file_that_others_can_write_is_no_journal(sweep: Sweep, tmp_path: Path, how: str) -> None:
    """Nor is a symbolic link or a pipe: it is named, and what it lists is left."""
    shell = Shell(tmp_path)
    with Watched() as watched:
        ref = watched.publish(f"touchstone-{RUN}-there")
        path = planted(tmp_path, watched.url, RUN, ref)
        if how in ("link", "pipe"):
            path.rename(tmp_path / "elsewhere")
            path.symlink_to(tmp_path / "elsewhere") if how == "link" else os.mkfifo(path, 0o600)
        else:
            path.chmod(0o620 if how == "group" else 0o602)
        ended = sweep(watched.url)
        assert (watched.refs(), shell.journals()) == ([ref], [path])
    assert (ended.code, "1 left" in ended.last_line, str(path) in ended.out.replace("\n", "")) == (3, True, True)


def test_key_that_nobody_has_is_passed_over(sweep: Sweep, tmp_path: Path) -> None:
    """A journal that names no key of a run is swept like one that names none."""
    with Watched() as watched:
        planted(tmp_path, watched.url, RUN, watched.publish(f"touchstone-{RUN}-there"), by=("nobody",))
        assert (sweep(watched.url).code, watched.refs()) == (0, [])


def test_own_ref_cannot_lead_elsewhere(sweep: Sweep, tmp_path: Path) -> None:
    """A version of dots would make a server delete what lies above it."""
    with Watched() as watched:
        planted(tmp_path, watched.url, RUN, f"default/touchstone-{RUN}-x@..", f"default/touchstone-{RUN}-x/y@1.0.0")
        ended = sweep(watched.url)
        assert watched.asked == []
    assert (ended.code, "2 left" in ended.last_line) == (3, True)


def test_live_run_is_not_swept(sweep: Sweep, tmp_path: Path) -> None:
    """The journal of a run that is still alive is locked: a sweep beside it touches nothing."""
    with Watched() as watched:
        ref = watched.publish(f"touchstone-{RUN}-busy")
        journal = Journal.open(RUN, watched.url, tmp_path / "state" / "touchstone" / "journals")
        journal.intend(ref)
        ended = sweep(watched.url)
        assert (ended.code, watched.refs()) == (0, [ref])
        journal.close()
        assert sweep(watched.url).code == 0
        assert watched.refs() == []
