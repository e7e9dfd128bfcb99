"""Scenarios about limits, builds and build logs."""

from dataclasses import replace

from scenarios import begun, built, cancelled, followed, limited, scenario, watched

from situations import SETTLED, another_version
from touchstone.check.examination import Examination, Unsuited, key_advice
from touchstone.check.templates import Template
from touchstone.facts.backoff import retry_after_s
from touchstone.facts.exchange import Exchange

# After this many starts, or this many simultaneous builds, a scenario concludes that there is no limit.
LONGEST_BURST, MOST_BUILDS = 120, 6
READS_PER_START, LONGER_BURST = 3, 10
# Seconds added to Retry-After, because a server may count whole seconds.
MARGIN_S = 0.05
# Rest before several starts: a limit with a short window that the previous scenario used up then has recovered.
QUIET_S = 1.2

# --- limits: first, before other scenarios use up the limits ---------------------------------------------------------


@scenario(
    "rate-limit",
    4,
    "limit.has-the-error-shape",
    "limit.refused-start-starts-nothing",
    "limit.ends-after-back-off",
    "limit.retry-after-is-honest",
    "limit.is-per-key",
)
def rate_limit(exam: Examination) -> None:
    """After a burst, starts of a ready and of a new version are refused; after a wait, both versions can be started."""
    if not exam.target.second_api_key:
        raise Unsuited("not-applicable", key_advice(exam.target, "second"))
    exam.rest(QUIET_S)
    busy = exam.short("rate-limit-busy")
    theirs = exam.published("rate-limit-theirs", sleep_s=exam.observable_s(), owner="second")
    refused, template = exam.published("rate-limit-refused"), exam.short("rate-limit")
    built(exam, theirs)
    built(exam, busy)
    _burst(exam, busy, 1, beyond=0)
    limited(exam, theirs.ref, "other-key", "second").expect(200, 202, status="ready")
    limited(exam, template.ref).expect(429)
    limited(exam, refused.ref).expect(429)
    last = limited(exam, busy.ref, "confirm").expect(429)
    exam.read(refused.ref).expect(200, status="not_built")
    exam.rest((retry_after_s(last.response) or 1.0) + MARGIN_S)
    limited(exam, busy.ref, "retry").expect(200, 202, status="ready")
    built(exam, template)


@scenario("polling", 1, "limit.reads-are-not-charged")
def polling(exam: Examination) -> None:
    """Three bursts of starts follow equal rests; status reads before the third burst do not use up the limit."""
    exam.rest(QUIET_S)
    template = exam.short("polling")
    built(exam, template)
    served, wait_s = 0, 0.0
    for number in (1, 2, 3):
        exam.rest(wait_s)
        if number == 3:
            for _ in range(READS_PER_START * served):
                limited(exam, template.ref, "reads", operation="getBuild", number=number).expect(200, status="ready")
        served, refused = _burst(exam, template, number, beyond=LONGER_BURST if number == 3 else 0)
        wait_s = (retry_after_s(refused.response) or 1.0) + MARGIN_S
        exam.rest(wait_s)
        limited(exam, template.ref, "retry", number=number).expect(200, 202, status="ready")


def _burst(exam: Examination, template: Template, number: int, beyond: int) -> tuple[int, Exchange]:
    """Starts a ready version until a 429, then *beyond* times more; returns the served number and the last response."""
    for served in range(LONGEST_BURST):
        answer = limited(exam, template.ref, "burst", number=number)
        if answer.status == 429:
            # The third burst is compared with the second burst and must take longer.
            more = [limited(exam, template.ref, "burst", number=number) for _ in range(beyond)]
            return served, [answer, *more][-1]
    raise Unsuited("not-applicable", f"no start was refused in a burst of {LONGEST_BURST} starts")


@scenario("capacity", MOST_BUILDS + 1, "limit.has-the-error-shape", "limit.refused-start-starts-nothing")
def capacity(exam: Examination) -> None:
    """On a full host, a start is refused and begins no build; after a cancel, the same start is accepted."""
    running: list[Template] = []
    for _ in range(MOST_BUILDS):
        template = exam.long("capacity")
        if limited(exam, template.ref).status == 429:
            break
        exam.read(template).expect(200, status="building")
        running.append(template)
    else:
        raise Unsuited("not-applicable", f"{MOST_BUILDS} simultaneous builds reached no limit")
    if not running:
        raise Unsuited("indeterminate", "the first start was refused: the host was already full")
    exam.read(template).expect(200, status="not_built")
    cancelled(exam, running[0])
    begun(exam, template)
    for each in (template, *running[1:]):
        cancelled(exam, each)


# --- builds ----------------------------------------------------------------------------------------------------------


@scenario(
    "fresh-build",
    1,
    "start.answers-202",
    "start.fresh-is-building",
    "status.unbuilt-is-not-built",
    "status.good-template-ends-ready",
    "status.build-ends",
    "status.ready-has-build-time",
    "publish.answers-201",
    "status.concurrent-reads-agree",
    "template.read-shows-the-published",
)
def fresh_build(exam: Examination) -> None:
    """A new version is published and built, and becomes ready."""
    template = exam.short("fresh-build")
    exam.document(template).expect(200)
    exam.read(template).expect(200, status="not_built")
    built(exam, template)
    exam.read(template).expect(200, status="ready")
    for answer in exam.together(*[exam.call("getBuild", template.ref)] * 3):
        answer.expect(200, status="ready")


