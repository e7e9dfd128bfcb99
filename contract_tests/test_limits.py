"""Section *Errors* (429) of the page: the form of the response, its effect on other requests, the end of refusals.

Some services count each start, others only new builds. So a case starts a ready version first. If no limit is reached,
it starts unbuilt versions and cancels each build at once. rules/history.py describes the notes of the requests.
"""

from dataclasses import replace

from bursts import MARGIN_S, Round
from situations import alone, claims, cost, lasting, profile
from touchstone.check.examination import Examination, Unsuited
from touchstone.check.run import Run
from touchstone.check.templates import Template

# If this many builds were started and cancelled without a refusal, a case concludes that builds have no limit.
MOST_BUILDS = {"quick": 12, "standard": 12, "thorough": 24}
# Most simultaneous builds that a case runs to find the capacity of the host.
MOST_BUILDS_AT_ONCE = 8
READS_PER_START = 3

# Added to the duration of a build that starts before a rest, so that it still runs during the reads after the rest.
RUNNING_S = 4.0


@alone
@cost(builds={"quick": 13, "standard": 13, "thorough": 25}, lengths=1, requests=300)
@claims(
    "limit.has-the-error-shape limit.ends-after-back-off limit.retry-after-is-valid limit.retry-after-is-honest",
    "limit.is-per-key limit.refused-start-starts-nothing start.answers-202",
)
def test_rate_of_starts(exam: Examination, run: Run) -> None:
    """After a burst, starts are refused and begin no build, another key is served, and refusals end after a wait."""
    needs_limit(run)
    # This build takes longer than a burst of some dozens of starts.
    ready, unbuilt, running = exam.ready(), exam.published("refused"), exam.short("running", times=6)
    theirs = exam.ready("second") if exam.target.second_api_key else None
    exam.read(unbuilt).expect(200, status="not_built")
    exam.start(running).expect(202, status="building")
    exam.read(running).expect(200, status="building")
    first = Round(exam, [ready], polls=True)
    first.burst()
    if first.refused is None:
        exam.wait(running).expect(200, status="ready")
        rate_of_builds(exam, run)
        return
    without_retry_after(run, first)
    exam.request("startBuild", unbuilt).expect(202, 429, status="building")
    first.confirm(ready, theirs)
    first.read_after_refusal(unbuilt, running)
    first.recover()
    exam.wait(running).expect(200, status="ready")
    # When a start of another version is served, the refused build must not begin as well.
    exam.start(exam.short("after-refusal")).expect(202, status="building")
    exam.read(unbuilt).expect(200)
    # The refused version can be started afterwards. If it was not refused, its build runs or has ended.
    exam.start(unbuilt).expect(202, 200, 409)
    exam.read(unbuilt).expect(200)
    if first.retries > 1:
        # One refusal may be due to another account; two refusals are not.
        second = first.again(polls=True)
        second.burst()
        second.recover()


def needs_limit(run: Run) -> None:
    """Ends the case if another case has found that starts have no limit."""
    if run.unlimited:
        raise Unsuited("not-applicable", run.unlimited)


def rate_of_builds(exam: Examination, run: Run) -> None:
    """Tests a limit on new builds, after starts of a ready version have reached no limit."""
    theirs = exam.long("theirs", owner="second") if exam.target.second_api_key else None
    first = refused_for_a_rate(exam, run, theirs)
    recover_with_builds(first)
    if first.retries > 1 or first.is_other_refused or not first.served:
        # One refusal may be due to another account; two refusals are not.
        second = first.again(polls=True)
        second.burst()
        if is_for_a_rate(second, theirs):
            recover_with_builds(second)


def refused_for_a_rate(exam: Examination, run: Run, theirs: Template | None = None) -> Round:
    """Starts builds and cancels them at once; returns a round whose refusals go on when no build is in flight.

    Raises:
        Unsuited: no start was refused, or all refusals ended once no build was in flight.
    """
    most, began_at, begun = MOST_BUILDS[run.settings.profile], exam.transport.now(), 0
    attempt = Round(exam, [exam.long("limited") for _ in range(most)], most, "cancelled", polls=True)
    # The first refusal may be due to starts of earlier cases, the second to capacity. So the last burst never has
    # more builds in flight than the server accepted before.
    room = 1
    for is_last in (False, False, True):
        attempt = replace(attempt.again(polls=True), at_once=room if is_last else most)
        attempt.burst()
        begun += attempt.served
        tried = f"{begun} builds within {exam.transport.now() - began_at:.1f} s"
        if attempt.refused is None:
            attempt.make_room()
            fewer = f", with at most {attempt.at_once} in flight" if attempt.at_once < most else ""
            run.unlimited = f"no start was refused: {tried}{fewer}"
            raise Unsuited("not-applicable", run.unlimited)
        room = max(room, len(attempt.in_flight))
        without_retry_after(run, attempt)
        if is_for_a_rate(attempt, theirs):
            return attempt
    raise Unsuited("indeterminate", f"{tried}; each refused start was served when no build was in flight")


