"""What a load sends itself: versions stand ready before it, each in the journal first, and nothing of them is left."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.command import PRIMARY, SECOND, Command, Shell
from tests.loadgen.rulings import attempt, ended
from tests.loadlogs import header, worker
from tests.rules.exchanges import exchange
from tests.stages import hanging
from tests.watched import ENDLESS_S, Watched
from touchstone.check.journal import JournalState, leftovers, whole_lines
from touchstone.config import Settings, TargetSettings, Templates
from touchstone.contract.document import Contract
from touchstone.facts.events import RunLog
from touchstone.facts.runlog import RunLogWriter, read
from touchstone.loadgen.judge import CLEAN_UP, SET_UP
from touchstone.loadgen.plan import Need, Stage
from touchstone.loadgen.runner import SettingUp
from touchstone.rules.history import Bounds, History
from touchstone.rules.protocol import answered
from touchstone.target.call import Call
from touchstone.twin import Account, Engine
from touchstone.twin.answers import Refusal
from touchstone.twin.build import Build as TwinBuild
from touchstone.twin.catalog import Ref, Version
from touchstone.twin.documents import Document

RUN_ID = "260102-030405-ab12cd"
NEEDS = (Need("ready", "ready"), *(Need("own", purpose, sleep_s=0.1) for purpose in ("start", "stream", "cancel")))
ENDLESS = Need("own", "start", sleep_s=ENDLESS_S)
NEVER_S = 9_999.0


@dataclass
class Stand:
    twin: Watched
    setting_up: SettingUp
    settings: Settings
    run_log: Path
    progress: list[dict[str, Any]]

    @property
    def journal(self) -> JournalState:
        assert self.settings.state_dir
        (path,) = self.settings.state_dir.glob("*.journal.jsonl")
        return JournalState.after(whole_lines(path.read_bytes()))

    def stage(self, *needs: Need) -> Stage:
        return self.setting_up.stage(needs or NEEDS, lambda: False)

    def own(self, *needs: Need) -> tuple[str, ...]:
        return self.stage(*needs).refs("own")

    def log(self, **facts: Any) -> RunLog:
        """The run log, with these facts of a load that never took place."""
        return replace(read(self.run_log), **facts)

    def sent(self, case: str, operation: str) -> list[str]:
        return [str(e.ref) for e in read(self.run_log).exchanges if (e.case, e.operation) == (case, operation)]

    def start(self, ref: str, credential: Any = "primary") -> None:
        self.setting_up.transport.send(Call("startBuild", ref, credential), "load.steady")

    def journals(self) -> list[Path]:
        assert self.settings.state_dir
        return list(self.settings.state_dir.iterdir())


@contextmanager
def standing(folder: Path, twin: Watched, **target: Any) -> Iterator[Stand]:
    with twin:
        kinds = TargetSettings("served", twin.url, PRIMARY, SECOND, build_timeout_s=5.0, patience_s=3.0)
        settings = Settings(target=replace(kinds, **target), state_dir=folder / "journals")
        run_log = folder / "runlog.jsonl"
        with RunLogWriter(run_log) as writer:
            writer.write(header())
        progress: list[dict[str, Any]] = []
        setting_up = SettingUp(settings, RUN_ID, run_log, progress.append)
        try:
            yield Stand(twin, setting_up, settings, run_log, progress)
        finally:
            setting_up.close()


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    with standing(tmp_path, Watched()) as found:
        yield found


def test_versions_are_published_and_ready_ones_are_built(stand: Stand) -> None:
    stage = stand.stage()
    own, ready = stage.refs("own"), stage.refs("ready")
    assert sorted((*own, *ready)) == stand.twin.refs() == sorted(stage.contents)
    assert [ref.split(RUN_ID)[1] for ref in own] == [f"-{need.purpose}@1.0.0" for need in NEEDS[1:]]
    assert (stand.twin.launched, stand.twin.running()) == ([*ready], 0)


def test_documents_have_the_steps_of_the_plan(stand: Stand) -> None:
    own = stand.own(Need("own", "stream", sleep_s=2.0, halved=True, more_lines=1), Need("own", "start", fails=True))
    refs = [Ref(*ref.replace("@", "/").split("/")) for ref in own]
    runs = [stand.twin.engine.catalog.get(PRIMARY, ref).template["build"]["run"] for ref in refs]
    assert [[step.split()[0] for step in run] for run in runs] == [["sleep", "echo", "echo", "sleep"], ["echo", "exit"]]


def test_each_version_is_in_the_journal_before_it_is_there(tmp_path: Path) -> None:
    early: list[tuple[str, bool]] = []

    class Looking(Engine):
        def publish(self, account: Account, document: Document, force: bool = False) -> Version:
            ref = f"default/{document.name}@{document.version}"
            early.append((ref, ref in at.journal.refs))
            return super().publish(account, document, force)

        def launch(self, version: Version) -> TwinBuild:
            early.append((str(version.ref), str(version.ref) in at.journal.builds))
            return super().launch(version)

    with standing(tmp_path, Watched(engine=Looking)) as at:
        stage = at.stage()
        assert early == [(ref, True) for ref in (*stage.refs("ready") * 2, *stage.refs("own"))]
        assert tuple(at.journal.builds) == stage.refs("own")


def test_stopped_set_up_publishes_no_more(stand: Stand) -> None:
    answers = iter([False, False, True, True])
    stage = stand.setting_up.stage([ENDLESS] * 4, lambda: next(answers))
    assert len(stage.refs("own")) == len(stand.twin.refs()) == 2


def test_nothing_is_left_when_all_was_cleared(stand: Stand) -> None:
    stage = stand.stage()
    refs = (*stage.refs("ready"), *stage.refs("own"))
    stand.start(refs[1])
    assert stand.setting_up.clear(stand.log())
    assert (stand.twin.refs(), stand.twin.running(), stand.journals()) == ([], 0, [])
    actions = [(action.action, action.ref) for action in read(stand.run_log).templates]
    assert actions == [*(("published", ref) for ref in refs), *(("deleted", ref) for ref in reversed(refs))]


def test_second_key_publishes_builds_and_removes_its_own(stand: Stand) -> None:
    stage = stand.stage(Need("ready", "ready"), Need("ready", "ready", second=True), replace(ENDLESS, second=True))
    (own,) = stage.refs("own-second")
    stand.start(own, "second")
    stand.setting_up.clear(stand.log())
    credentials = {e.credential for e in read(stand.run_log).exchanges if e.ref in (own, *stage.refs("ready-second"))}
    assert (len(stage.refs("ready")), credentials) == (1, {"second"})
    assert own in stand.sent(CLEAN_UP, "cancelBuild")
    assert (stand.twin.refs(), stand.twin.running()) == ([], 0)


WHOLE = (worker(state="running"), worker(), worker(-1, state="running"))  # the last one is the target's memory
PARTLY = (worker(), worker(1, state="running"), worker(1, state="lost"))


@pytest.mark.parametrize(
    ("workers", "ends", "unsent", "cancelled"),
    [
        (WHOLE, {0: "ready"}, (), [1]),
        (WHOLE, {0: "vanished", 1: "failed"}, (), [0]),
        (PARTLY, {0: "cancelled"}, (), [1, 2]),  # a worker that was lost may have started anything
        ((), {}, (), [0, 1, 2]),
        (WHOLE, {}, (0,), [1]),  # a connection that was refused brought nothing to the target
    ],
    ids=["ended", "vanished", "worker-lost", "no-worker", "unsent"],
)
def test_only_what_may_be_building_is_cancelled(
    stand: Stand, workers: Any, ends: dict[int, Any], unsent: tuple[int, ...], cancelled: list[int]
) -> None:
    own = stand.own()
    attempts = tuple(attempt(status=202 * (nth not in unsent), ref=own[nth], unsent=nth in unsent) for nth in (0, 1))
    builds = tuple(ended(end, ref=own[nth]) for nth, end in ends.items())
    stand.setting_up.clear(stand.log(attempts=attempts, builds=builds, workers=workers))
    assert stand.sent(CLEAN_UP, "cancelBuild") == [own[nth] for nth in cancelled]
    assert stand.sent(CLEAN_UP, "deleteTemplate")[:3] == [*reversed(own)]


def test_start_that_is_only_an_exchange_is_cancelled(stand: Stand) -> None:
    refused, lost, _ = stand.own()
    errors = {refused: "ConnectError: refused", lost: "RemoteProtocolError: the server closed"}
    kept = tuple(exchange("startBuild", ref=ref, seq=90, error=error) for ref, error in errors.items())
    stand.setting_up.clear(stand.log(exchanges=kept, workers=(worker(),)))
    assert stand.sent(CLEAN_UP, "cancelBuild") == [lost]


def test_hanging_request_ends_when_the_clean_up_is_stopped(tmp_path: Path) -> None:
    received: list[str] = []
    with standing(tmp_path, Watched(wrap=hanging("DELETE", received)), request_timeout_s=NEVER_S) as stand:
        own = stand.own(*[Need("own", "start")] * 2)
        assert not stand.setting_up.clear(stand.log(), lambda: bool(received))
        cut = read(stand.run_log).exchanges[-1]
        assert (len(received), stand.twin.refs(), cut.response) == (1, sorted(own), None)
        assert not list(answered(cut, History(Contract.load(), Bounds())))


def test_silent_target_is_left_alone_after_a_few_requests(tmp_path: Path) -> None:
    with standing(tmp_path, Watched(wrap=hanging("DELETE", []))) as stand:
        stand.own(*[Need("own", "start")] * 6)
        # From here on: what is published before has all the time that it needs.
        stand.setting_up.transport._timeout_s = 0.05
        stand.setting_up.clear(stand.log())
        stand.setting_up.close()
        (left,) = leftovers(stand.settings.state_dir)
        tries = [len(stand.sent(CLEAN_UP, operation)) for operation in ("cancelBuild", "deleteTemplate")]
        assert (tries, len(left.refs)) == ([3, 3], 6)


@pytest.mark.parametrize("enough", [3, 6, 6 + 2])
def test_stopped_clean_up_leaves_the_rest_to_a_sweep(stand: Stand, enough: int) -> None:
    own = stand.own(*[ENDLESS] * 6)
    stand.progress.clear()
    stand.setting_up.clear(stand.log(), lambda: sum(event["done"] > 0 for event in stand.progress) == enough)
    stand.setting_up.close()
    (left,) = leftovers(stand.settings.state_dir)
    deleted = max(0, enough - len(own))
    assert (left.refs, tuple(left.builds)) == (own[: 6 - deleted], own[enough:])
    assert len(stand.sent(CLEAN_UP, "cancelBuild")) == min(enough, len(own))
    assert len(stand.sent(CLEAN_UP, "deleteTemplate")) == deleted
    assert len(read(stand.run_log).warnings) == 1
    assert {action.ref for action in read(stand.run_log).templates if action.action == "left"} == {*left.refs}


class Full(Engine):
    """Takes one version besides the one that was there before."""

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        if sum(not version.curated for version in self.catalog) > 2:
            raise Refusal(429, "No room.", {"Retry-After": "9999"})
        return super().publish(account, document, force)


class Failing(Engine):
    def make_build(self, version: Version) -> TwinBuild:
        return super().make_build(replace(version, template={**version.template, "build": {"run": ["exit 1"]}}))


@pytest.mark.parametrize(
    ("engine", "code", "given"), [(Full, 3, "-room@1.0.0 429"), (Failing, 1, "-ready@1.0.0 'failed'")]
)
def test_load_that_cannot_be_set_up_is_no_pass_and_leaves_nothing(
    tmp_path: Path, call: Command, engine: type[Engine], code: int, given: str
) -> None:
    shell = Shell(tmp_path)
    with Watched(engine=engine) as watched:
        loaded = call(shell, "load", "storm", "--url", watched.url, "--builds", "3")
        assert (watched.refs(), watched.running(), shell.journals()) == ([], 0, [])
    assert (loaded.code, loaded.report()["run"]["exit_code"]) == (code, code)
    assert [item for item in given.split() if item not in loaded.out] == []


GIVEN = ("default/given-a@1.0.0", "default/given-b@1.0.0")


@contextmanager
def unpublished(folder: Path, *given: str, engine: type[Engine] = Engine) -> Iterator[Stand]:
    """A set-up that may publish nothing, and a twin with two versions of somebody else's."""
    with standing(folder, Watched(engine=engine), publish="never", templates=Templates(buildable=given)) as stand:
        for name in ("given-a", "given-b"):
            stand.twin.publish(name)
        yield stand


