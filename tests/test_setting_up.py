"""
What a load run sends itself: versions stand ready before it, each in the journal first, and nothing of them is left.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.command import PRIMARY, SECOND, Shell, called
from tests.loadlogs import header, worker
from tests.rules.exchanges import exchange
from tests.stages import hanging
from tests.watched import ENDLESS_S, Watched
from touchstone.check.journal import JournalState, leftovers, whole_lines
from touchstone.config import Settings, TargetSettings, Templates
from touchstone.contract.document import Contract
from touchstone.errors import TargetError
from touchstone.facts.events import Attempt, Build, RunLog
from touchstone.facts.runlog import RunLogWriter, read
from touchstone.loadgen.plan import Need, Plan, Stage, plan
from touchstone.loadgen.setup import CLEAN_UP, SET_UP, SettingUp
from touchstone.loadgen.workloads import SCENARIOS, Options
from touchstone.rules.history import Bounds, History
from touchstone.rules.protocol import answered
from touchstone.target.call import Call
from touchstone.twin import Account, Engine
from touchstone.twin.answers import Refusal
from touchstone.twin.build import Build as TwinBuild
from touchstone.twin.catalog import Ref, Version
from touchstone.twin.documents import Document

RUN_ID = "260102-030405-ab12cd"


class Stingy(Engine):
    """Takes two versions and then no more."""

    refusal = Refusal(429, "No room.", {"Retry-After": "9999"})

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        if sum(not version.curated for version in self.catalog) > 2:  # one was there before
            raise self.refusal
        return super().publish(account, document, force)


class Broken(Stingy):
    """The same, and says so in a way that nobody expects."""

    refusal = Refusal(507, "No room.")


class Clumsy(Engine):
    """Builds fail, whatever their steps are."""

    def make_build(self, version: Version) -> TwinBuild:
        return super().make_build(replace(version, template={**version.template, "build": {"run": ["exit 1"]}}))


@dataclass
class Stand:
    """What is set up, against which twin, and where it is written down.

    Attributes:
        told: What was told of how far it has come.
    """

    twin: Watched
    setting_up: SettingUp
    settings: Settings
    run_log: Path
    told: list[dict[str, Any]]

    @property
    def journal(self) -> JournalState:
        """What the journal names at the moment."""
        assert self.settings.state_dir
        (path,) = self.settings.state_dir.glob("*.journal.jsonl")
        return JournalState.after(whole_lines(path.read_bytes()))

    def stage(self, *needs: Need, scenario: str = "steady") -> Stage:
        """The stage of a scenario, or of these needs."""
        return self.setting_up.stage(needs or small(scenario).needs, lambda: False)

    def log(self, **facts: Any) -> RunLog:
        """The run log as it is, and with these facts of a load that never took place."""
        return replace(read(self.run_log), **facts)

    def sent(self, case: str, operation: str) -> list[str]:
        """The refs that one kind of request of the set-up or the clean-up was about."""
        return [str(e.ref) for e in read(self.run_log).exchanges if (e.case, e.operation) == (case, operation)]


def small(scenario: str, **changes: Any) -> Plan:
    """A plan with few versions."""
    chosen = SCENARIOS[scenario]
    mix = {"read": 4, "start": 1, "stream": 1, "cancel": 1} if scenario == "steady" else chosen.mix
    options = Options(chosen, "constant:3.5", 2.0, mix, 20, ready=chosen.ready and 1, builds=2, build_s=0.2, lines=3)
    return plan(replace(options, **changes))


@contextmanager
def standing(folder: Path, twin: Watched, **target: Any) -> Iterator[Stand]:
    """A set-up against a twin."""
    with twin:
        kinds = TargetSettings("served", twin.url, PRIMARY, SECOND, build_timeout_s=5.0, patience_s=3.0)
        settings = Settings(target=replace(kinds, **target), state_dir=folder / "journals")
        run_log = folder / "runlog.jsonl"
        with RunLogWriter(run_log) as writer:
            writer.write(header())
        told: list[dict[str, Any]] = []
        setting_up = SettingUp(settings, RUN_ID, run_log, told.append)
        try:
            yield Stand(twin, setting_up, settings, run_log, told)
        finally:
            setting_up.close()


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    """A set-up against a correct twin."""
    with standing(tmp_path, Watched()) as found:
        yield found


def test_versions_are_published_and_ready_ones_are_built(stand: Stand) -> None:
    """Each need has a version of its own on the target, in the order of the plan; only those to read are built."""
    stage = stand.stage()
    own, ready = stage.refs("own"), stage.refs("ready")

    assert sorted((*own, *ready)) == stand.twin.refs() == sorted(stage.contents)
    assert [ref.split(RUN_ID)[1] for ref in own] == [f"-{need.purpose}@1.0.0" for need in small("steady").needs[1:]]
    assert (stand.twin.launched, stand.twin.running()) == ([*ready], 0)


def test_rules_know_what_was_published(stand: Stand) -> None:
    """The stage tells of each version what a publish that the rules have seen would tell."""
    stage = stand.stage(Need("own", "start", sleep_s=0.3, fails=True), Need("ready", "modest", second=True))
    (own,), (ready,) = stage.refs("own"), stage.refs("ready-second")
    content = stage.contents[own]
    publish = next(e for e in read(stand.run_log).exchanges if e.ref == own)

    assert (content.owner, content.outcome, content.sleep_s) == ("primary", "failed", 0.3)
    assert (content.key, content.marker) == (publish.note["content"], publish.note["marker"])
    assert content.published_seq == publish.seq
    assert (content.from_at, content.sure_at) == pytest.approx((publish.sent_at, publish.done_at), abs=1e-6)
    assert content.digest == publish.body["digest"]
    assert (stage.contents[ready].owner, stage.contents[ready].outcome) == ("second", "ready")


def test_second_key_publishes_builds_and_removes_its_own(stand: Stand) -> None:
    """A version of the second key is there for that key alone, from publish to cancel and delete."""
    stage = stand.stage(*small("fairness").needs, Need("own", "start", sleep_s=ENDLESS_S, second=True))
    (own,) = stage.refs("own-second")
    stand.setting_up.transport.send(Call("startBuild", own, "second"), "load.fairness")
    stand.setting_up.clear(stand.log())
    about = {e.credential for e in read(stand.run_log).exchanges if e.ref in (own, *stage.refs("ready-second"))}

    assert (len(stage.refs("ready")), len(stage.refs("ready-second"))) == (1, 1)
    assert about == {"second"}
    assert own in stand.sent(CLEAN_UP, "cancelBuild")
    assert (stand.twin.refs(), stand.twin.running()) == ([], 0)


def test_documents_do_what_the_plan_says(stand: Stand) -> None:
    """A followed build prints its lines between two halves of its time, and a failing one ends with a failing step."""
    stage = stand.stage(Need("own", "stream", sleep_s=2.0, halved=True, more_lines=1), Need("own", "start", fails=True))
    runs = [stand.twin.engine.catalog.get(PRIMARY, ref).template["build"]["run"] for ref in _parsed(stage.refs("own"))]

    assert [step.split()[0] for step in runs[0]] == ["sleep", "echo", "echo", "sleep"]
    assert [step.split()[0] for step in runs[1]] == ["echo", "exit"]


def _parsed(refs: tuple[str, ...]) -> list[Ref]:
    return [Ref(*ref.replace("@", "/").split("/")) for ref in refs]


def test_each_version_is_in_the_journal_before_it_is_there(tmp_path: Path) -> None:
    """When a publish arrives the journal names the version, and when a build is started it names that as well."""
    early: list[tuple[str, bool]] = []

    class Looking(Engine):
        def publish(self, account: Account, document: Document, force: bool = False) -> Version:
            ref = f"default/{document.name}@{document.version}"
            early.append((ref, ref in stand.journal.refs))
            return super().publish(account, document, force)

        def launch(self, version: Version) -> TwinBuild:
            early.append((str(version.ref), str(version.ref) in stand.journal.builds))
            return super().launch(version)

    with standing(tmp_path, Watched(engine=Looking)) as stand:
        stage = stand.stage()

        assert early == [(ref, True) for ref in (*stage.refs("ready") * 2, *stage.refs("own"))]
        assert tuple(stand.journal.builds) == stage.refs("own")


def test_nothing_is_left_when_all_was_cleared(stand: Stand) -> None:
    """Builds are cancelled, versions deleted, the journal is gone, and the run log tells of each of them."""
    stage = stand.stage()
    refs = (*stage.refs("ready"), *stage.refs("own"))
    started = stand.setting_up.transport.send(Call("startBuild", stage.refs("own")[0]), "load.steady")
    stand.setting_up.clear(stand.log())

    assert started.status == 202
    assert (stand.twin.refs(), stand.twin.running()) == ([], 0)
    assert list((stand.settings.state_dir or Path()).iterdir()) == []
    told = [(action.action, action.ref) for action in read(stand.run_log).templates]
    assert told == [*(("published", ref) for ref in refs), *(("deleted", ref) for ref in reversed(refs))]


def test_exchanges_of_the_clean_up_have_numbers_of_their_own(stand: Stand) -> None:
    """The load has numbered its exchanges from where the set-up ended; what follows comes after all of them."""
    stage = stand.stage()
    attempt = Attempt(0, 1, stage.refs("own")[0], "primary", "", True, 1.0, 1.1, 1.2, 202, None, False, 4_711)
    before = stand.setting_up.last_seq
    stand.setting_up.clear(stand.log(attempts=(attempt,)))
    numbers = {case: [e.seq for e in read(stand.run_log).exchanges if e.case == case] for case in (SET_UP, CLEAN_UP)}

    assert numbers[SET_UP] == [*range(1, before + 1)]
    assert numbers[CLEAN_UP] == [*range(4_712, stand.setting_up.last_seq + 1)]


def attempt(ref: str) -> Attempt:
    """A start of a version that was accepted."""
    return Attempt(0, 1, ref, "primary", "", True, 1.0, 1.1, 1.2, 202, None, False, 90)


def test_only_what_may_be_building_is_cancelled(stand: Stand) -> None:
    """Where every worker told its whole story, builds that ended and versions that nobody started need no cancel."""
    ended, running, unstarted = refs = stand.stage().refs("own")
    build = Build(0, ended, "primary", 1.2, 2.0, "ready", None, 91)
    twin = worker(-1, state="running")  # how much memory the target takes
    stand.setting_up.clear(
        stand.log(
            attempts=(attempt(ended), attempt(running)),
            builds=(build,),
            workers=(worker(state="running"), worker(), twin),
        )
    )

    assert stand.sent(CLEAN_UP, "cancelBuild") == [running]
    assert stand.sent(CLEAN_UP, "deleteTemplate")[: len(refs)] == [unstarted, running, ended]


def test_what_a_lost_worker_may_have_started_is_cancelled(stand: Stand) -> None:
    """Where a worker was lost, or none told of its end, every version that was not seen to end may be building."""
    first, second, third = stand.stage().refs("own")
    build = Build(0, first, "primary", 1.2, 2.0, "cancelled", None, 91)
    stand.setting_up.clear(
        stand.log(
            attempts=(attempt(first), attempt(second)),
            builds=(build,),
            workers=(worker(), worker(1, state="running"), worker(1, state="lost")),
        )
    )

    assert stand.sent(CLEAN_UP, "cancelBuild") == [second, third]


def test_start_that_was_not_sent_needs_no_cancel(stand: Stand) -> None:
    """A refused connection brings nothing to a target; one that is lost may have brought a start."""
    refused, lost, gone = stand.stage().refs("own")
    tries = (replace(attempt(refused), status=0, unsent=True), replace(attempt(lost), status=0))
    errors = ("ConnectError: refused", "RemoteProtocolError: the server closed")
    kept = tuple(
        exchange("startBuild", ref=ref, seq=90 + n, error=error)
        for n, (ref, error) in enumerate([(refused, errors[0]), (gone, errors[1])])
    )
    stand.setting_up.clear(stand.log(attempts=tries, exchanges=kept, workers=(worker(),)))

    assert {*stand.sent(CLEAN_UP, "cancelBuild")} == {lost, gone}


def test_start_that_no_client_of_the_schedule_sent_is_cancelled(stand: Stand) -> None:
    """
    What is started after the arrivals is in the run log as an exchange, and its build is cancelled like any other.
    """
    stage = stand.stage(Need("beside", "beside", sleep_s=ENDLESS_S), Need("own", "start"))
    stand.setting_up.transport.send(Call("startBuild", *stage.refs("beside")), "load.storm")
    stand.setting_up.clear(stand.log(workers=(worker(),)))

    assert {*stand.sent(CLEAN_UP, "cancelBuild")} == {*stage.refs("beside")}
    assert stand.twin.running() == 0


def test_stopped_run_is_set_up_no_further(stand: Stand) -> None:
    """Once the run is stopped no more is published."""
    answers = iter([False, False, True, True])
    stage = stand.setting_up.stage(small("churn", builds=4).needs, lambda: next(answers))

    assert len(stage.refs("shared")) == len(stand.twin.refs()) == 2
    stand.setting_up.clear(stand.log())
    assert stand.twin.refs() == []


def test_build_that_is_waited_for_is_given_up_when_the_run_is_stopped(tmp_path: Path) -> None:
    """A stop does not wait for a build that takes for ever; it is cancelled, and its version deleted."""
    with standing(tmp_path, Watched(build_s=ENDLESS_S)) as stand:
        stage = stand.setting_up.stage(small("steady").needs, stand.twin.reached.is_set)

        assert (stage.refs("own"), len(stand.twin.launched)) == ((), 1)
        stand.setting_up.clear(stand.log())
        assert (stand.twin.refs(), stand.twin.running()) == ([], 0)
        assert leftovers(stand.settings.state_dir) == []


NEVER_S = 9_999.0


def test_request_that_hangs_ends_when_the_clean_up_is_stopped(tmp_path: Path) -> None:
    """It is not waited for until its time is over, and blames nobody; all is left to a sweep."""
    asked: list[str] = []
    with standing(tmp_path, Watched(wrap=hanging("DELETE", asked)), request_timeout_s=NEVER_S) as stand:
        own = stand.stage(*(Need("own", "start") for _ in range(2))).refs("own")
        stand.setting_up.clear(stand.log(), lambda: bool(asked))

        cut = read(stand.run_log).exchanges[-1]
        assert (len(asked), stand.twin.refs()) == (1, sorted(own))
        assert (cut.response, cut.error) == (
            None,
            "PoolTimeout: the run was stopped before the answer was complete",
        )
        assert not list(answered(cut, History(Contract.load(), Bounds())))


def test_request_that_hangs_ends_when_the_set_up_is_stopped(tmp_path: Path) -> None:
    """The set-up is over then, and what may be there all the same is known to the clean-up."""
    asked: list[str] = []
    with standing(tmp_path, Watched(wrap=hanging("POST", asked)), request_timeout_s=NEVER_S) as stand:
        staged = stand.setting_up.stage(small("steady").needs, lambda: bool(asked))
        assert (len(asked), len(stand.journal.refs), staged.refs("own")) == (1, 1, ())


def test_target_that_is_silent_is_left_alone(tmp_path: Path) -> None:
    """
    Where nobody answers cancels and removals, a few are enough: all others are left to a sweep, without their timeouts.
    """
    with standing(tmp_path, Watched(wrap=hanging("DELETE", []))) as stand:
        stand.stage(*(Need("own", "start") for _ in range(6)))
        # From here on: what is published before has all the time that it needs.
        stand.setting_up.transport._timeout_s = 0.2
        stand.setting_up.clear(stand.log())
        stand.setting_up.close()
        (left,) = leftovers(stand.settings.state_dir)
        tried = [len(stand.sent(CLEAN_UP, operation)) for operation in ("cancelBuild", "deleteTemplate")]
        assert (tried, len(left.refs)) == ([3, 3], 6)


def test_set_up_and_clean_up_tell_how_far_they_have_come(stand: Stand) -> None:
    """Each version that is published, each build that is cancelled and each template that is deleted is counted."""
    own = stand.stage(*(Need("own", "start", sleep_s=ENDLESS_S) for _ in range(3))).refs("own")
    stand.setting_up.clear(stand.log(attempts=tuple(map(attempt, own[:2])), workers=(worker(),)))

    assert [(event["type"], event["doing"], event["done"], event["of"]) for event in stand.told] == [
        *(("course", "publishing", done, 3) for done in range(4)),
        *(("course", "cancelling what the run left", done, 2) for done in range(3)),
        *(("course", "deleting templates", done, 3) for done in range(4)),
    ]


@pytest.mark.parametrize("enough", [3, 5, 6, 6 + 2])
def test_clean_up_that_is_stopped_leaves_the_rest_to_a_sweep(stand: Stand, enough: int) -> None:
    """Whatever was not cancelled or deleted by then is in the journal, and the report says so once."""
    own = stand.stage(*(Need("own", "start", sleep_s=ENDLESS_S) for _ in range(6))).refs("own")
    stand.told.clear()
    stand.setting_up.clear(stand.log(), lambda: sum(event["done"] > 0 for event in stand.told) == enough)
    stand.setting_up.close()
    (left,) = leftovers(stand.settings.state_dir)

    deleted = max(0, enough - len(own))
    assert (len(stand.sent(CLEAN_UP, "cancelBuild")), len(stand.sent(CLEAN_UP, "deleteTemplate"))) == (
        min(enough, len(own)),
        deleted,
    )
    assert (left.refs, tuple(left.builds)) == (own[: 6 - deleted], own[enough:])
    told = f"the clean-up was stopped: {6 - deleted} versions may be left, and builds of them; `touchstone sweep` "
    assert read(stand.run_log).warnings == (f"{told}removes them",)
    assert {action.ref for action in read(stand.run_log).templates if action.action == "left"} == {*left.refs}


def test_clean_up_that_waits_for_room_can_be_stopped(tmp_path: Path) -> None:
    """Who is refused and waits to come back waits no longer once the clean-up is stopped."""
    asked: list[str] = []

    class Refusing(Engine):
        def cancel(self, version: Version) -> bool:
            asked.append(str(version.ref))
            raise Refusal(429, "Later.", {"Retry-After": "9999"})

    with standing(tmp_path, Watched(engine=Refusing), patience_s=99_999.0) as stand:
        own = stand.stage(*(Need("own", "start") for _ in range(2))).refs("own")
        stand.setting_up.clear(stand.log(), lambda: bool(asked))

        assert (asked, stand.twin.refs()) == ([own[0]], sorted(own))


def test_wrapped_documents_are_the_same_versions(tmp_path: Path) -> None:
    """Where the target takes documents in an envelope it gets them so, and the rules know them by the same content."""
    contents = []
    for publish in ("raw", "wrapped"):
        (tmp_path / publish).mkdir()
        with standing(tmp_path / publish, Watched(), publish=publish) as stand:
            (content,) = stand.stage(Need("own", "start", sleep_s=0.1)).contents.values()
            sent = next(e for e in read(stand.run_log).exchanges if e.operation == "publishTemplate")
            contents.append((content.key, content.digest, content.marker))

            assert ("template" in json.loads(sent.request.body)) is True
            assert ("namespace" in json.loads(sent.request.body)) == (publish == "wrapped")
    assert contents[0] == contents[1]


# --- targets that do not do their part --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("engine", "code", "reason"),
    [
        (Stingy, 3, "default/touchstone-{run}-room@1.0.0: still refused with 429 after 0 s of patience"),
        (Broken, 1, "publishing default/touchstone-{run}-room@1.0.0 failed: 507 {{'error': 'No room.'"),
        (Clumsy, 1, "the build of default/touchstone-{run}-ready@1.0.0 ended 'failed'; it had to be ready"),
    ],
)
def test_load_that_cannot_be_set_up_is_no_pass_and_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    engine: type[Engine],
    code: int,
    reason: str,
) -> None:
    """The report says which version and what was answered, and a sweep finds nothing to do.

    The command ends with 3, or with 1 where what was answered breaks a promise.
    """
    shell = Shell(tmp_path)
    with Watched(engine=engine) as watched:
        ended = called(shell, monkeypatch, capsys, "load", "storm", "--url", watched.url, "--builds", "3")
        assert (watched.refs(), watched.running()) == ([], 0)
        swept = called(shell, monkeypatch, capsys, "sweep", "--url", watched.url)
    run = ended.report()["run"]
    told = " ".join(ended.out.split())

    assert (ended.code, run["exit_code"], ended.err) == (code, code, "")
    assert f"the load could not be set up: {reason.format(run=run['id'])}" in told
    assert ended.last_line.startswith(f"exit {code}: ")
    assert shell.journals() == []
    assert swept.last_line == "exit 0: 0 templates removed, 0 left"


def test_target_that_is_not_there_ends_with_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nothing answers, nothing is published, and the report says so."""
    shell = Shell(tmp_path)
    with Watched() as watched:
        url = watched.url
    ended = called(shell, monkeypatch, capsys, "load", "storm", "--url", url)

    assert ended.code == 3
    assert ended.last_line.startswith(f"exit 3: {url}: no answer: ")
    assert shell.journals() == []


