"""
Any order of starts, reads, cancels, restarts and replacements, judged by the model of the life cycle.
"""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from situations import call
from touchstone.contract import Contract
from touchstone.examination import IDLE, Examination
from touchstone.links import Link, links
from touchstone.provision import Template
from touchstone.run import Run
from touchstone.terms import PUBLISH_ADVICE, Unsuited

WALKS = {"quick": 1, "standard": 4, "thorough": 30}
STEPS = 8
ACTIONS = ("start", "start", "read", "cancel", "restart", "replace", "wait", "start together", "cancel together")


def walked(run: Run, strategy: st.SearchStrategy[Any], walk: Callable[[Any], None]) -> None:
    """
    Takes *walk* along as many values of *strategy* as the profile allows, the same ones for one seed.

    Nothing is shrunk: each walk costs builds, and the model names the step that went wrong.
    """

    @seed(run.settings.seed)
    @settings(
        max_examples=WALKS[run.settings.profile],
        phases=(Phase.generate,),
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def walks(value: Any) -> None:
        walk(value)

    walks()


@pytest.mark.cost(
    builds={"quick": 8, "standard": 32, "thorough": 240}, requests={"quick": 40, "standard": 160, "thorough": 1200}
)
@pytest.mark.claims(
    "status.build-ends",
    "status.ready-stays-ready",
    "status.changes-only-by-a-start",
    "start.visible-to-next-read",
    "start.while-building-is-harmless",
    "cancel.in-flight-is-202",
    "cancel.settles",
    "cancel.keeps-neighbours",
    "reuse.ready-at-once",
    "reuse.only-identical-digest",
)
def test_any_order_keeps_the_life_cycle(exam: Examination, run: Run) -> None:
    """
    Two versions are started, read, cancelled, restarted and replaced in any order, and stay true to the model.
    """

    def walk(steps: list[tuple[str, int]]) -> None:
        pair = [exam.published("walked", sleep_s=0.15), exam.published("walked", sleep_s=0.05)]
        for action, which in steps:
            pair[which] = act(exam, action, pair[which])
        for template in pair:
            exam.cancel(template.ref)
            exam.wait(template.ref, IDLE)
            exam.read(template.ref)

    step = st.tuples(st.sampled_from(ACTIONS), st.integers(0, 1))
    walked(run, st.lists(step, min_size=STEPS, max_size=STEPS), walk)


def act(exam: Examination, action: str, template: Template) -> Template:
    """
    Takes one step with *template*; what it is afterwards.
    """
    ref = template.ref
    match action:
        case "start":
            exam.start(ref)
        case "read":
            exam.read(ref)
        case "cancel":
            exam.cancel(ref)
        case "restart":
            exam.cancel(ref)
            exam.start(ref)
        case "wait":
            exam.wait(ref, IDLE)
        case "start together":
            exam.together(*[call("startBuild", ref)] * 2)
        case "cancel together":
            exam.together(*[call("cancelBuild", ref)] * 2)
        case "replace":
            exam.wait(ref, IDLE)
            template = template.revised()
            exam.publish(template, force=True)
    exam.read(ref)
    return template


@pytest.mark.cost(
    builds={"quick": 1, "standard": 4, "thorough": 30}, requests={"quick": 8, "standard": 40, "thorough": 240}
)
@pytest.mark.claims("http.status-is-documented", "lookup.existing-version-is-found", "status.answers-200")
def test_links_lead_where_they_say(exam: Examination, run: Run) -> None:
    """
    From each answer the links of the contract lead to operations that know the version.
    """
    document = Contract.load().document

    def walk(choices: list[int]) -> None:
        template = exam.template("linked")
        exchange = exam.publish(template)
        for choice in choices:
            onward = [link for link in links(document, exchange.operation, exchange.status) if safe(link)]
            if not onward:
                break
            link = onward[choice % len(onward)]
            exchange = exam.send(call(link.operation, link.ref(exchange)))
        exam.cancel(template.ref)

    if exam.target.publish == "never":
        raise Unsuited("not-applicable", PUBLISH_ADVICE)
    walked(run, st.lists(st.integers(0, 3), min_size=STEPS, max_size=STEPS), walk)


def safe(link: Link) -> bool:
    """
    Whether the walk can go on after following *link*.
    """
    return link.operation != "deleteTemplate"
