"""A load before anything is sent: who arrives when, which version each uses, who sends, and what it costs."""

from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.command import PRIMARY, SECOND, Shell
from tests.loads import THRESHOLDS
from tests.watched import Watched
from touchstone.errors import UsageError
from touchstone.facts.events import Limit, RunLog
from touchstone.facts.runlog import read
from touchstone.facts.sample import UNSENT
from touchstone.loadgen.plan import MAX_BUILDS, ROOM_TURNS, Need, Plan, plan
from touchstone.loadgen.setup import CLEAN_UP, SET_UP
from touchstone.loadgen.workloads import ACTIONS, SCENARIOS, Options
from touchstone.twin import RateLimit

NAMES = tuple(ACTIONS)


def options_of(log: RunLog) -> Options:
    """The options that a run was planned with."""
    assert log.workload is not None
    values = log.workload.options
    return Options(**{**values, "scenario": SCENARIOS[values["scenario"]]})


def options(name: str, **changes: Any) -> Options:
    """The defaults of a scenario with some of them otherwise."""
    chosen = SCENARIOS[name]
    plain = Options(
        scenario=chosen,
        arrivals=chosen.arrivals,
        duration_s=chosen.duration_s,
        mix=chosen.mix,
        seed=20,
        builds=chosen.builds,
        watchers=chosen.watchers,
        build_s=chosen.build_s,
        lines=chosen.lines,
        ready=chosen.ready,
    )
    return replace(plain, **changes)


def planned(name: str, **changes: Any) -> Plan:
    """The plan of a scenario."""
    if name == "soak":
        changes = {"duration_s": 60.0} | changes
    return plan(options(name, **changes))


def due_of(made: Plan, action: str) -> list[float]:
    """When the arrivals of an action are due."""
    rows = made.schedule.rows
    return [float(due) for due in rows["due_s"][rows["action"] == NAMES.index(action)]]


def own(made: Plan) -> list[Need]:
    """The versions of arrivals that build."""
    return [need for need in made.needs if need.role == "own"]


@pytest.mark.parametrize("name", SCENARIOS)
def test_same_options_give_the_same_plan(name: str) -> None:
    """Two plans of the same options are one down to the bytes."""
    first, again = planned(name), planned(name)

    assert (again.options, again.needs) == (first.options, first.needs)
    assert again.schedule.rows.tobytes() == first.schedule.rows.tobytes()


def test_seed_and_mix_make_another_plan() -> None:
    """What depends on chance depends on the seed, and the digest tells a changed mix as well."""
    digests = [
        planned("soak").schedule.rows.tobytes(),
        planned("soak", seed=21).schedule.rows.tobytes(),
        planned("soak", mix={"read": 1.0}).schedule.rows.tobytes(),
        planned("soak", duration_s=61.0).schedule.rows.tobytes(),
    ]

    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize("name", SCENARIOS)
def test_each_building_arrival_has_a_version_of_its_own(name: str) -> None:
    """The n-th arrival that builds uses the n-th version published for that, which is made for its action."""
    made = planned(name)
    rows = [(NAMES[action], nth) for _, action, _, nth in made.schedule.rows.tolist()]

    assert {action for action, nth in rows if nth >= 0} == {a for a, _ in rows if ACTIONS[a].builds == "own"}
    assert [nth for _, nth in rows if nth >= 0] == list(range(len(own(made))))
    assert [own(made)[nth].purpose for _, nth in rows if nth >= 0] == [action for action, nth in rows if nth >= 0]


@pytest.mark.parametrize("name", ["steady", "storm", "watchers"])
@pytest.mark.parametrize("workers", [2, 3, 7])
def test_workers_share_no_version(name: str, workers: int) -> None:
    """However a schedule is dealt out, each version is used by one arrival of one worker."""
    made = planned(name)
    shares = [made.schedule.share(worker, workers) for worker in range(workers)]
    used = [nth for share in shares for nth in share.rows["nth_build"].tolist()]

    assert sorted(nth for nth in used if nth >= 0) == list(range(len(own(made))))


def test_storm_starts_all_at_once() -> None:
    """Each of the builds is due at the first moment, and more versions stand ready for what comes after."""
    made = planned("storm", builds=7)

    assert due_of(made, "start") == [0.0] * 7
    assert [(need.role, need.sleep_s) for need in made.needs] == [
        ("ready", 0.0), ("beside", 0.5), *[("room", 60.0)] * 3, *[("own", 0.5)] * 7,
    ]  # fmt: skip
    assert made.builds() == 2 + 3 + ROOM_TURNS + 7


@pytest.mark.parametrize(("builds", "rooms"), [(1, 3), (11, 3), (12, 4), (24, 10), (200, 98), (5_000, 100)])
def test_host_is_filled_with_less_than_half_of_a_storm(builds: int, rooms: int) -> None:
    """
    Who fills the host after a storm has fewer versions than half of its builds, three at least and a hundred at most.
    """
    assert sum(need.role == "room" for need in planned("storm", builds=builds).needs) == rooms