# --- where nothing may be published -----------------------------------------------------------------------------------

NAMED = ("default/named-a@1.0.0", "default/named-b@1.0.0")


@contextmanager
def unpublished(folder: Path, *named: str) -> Iterator[Stand]:
    """A set-up that may publish nothing, and a twin on which two versions of somebody else's are."""
    templates = Templates(buildable=named)
    with standing(folder, Watched(), publish="never", templates=templates) as stand:
        for name in ("named-a", "named-b"):
            stand.twin.publish(name)
        yield stand


def test_named_templates_are_used_in_turn(tmp_path: Path) -> None:
    """With publishing switched off each need takes the next template that the user named, and none is touched."""
    with unpublished(tmp_path, *NAMED) as stand:
        stage = stand.stage(Need("ready", "ready"), Need("own", "start"), Need("own", "start"))
        stand.setting_up.clear(stand.log(workers=(worker(),)))

        assert (stage.refs("ready"), stage.refs("own")) == (NAMED[:1], (NAMED[1], NAMED[0]))
        assert {content.outcome for content in stage.contents.values()} == {"ready"}
        assert stand.twin.launched == [NAMED[0]]
        assert stand.twin.refs() == sorted(NAMED)
        assert stand.sent(SET_UP, "publishTemplate") == stand.sent(CLEAN_UP, "deleteTemplate") == []
        assert list((stand.settings.state_dir or Path()).iterdir()) == []


def test_no_named_template_is_no_load(tmp_path: Path) -> None:
    """Without a template to use the reason names the setting."""
    with unpublished(tmp_path) as stand, pytest.raises(TargetError, match=r"name templates in templates\.buildable"):
        stand.stage()


def test_build_whose_cancel_is_not_answered_stays_in_the_journal(tmp_path: Path) -> None:
    """A build of a named template that could not be cancelled is told of, and a sweep can try again."""
    with unpublished(tmp_path, *NAMED) as stand:
        stand.stage(Need("own", "start"), Need("own", "start"))
        stand.twin.twin.stop()
        stand.setting_up.clear(stand.log())
        stand.setting_up.close()
        (left,) = leftovers(stand.settings.state_dir)

        assert (left.refs, tuple(left.builds)) == ((), NAMED)
        (warning,) = read(stand.run_log).warnings
        assert warning == (
            f"2 builds may still be running, as cancels were not answered, such as {NAMED[0]}; "
            "`touchstone sweep` tries again"
        )