def is_for_a_rate(attempt: Round, theirs: Template | None = None) -> bool:
    """Ends all builds; returns whether a start is still refused. Reads show whether refused starts began builds."""
    refused = attempt.refused_version
    for version in (refused, attempt.witness):
        if version:
            attempt.exam.read(version).expect(200)
    attempt.make_room()
    still = attempt.confirm(refused, theirs)
    if still:
        attempt.read_after_refusal(refused)
    attempt.make_room()
    if theirs:
        end_theirs(attempt, theirs)
    return still


def end_theirs(attempt: Round, *theirs: Template) -> None:
    """Ends the builds of the other account; if the start of the last version was refused, only reads this version.

    The builds may have ended before.
    """
    for template in theirs:
        if attempt.is_other_refused and template == theirs[-1]:
            attempt.exam.read(template).expect(200)
        else:
            attempt.exam.cancel(template).expect(202, 404, status=("cancelling", "idle"))
            attempt.exam.settled(template).expect(200)


def recover_with_builds(attempt: Round) -> None:
    """Waits until a build is accepted, and then starts the refused version."""
    exam, refused = attempt.exam, attempt.refused_version
    attempt.recover()
    # The served start must not have begun the refused build as well. The refused version can be started afterwards.
    exam.read(refused).expect(200)
    exam.start(refused).expect(202, 200, 409, status="building")
    exam.read(refused).expect(200, status="building")
    attempt.in_flight[refused] = False
    attempt.make_room()


def without_retry_after(run: Run, attempt: Round) -> None:
    """Reports the claims about Retry-After as not applicable if the first refusal has no such header."""
    if attempt.refused and attempt.refused.response and attempt.refused.response.header("Retry-After") is None:
        claims = ("limit.retry-after-is-valid", "limit.retry-after-is-honest")
        run.not_applicable(claims, "the target sends no Retry-After with its 429")


@alone
@profile("standard")
@cost(builds=MOST_BUILDS_AT_ONCE + 1, lengths=0, requests=150)
@claims(
    "limit.refused-start-starts-nothing limit.has-the-error-shape limit.ends-after-back-off",
    "status.build-does-not-vanish",
)
def test_start_refused_for_capacity_starts_nothing(exam: Examination) -> None:
    """On a full host, a start is refused and begins no build; after cancels, a start is accepted."""
    exam.ready()
    theirs = [exam.long("theirs", owner="second") for _ in range(2)] if exam.target.second_api_key else []
    if theirs:
        exam.start(theirs[0]).expect(202, status="building")
    attempt = Round(exam, [], builds="kept")
    for _ in range(MOST_BUILDS_AT_ONCE):
        template = exam.short("crowded", times=5)
        exam.read(template).expect(200, status="not_built")
        if attempt.start(template).status >= 400:
            break
        # Reads show whether the server ended another build to make room.
        for version in attempt.in_flight:
            exam.read(version).expect(200)
    if attempt.refused is None:
        raise Unsuited("not-applicable", f"{len(attempt.in_flight)} simultaneous builds reached no limit")
    attempt.versions = [template]
    attempt.read_after_refusal(template, *attempt.in_flight, *theirs[:1])
    attempt.confirm(template, theirs[1] if theirs else None)
    exam.read(template).expect(200)
    attempt.make_room()
    end_theirs(attempt, *theirs)
    attempt.recover()
    exam.read(template).expect(200)
    attempt.make_room()


@alone
@profile("standard")
@cost(builds=2, lengths=0, requests=400)
@claims("limit.reads-are-not-charged", "limit.ends-after-back-off", "limit.retry-after-is-honest")
def test_polling_is_not_charged(exam: Examination, run: Run) -> None:
    """After equal rests, a burst with status reads before it has as many served starts as a burst without reads."""
    needs_limit(run)
    first = Round(exam, [exam.ready()])
    first.burst()
    if first.refused is None:
        first = refused_for_a_rate(exam, run)
    first.recover()
    first.make_room()
    plain = first.again()
    exam.rest(first.waited_s)
    plain.burst()
    plain.make_room()
    if plain.refused is None:
        raise Unsuited("indeterminate", f"{first.served} starts reached a limit, then {plain.served} did not")
    plain.recover()
    plain.make_room()
    polled = first.again()
    running = exam.published("polled", sleep_s=round(lasting(exam, first.waited_s + RUNNING_S), 2))
    polled.send("startBuild", "beside", running)
    # The rest is at least as long as before. If it is longer, this does not reduce the number of served starts.
    rested_s = plain.began_at - refused_at(first)
    exam.rest(max(first.waited_s, refused_at(plain) + rested_s + MARGIN_S - exam.transport.now()))
    polled.reads(READS_PER_START * max(plain.served, 1), running)
    polled.make_room()  # the build that ran during the reads uses capacity that the burst needs
    polled.burst(at_least_s=1.2 * plain.lasted_s + MARGIN_S)
    polled.make_room()


def refused_at(attempt: Round) -> float:
    """Returns when the last refusal of a round arrived; the round must have reached a limit."""
    return attempt.last_refused.done_at if attempt.last_refused else attempt.began_at