def test_storm_at_a_rate_is_no_storm_at_once() -> None:
    """With a curve the builds arrive by it, as many as it makes."""
    made = planned("storm", arrivals="constant:4", duration_s=3.0)

    assert due_of(made, "start") == pytest.approx([(n + 0.5) / 4 for n in range(12)])
    assert made.builds() == 2 + 4 + ROOM_TURNS + 12


@pytest.mark.parametrize("name", ["storm", "steady", "soak"])
def test_every_fifth_build_fails(name: str) -> None:
    """Of the builds that are polled to their end one in five is made to fail, whatever the rhythm of the mix."""
    made = planned(name, **({"builds": 40} if name == "storm" else {"duration_s": 120.0}))
    fails = [need.fails for need in own(made) if need.purpose == "start"]

    assert len(fails) >= 10
    assert fails == [nth % 5 == 4 for nth in range(len(fails))]
    assert not any(need.fails for need in made.needs if need.purpose != "start")


def test_followed_build_prints_between_its_halves() -> None:
    """A build with followers prints its lines half-way; one that is cancelled takes twice as long."""
    made = planned("steady", build_s=0.8, lines=6)
    kinds = {need.purpose: need for need in own(made)}

    assert kinds["stream"] == Need("own", "stream", sleep_s=0.8, halved=True, more_lines=5)
    assert kinds["cancel"] == Need("own", "cancel", sleep_s=1.6)
    assert kinds["start"].more_lines == 0


@pytest.mark.parametrize("build_s", [1.2, 4.0, 30.0])
def test_watchers_come_before_the_output(build_s: float) -> None:
    """The builds begin at once, and all their watchers come after that and well before half of their time is over."""
    made = planned("watchers", builds=3, watchers=5, build_s=build_s, lines=9)
    watch = due_of(made, "watch")

    assert due_of(made, "host") == [0.0] * 3
    assert len(watch) == 15
    assert 0.3 <= min(watch) <= max(watch) <= build_s / 4 + 1e-9
    assert made.schedule.duration_s > max(watch)
    assert own(made) == [Need("own", "host", sleep_s=build_s, halved=True, more_lines=8)] * 3
    assert made.builds() == 3


def test_watchers_of_short_builds_are_refused() -> None:
    """Whoever would come after the output has begun could not be held to the whole log."""
    with pytest.raises(UsageError, match=r"^--build-s 1: watchers come before half .* expected 1\.2 s or more"):
        planned("watchers", build_s=1.0)


def test_single_watcher_is_refused() -> None:
    """Whether all watchers of a build agree one of them cannot show, on however many builds."""
    with pytest.raises(UsageError, match=r"^--watchers 1: whether all .* takes two of them; expected 2 or more"):
        planned("watchers", builds=4, watchers=1)
    assert planned("watchers", builds=1, watchers=2).workload(0.0, 1, ()).scheduled == {
        "startBuild": 1,
        "streamBuildEvents": 2,
    }


def test_fairness_is_modest_alone_and_then_beside_a_greedy_key() -> None:
    """The modest key goes on at its pace; in the second half so many greedy starts come between each two of them."""
    made = planned("fairness", arrivals="constant:2", duration_s=10.0, mix={"modest": 1, "greedy": 3})
    modest, greedy = due_of(made, "modest"), due_of(made, "greedy")

    assert modest == pytest.approx([0.25 + n / 2 for n in range(20)])
    assert len(greedy) == 30
    assert min(greedy) >= 5.0
    beside = [at for at in modest if at >= 5.0]
    assert [sum(one <= at < other for at in greedy) for one, other in pairwise([*beside, 10.0])] == [3] * 10
    assert [(need.role, need.second) for need in made.needs] == [("ready", False), ("ready", True)]


def test_churn_shares_a_few_versions() -> None:
    """Its races use the same few versions, and each of them may begin a build."""
    made = planned("churn", builds=3, duration_s=5.0)

    assert [need.role for need in made.needs] == ["shared"] * 3
    assert (len(made.schedule), made.builds()) == (30, 30)


def test_fairness_takes_no_actions_from_a_trace(tmp_path: Path) -> None:
    """Whose start an arrival is follows from the mix, so that a column that says otherwise would be passed over."""
    path = tmp_path / "seen.csv"
    path.write_text("at_s,operation\n0.5,modest\n9,greedy\n", encoding="utf-8")
    with pytest.raises(UsageError, match="fairness says itself whose start each is; drop the column operation"):
        planned("fairness", arrivals=f"trace:{path}")
    path.write_text("0.5\n1.5\n", encoding="utf-8")
    assert planned("fairness", arrivals=f"trace:{path}", duration_s=2.0).schedule.counts["modest"] == 2


