"""A run that is killed at any point leaves a run log that can be read, and nothing that a sweep does not remove."""

import signal
from collections.abc import Iterator, Mapping

import pytest

from tests.kills import ASKS_TO_STOP, Kill, Killed, beside_each_other, kills

# A few are in `make test`, all of them in `make thorough`. One of the few leaves a log without a footer.
FEW = [Kill("check", 105, signal.SIGKILL, "run"), *kills(3, seed=7)[1:]]
MANY = kills(30, seed=20)
AT_ONCE = 4
# Requests that are not in a run log: the parent asks whether the target can be judged.
SMOKE = 6

EACH = [*(pytest.param(kill, id=f"few-{kill}") for kill in FEW)] + [
    pytest.param(kill, id=f"many-{kill}", marks=pytest.mark.kill) for kill in MANY
]


class Runs:
    """The runs of each group, made when the first of them is looked at."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        self._factory = factory
        self._made: dict[int, Mapping[str, Killed]] = {}

    def __call__(self, kill: Kill) -> Killed:
        """What this kill left."""
        group = FEW if kill in FEW else MANY
        if len(group) not in self._made:
            self._made[len(group)] = beside_each_other(group, self._factory.mktemp, AT_ONCE)
        return self._made[len(group)][str(kill)]


@pytest.fixture(scope="module", autouse=True)
def hearing_of_a_closed_terminal() -> Iterator[None]:
    """Runs stop when their terminal is closed, also where `nohup` started the tests."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture(scope="module")
def left_by(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """What a kill left."""
    return Runs(tmp_path_factory)


@pytest.mark.parametrize("kill", EACH)
def test_sweep_leaves_nothing_of_a_killed_run(left_by: Runs, kill: Kill) -> None:
    """No version, no build, no journal and no process is left, and nobody else's version or build was touched.

    A run that could clean up has done so before the sweep.
    """
    killed = left_by(kill)
    assert not any(one.left for one in killed.swept), killed.swept
    assert (killed.left, killed.journals, killed.survivors) == (([], 0), 0, [])
    assert killed.foreign == ([], [], 1)
    if not (kill.signal == signal.SIGKILL and killed.whom == "run"):
        assert killed.left_before == ([], 1), killed.ended


@pytest.mark.parametrize("kill", EACH)
def test_run_log_of_a_killed_run_is_readable_up_to_the_cut(left_by: Runs, kill: Kill) -> None:
    """All that was answered before the kill is in it, but for what was under way just then."""
    killed = left_by(kill)
    if killed.log is None:
        # Before there is a header nothing is sent.
        assert killed.answered == 0
        return
    probe = killed.log.probe
    told = len(killed.log.exchanges) + (len(probe.answers) if probe else 0) + sum(w.count for w in killed.log.windows)
    assert killed.unreadable == ""
    # A load keeps few exchanges whole, and its workers tell once a second what they counted.
    if kill.command in ("check", "record"):
        assert told >= killed.answered - killed.most - SMOKE


@pytest.mark.parametrize("kill", EACH)
def test_killed_run_is_no_pass(left_by: Runs, kill: Kill) -> None:
    """Without a footer a report says that the run was cut short; with one it says what the run itself said."""
    killed = left_by(kill)
    assert "Traceback" not in killed.ended.out + killed.ended.err
    if killed.log is None:
        assert killed.report.code == 3
        return
    footer = killed.log.footer
    if footer is None:
        told = (3, "exit 3: the run log has no footer: the run was cut short")
        assert (killed.report.code, killed.report.last_line) == told
    else:
        told = (footer.exit_code, f"exit {footer.exit_code}: {footer.reason}")
        assert (killed.report.code, killed.report.last_line) == told
    if killed.happened and kill.at:
        assert killed.ended.code == expected(killed), killed.ended


def expected(killed: Killed) -> int:
    """What a run ends with that is killed between its first and its last request."""
    if killed.whom == "child":
        return 3
    return 130 if killed.kill.signal in ASKS_TO_STOP else -signal.SIGKILL


def test_points_are_met(left_by: Runs) -> None:
    """Most points lie in their runs: the numbers of requests that they are drawn from are those of today."""
    runs = [left_by(kill) for kill in FEW]
    assert sum(killed.happened for killed in runs) >= len(runs) - 1
