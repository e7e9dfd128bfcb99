"""
Judges what became of the builds of a load run: each that was accepted ends, none is lost, and none runs unadmitted.
"""

from collections.abc import Iterator

from touchstone.facts.events import Build
from touchstone.facts.finding import Judgement
from touchstone.loadgen.rules.idle import Idle, unserved
from touchstone.loadgen.rules.loadrule import broken, held, load_rule, unclear
from touchstone.loadgen.rules.record import IDLE, Latest, Record, Sight, Version, account_of

_READ, _START = "getBuild", "startBuild"
_NO_BUILD = Idle(
    "no client was given a build of its own to see the end of",
    "storm, steady, soak and watchers start such builds, where no limit refuses them to the last",
    ("storm", "steady", "soak", "watchers"),
    unserved,
)
_NO_READ = Idle("no read of a running build was kept", "give the run builds that take longer")

_ENDS = "status.build-ends"
_STAYS = "status.build-does-not-vanish"
_ADMITTED = "load.builds-admitted"
_UNKNOWN = {
    "unread": "no read after its start was answered",
    "silent": "the target answered nobody any more",
    "unfinished": "the run ended first",
}


@load_rule("overall.ends", _ENDS, idle=_NO_BUILD)
def build_ends(record: Record) -> Iterator[Judgement]:
    """Judges each accepted build by what its client saw of its end.

    A build that was cancelled was not left to end, and tells nothing. One that the run did not see to its end is
    indeterminate, and so is a start that was accepted and whose client left no word: nobody looked.
    """
    for build in record.log.builds:
        after_s = build.ended_at - build.accepted_at
        if build.end in ("ready", "failed"):
            yield held(_ENDS, _READ, build.seq)
        elif build.end == "stuck":
            expected = "ready or failed within the time that the target allows for a build"
            actual = f"still building {after_s:.1f} s after its start was accepted"
            yield broken(_ENDS, _READ, build.seq, expected=expected, actual=actual)
        elif build.end in _UNKNOWN:
            yield unclear(_ENDS, _READ, build.seq, why=f"how a build ended is not known: {_UNKNOWN[build.end]}")
    for start in record.starts:
        if start.fresh and start.is_served and record.build_of(start) is None:
            yield unclear(_ENDS, _START, start.seq, why="how a build ended is not known: its client left no word")


@load_rule("overall.stays", _STAYS, idle=_NO_BUILD)
def build_stays(record: Record) -> Iterator[Judgement]:
    """Judges that no accepted build falls back to ``not_built``, unless somebody may have cancelled it.

    What a client does not see, because it stopped reading, is indeterminate.
    """
    cancels = _cancels(record)
    for build in record.log.builds:
        if build.end in ("ready", "failed"):
            yield held(_STAYS, _READ, build.seq)
        elif build.end in _UNKNOWN:
            yield unclear(_STAYS, _READ, build.seq, why=f"how a build ended is not known: {_UNKNOWN[build.end]}")
        elif build.end == "vanished":
            if any(sent_at < build.ended_at for sent_at in cancels.get(_version(build), ())):
                yield unclear(_STAYS, _READ, build.seq, why="somebody cancelled the version, and maybe this build")
            else:
                actual = f"not_built {build.ended_at - build.accepted_at:.1f} s after its start was accepted"
                yield broken(_STAYS, _READ, build.seq, expected="building, ready or failed", actual=actual)


def _version(build: Build) -> Version:
    return account_of(build.credential), build.ref


def _cancels(record: Record) -> dict[Version, list[float]]:
    """When each version was cancelled: what was kept of cancels, and the builds that clients say they cancelled."""
    found: dict[Version, list[float]] = {}
    for exchange in record.log.exchanges:
        if exchange.operation in ("cancelBuild", "deleteTemplate"):
            found.setdefault((account_of(exchange.credential), exchange.ref or ""), []).append(exchange.sent_at)
    for build in record.log.builds:
        if build.end == "cancelled":
            found.setdefault(_version(build), []).append(build.accepted_at)
    return found


@load_rule("overall.admitted", _ADMITTED, idle=_NO_READ)
def builds_are_admitted(record: Record) -> Iterator[Judgement]:
    """
    Judges each kept read that shows a build running: a start that may have begun it has to be there, and not be over.

    If that holds for each version, no more builds are in flight than were admitted. A start is over once a read that
    was sent after its answer showed the version at rest. A start without an answer, or with a 5xx, explains any build.
    Where the only start since the version was at rest was refused, the build is that one's: see `refusals`. Versions
    that the run did not publish may be built by others, and are left out. What was not kept is not seen.
    """
    for version, sights in record.sights.items():
        if version[1] not in record.own_refs:
            continue
        starts = record.starts_of.get(version, [])
        begun = Latest(starts, (record.over_at[s.seq] if s.may_act else float("-inf") for s in starts))
        rests = [sight for sight in sights if sight.state in IDLE]
        for sight in sights:
            if sight.state != "building":
                continue
            if begun.before(sight.done_at + record.slack_s) + record.slack_s > sight.sent_at:
                yield held(_ADMITTED, _READ, sight.seq)
                continue
            rest = next((one for one in reversed(rests) if one.done_at <= sight.sent_at), None)
            since_at = rest.sent_at if rest else float("-inf")
            if not any(s.is_refused and since_at <= s.sent_at < sight.done_at for s in starts):
                yield _unadmitted(sight, rest)


def _unadmitted(sight: Sight, rest: Sight | None) -> Judgement:
    expected = "building only while a build that was admitted has not ended"
    if rest is None:
        return broken(_ADMITTED, _READ, sight.seq, expected=expected, actual="building, and no start had been sent")
    actual = f"building, {sight.sent_at - rest.done_at:.2f} s after it read {rest.state}, and not started since"
    return broken(_ADMITTED, _READ, rest.seq, sight.seq, expected=expected, actual=actual)


RULES = (build_ends, build_stays, builds_are_admitted)