def test_versions_to_read_are_built_for_readers_only() -> None:
    """A mix without reads needs no version that is ready."""
    assert [need.role for need in planned("steady", mix={"start": 1}).needs].count("ready") == 0
    assert [need.role for need in planned("steady").needs].count("ready") == 4


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("fairness", {"arrivals": "constant:0.001"}, r"--arrivals: constant:0\.001 makes no arrival in 24 s"),
        ("fairness", {"mix": {"modest": 1}}, "--mix 'modest=1': fairness sets a greedy key beside a modest one"),
        ("fairness", {"mix": {"greedy": 9}}, "--mix 'greedy=9': fairness sets"),
        ("fairness", {"mix": {"modest": 9, "greedy": 1}}, "--mix 'modest=9,greedy=1': fairness sets"),
        (
            "fairness",
            {"mix": {"modest": 1, "greedy": 1e12}},
            "fairness: plans 24,000,000,000,000 arrivals; expected 50",
        ),
        ("watchers", {"builds": 100_000, "watchers": 10_000}, "watchers: plans 1,000,000,000 arrivals; expected 50"),
        ("steady", {"arrivals": "nonsense"}, "--arrivals: found 'nonsense'"),
        ("steady", {"arrivals": "constant:0.001"}, r"--arrivals: constant:0\.001 makes no arrival"),
        ("storm", {"arrivals": "constant:90000", "duration_s": 2.0}, "storm: plans 180,000 builds; expected 100,000"),
    ],
)
def test_plan_that_makes_no_sense_is_refused(name: str, changes: dict[str, Any], message: str) -> None:
    """What comes to nothing, or to more than a machine holds, is said before it is worked out."""
    with pytest.raises(UsageError, match=f"^{message}"):
        planned(name, **changes)
    assert MAX_BUILDS == 100_000


def test_workload_is_the_plan_in_the_run_log() -> None:
    """The run log says what is to arrive by operation, when, for how long, by whom, and what it is judged by."""
    made, limits = planned("watchers", builds=2, watchers=3, build_s=8.0), (Limit("*", "error_share", 0.0),)
    told = made.workload(3.0, 4, limits)

    assert told.scheduled == {"startBuild": 2, "streamBuildEvents": 6}
    assert sum(told.scheduled.values()) == len(made.schedule)
    assert (told.began_at, told.workers, told.limits, told.seed) == (3.0, 4, limits, 20)
    assert told.duration_s == made.schedule.duration_s == pytest.approx(2.3)
    assert told.options["scenario"] == "watchers"
    assert (told.options["mix"], told.options["build_s"]) == (dict(made.options.mix), 8.0)


def test_closed_model_has_no_schedule_to_keep() -> None:
    """How many requests a closed model sends its target decides, so that none of them can be missing."""
    assert planned("steady", model="closed").workload(3.0, 1, ()).scheduled == {}


def test_cost_grows_with_what_a_target_allows() -> None:
    """At worst each build takes as long as it may and each start is refused for as long as it is waited for."""
    made = planned("storm", builds=10)
    quick_s, slow_s, patient_s = made.most_s(10.0, 5.0, 0.0), made.most_s(20.0, 5.0, 0.0), made.most_s(10.0, 6.0, 0.0)

    assert made.builds() == 12 + 3 + ROOM_TURNS
    assert slow_s - quick_s == 10.0
    # each client of the storm, and those that come after it
    assert patient_s - quick_s == 1 + 1 + 5
    assert made.least_s() < quick_s


def test_unrefused_storm_costs_its_builds_and_one_burst() -> None:
    """
    Where nothing is refused each client sends a start and its polls, and the burst that comes after is served whole.
    """
    made = planned("storm", builds=10, build_s=0.5)

    # a build that takes half a second beforehand is read after 0.01 s eight times, and then after 12 % of that time
    assert made.around() == 3 + 2 * (12 + 3) + 1 + 26
    assert made.sends() == 10 * (1 + 4) + 120
    assert made.least_s() == 0.5


def test_run_lasts_at_least_until_its_last_build_can_be_over() -> None:
    """What is polled or followed goes on for as long as its steps; a cancel or a read is over at once."""
    for mix, beyond_s in (({"start": 1}, 0.7), ({"stream": 1}, 0.7), ({"cancel": 1}, 0.0), ({"read": 1}, 0.0)):
        made = planned("steady", arrivals="constant:4", duration_s=2.0, mix=mix, build_s=0.7)
        assert made.least_s() == pytest.approx(1.875 + beyond_s, abs=0.1)
    assert planned("watchers", build_s=6.0).least_s() == 6.0