@scenario("reuse", 1, "reuse.ready-at-once", "reuse.is-flagged", "cancel.keeps-finished-golden")
def reuse(exam: Examination) -> None:
    """A start of a ready version reuses its finished snapshot (golden); a cancel does not affect the snapshot."""
    template = exam.short("reuse")
    built(exam, template)
    exam.start(template).expect(200, 202, status="ready")
    exam.cancel(template).expect(404, status="idle")
    exam.read(template).expect(200, status="ready")


@scenario("shared-digest", 2, "reuse.same-digest-elsewhere")
def shared_digest(exam: Examination) -> None:
    """A second version with the same digest reuses the finished snapshot (golden) of the first version."""
    template = exam.short("shared-digest")
    built(exam, template)
    other = another_version(exam, template)
    if exam.start(other.ref).body.get("status") == "building":
        watched(exam, other)
    exam.read(other.ref).expect(200, status="ready")


@scenario("joined-build", 1, "start.while-building-is-harmless", "start.concurrent-share-one-build")
def joined_build(exam: Examination) -> None:
    """Two simultaneous starts and a later start share one build."""
    exam.rest(QUIET_S)
    template = exam.short("joined-build", times=2)
    for answer in exam.together(*[exam.call("startBuild", template.ref)] * 2):
        (exam.start(template) if answer.status == 429 else answer).expect(200, 202, 409)
    exam.start(template).expect(200, 202, 409)
    watched(exam, template)


@scenario(
    "failed-build",
    2,
    "status.failing-template-ends-failed",
    "status.failed-has-error",
    "status.failed-stays-failed",
    "start.after-failure-builds-again",
)
def failed_build(exam: Examination) -> None:
    """A build fails with a reason, and fails again when it is repeated."""
    template = exam.short("failed-build", fails=True)
    built(exam, template)
    exam.cancel(template).expect(404, status="idle")
    exam.read(template).expect(200, status="failed")
    built(exam, template)


@scenario(
    "cancel-in-flight",
    3,
    "cancel.in-flight-is-202",
    "cancel.says-cancelling",
    "cancel.settles",
    "cancel.does-not-end-ready",
    "cancel.settled-is-idle",
    "cancel.keeps-neighbours",
    "start.after-cancel-builds-again",
)
def cancel_in_flight(exam: Examination) -> None:
    """A running build is cancelled; another build is not affected, and the next build of the version completes."""
    exam.rest(QUIET_S)
    template = exam.short("cancel-in-flight", times=3)
    neighbour = exam.short("cancel-in-flight-beside", times=3)
    begun(exam, neighbour)
    begun(exam, template)
    exam.read(template).expect(200, status="building")
    both = followed(exam, template)
    exam.cancel(template).expect(202, status="cancelling")
    exam.cancel(template).expect(202, 404)
    # This read reveals a server that did not cancel the build.
    exam.read(template).expect(200, status=("building", *SETTLED))
    for following in both:
        exam.closed(following).expect(200)
    exam.settled(template).expect(200, status=SETTLED)
    exam.cancel(template).expect(404, status="idle")
    watched(exam, neighbour)
    built(exam, template)


@scenario("cancel-when-idle", 0, "cancel.idle-is-404", "cancel.says-idle", "status.changes-only-by-a-start")
def cancel_when_idle(exam: Examination) -> None:
    """A version that was never built has no build to cancel."""
    template = exam.published("cancel-when-idle")
    exam.read(template).expect(200, status="not_built")
    exam.cancel(template).expect(404, status="idle")
    exam.read(template).expect(200, status="not_built")


# --- logs ------------------------------------------------------------------------------------------------------------


@scenario("events-ready", 1, "events.ready-ends-on-ready", "events.watchers-agree", "events.carry-the-output")
def events_ready(exam: Examination) -> None:
    """Two clients follow the log of a build with several lines of output; one requests the log again afterwards."""
    template = replace(exam.template("events-ready", sleep_s=exam.observable_s(2)), halved=True, more_lines=4)
    exam.publish(template).expect(200, 201)
    built(exam, template)
    exam.closed(exam.follow(template)).expect(200, 404)


@scenario("events-failed", 1, "events.failed-ends-on-error", "events.close-at-the-end")
def events_failed(exam: Examination) -> None:
    """Clients follow the log of a failing build; one requests the log again afterwards."""
    template = exam.short("events-failed", fails=True)
    built(exam, template)
    exam.closed(exam.follow(template)).expect(200, 404)


@scenario("events-cancelled", 1, "events.cancelled-ends-on-cancel", "events.close-at-the-end")
def events_cancelled(exam: Examination) -> None:
    """Clients follow the log of a build that is cancelled."""
    template = exam.short("events-cancelled", times=3)
    begun(exam, template)
    cancelled(exam, template)