def test_given_templates_are_used_in_turn_and_kept(tmp_path: Path) -> None:
    with unpublished(tmp_path, *GIVEN) as stand:
        stage = stand.stage(Need("ready", "ready"), Need("own", "start"), Need("own", "start"))
        stand.setting_up.clear(stand.log(workers=(worker(),)))
        assert (stage.refs("ready"), stage.refs("own")) == (GIVEN[:1], (GIVEN[1], GIVEN[0]))
        assert {content.outcome for content in stage.contents.values()} == {"ready"}
        assert (stand.twin.launched, stand.twin.refs()) == ([GIVEN[0]], sorted(GIVEN))
        assert stand.sent(SET_UP, "publishTemplate") == stand.sent(CLEAN_UP, "deleteTemplate") == []
        assert stand.journals() == []


class Unable(Engine):
    def cancel(self, version: Version) -> bool:
        raise Refusal(500, "Oops.", {})


@pytest.mark.parametrize("engine", [Unable, Engine], ids=["refuses", "is-gone"])
def test_build_that_could_not_be_cancelled_stays_in_the_journal(tmp_path: Path, engine: type[Engine]) -> None:
    with unpublished(tmp_path, *GIVEN, engine=engine) as stand:
        stand.own(Need("own", "start"), Need("own", "start"))
        if engine is Engine:
            stand.twin.twin.stop()
        stand.setting_up.clear(stand.log())
        stand.setting_up.close()
        (left,) = leftovers(stand.settings.state_dir)
        assert (left.refs, tuple(left.builds), len(read(stand.run_log).warnings)) == ((), GIVEN, 1)