def test_log_is_followed_for_longer_than_a_build_may_take() -> None:
    """At worst a log that does not end is followed until its build would have settled as well."""
    watchers, churn = planned("watchers"), planned("churn")

    assert watchers.most_s(10.0, 5.0, 3.0) - watchers.most_s(10.0, 5.0, 0.0) == 3
    assert churn.most_s(10.0, 5.0, 3.0) == churn.most_s(10.0, 5.0, 0.0)


def test_client_that_fills_the_host_waits_for_its_cancels() -> None:
    """
    At worst it waits for a cancel in each turn and once at the end, and in two turns two and a half times as long.
    """
    storm = planned("storm", builds=10)
    quick_s, slow_s = storm.most_s(10.0, 5.0, 0.0), storm.most_s(10.0, 5.0, 4.0)

    assert slow_s - quick_s == (ROOM_TURNS + 1 + 2 * 2.5) * 4


def test_races_are_not_polled() -> None:
    """A race is a start, a cancel and a read, so that churn costs three requests an arrival besides its versions.

    Those are published, cancelled and deleted, as nobody sees their builds end.
    """
    made = planned("churn", builds=2, duration_s=5.0)

    assert made.around() + made.sends() == 3 + 3 * 30 + 3 * 2
    assert made.sends() == 3 * 30


# --- what a run costs in truth ----------------------------------------------------------------------------------------

SMALL = {"storm": ("--builds", "4"), "steady": ("--duration", "3")}
# Where nothing is refused a short run may show too little of what it is for.
UNREFUSED = SMALL | {
    "churn": ("--duration", "3"),
    "watchers": ("--build-s", "1.2"),
    "soak": ("--duration", "4"),
    "fairness": ("--duration", "4"),
}


def run_of(name: str, folder: Path, *, refuses: bool) -> tuple[Watched, RunLog]:
    """A scenario in small, run for real; the twin that it loaded and its run log."""
    limits: dict[str, Any] = {"rate": RateLimit.parse("12/1"), "capacity": 3} if refuses else {}
    with Watched(**limits) as watched:
        (folder / "thresholds.toml").write_text(THRESHOLDS, encoding="utf-8")
        (folder / "touchstone.toml").write_text(
            f'[targets.served]\nurl = "{watched.url}"\napi_key = "{PRIMARY}"\n'
            f'second_api_key = "{SECOND}"\nmax_builds = 100\n'
            "build_timeout_s = 8.0\ncancel_timeout_s = 3\npatience_s = 20\n",
            encoding="utf-8",
        )
        flags = ("--target", "served", "--thresholds", "thresholds.toml", *UNREFUSED[name])
        ended = Shell(folder).run("load", name, *flags)
        assert ended.code in ((0,) if refuses else (0, 3)), ended.out + ended.err
        assert (watched.refs(), watched.running()) == ([], 0)
    return watched, read(ended.results / "runlog.jsonl")


def sent_around(log: RunLog) -> int:
    """The requests that set up and cleared up."""
    return sum(exchange.case in (SET_UP, CLEAN_UP, "smoke") for exchange in log.exchanges)


Runs = dict[tuple[str, bool], "Future[tuple[Watched, RunLog]]"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """All runs, by scenario and whether some starts are refused, beside each other: they wait most of the time."""
    wanted = [*((name, True) for name in SMALL), *((name, False) for name in UNREFUSED)]
    with ThreadPoolExecutor(4) as pool:
        return {
            (name, refuses): pool.submit(run_of, name, tmp_path_factory.mktemp(name), refuses=refuses)
            for name, refuses in wanted
        }


@pytest.mark.whole
@pytest.mark.parametrize("name", UNREFUSED)
def test_unrefused_run_sends_no_more_than_told(runs: Runs, name: str) -> None:
    """
    Where nothing is refused no request is sent beyond what the plan tells for that, before, in and after the load.
    """
    _, log = runs[name, False].result()
    made = plan(options_of(log))
    sent = sum(window.count for window in log.windows)

    assert "429" not in {window.outcome for window in log.windows}
    assert (sent <= made.sends(), sent_around(log) <= made.around()) == (True, True)
    assert sent >= len(made.schedule)


@pytest.mark.whole
@pytest.mark.parametrize("name", SMALL)
def test_run_costs_no_more_than_planned(runs: Runs, name: str) -> None:
    """A run begins no more builds than its plan says, and sends each arrival once."""
    watched, log = runs[name, True].result()
    made = plan(options_of(log))
    around = sent_around(log)
    sent = Counter[bool]()
    for window in log.windows:
        sent[window.paced] += window.count

    assert not [window for window in log.windows if window.outcome == UNSENT]
    assert sent[True] == len(made.schedule)
    assert len(made.needs) < around
    assert len(made.schedule) < sent.total() + around
    if name != "storm":  # what comes after a storm begins as many as the host admits, and four
        assert made.builds() - 1 <= len(watched.launched)
    assert len(watched.launched) <= made.builds()
