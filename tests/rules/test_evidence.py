"""The evidence of a finding: it suffices for the finding, and no exchange of it can be left out."""

from tests.rules.exchanges import OTHER_REF, publish
from tests.rules.judging import cases
from tests.rules.stories import cancel, read, reuse, start
from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Finding
from touchstone.rules.history import Bounds
from touchstone.rules.judge import Judge, by_all_rules

FAILING = publish(1, note={"outcome": "failed"})
OTHER = (publish(2, OTHER_REF, content="other", digest="ef" * 32), start(3, ref=OTHER_REF))
READS = tuple(read(n, "building") for n in range(11, 41))


def findings(exchanges: tuple[Exchange, ...]) -> tuple[Judge, list[Finding]]:
    judge = by_all_rules(Bounds(), {})
    judgements = [j for e in sorted(exchanges, key=lambda e: e.done_at) for j in judge.add(e)]
    judgements += judge.conclude(dict.fromkeys(e.ref for e in exchanges if e.ref))
    return judge, [judge.finding(j) for j in judgements if j.outcome == "broken"]


STORIES = {
    "ready although a step fails": (
        (FAILING, *OTHER, start(10), *READS, read(50, "ready"), read(51, "ready")),
        ("status.failing-template-ends-failed", (1, 10, 50)),
    ),
    "a finished build is gone": (
        (publish(1), *OTHER, start(10), *READS, read(50, "ready"), read(51, "ready"), read(52, "not_built")),
        ("status.ready-stays-ready", (1, 10, 51, 52)),
    ),
    "a cancel hits a neighbour": (
        (publish(1), *OTHER, start(10), *READS, cancel(44, ref=OTHER_REF), read(50, "not_built")),
        ("cancel.keeps-neighbours", (1, 10, 44, 50)),
    ),
    "a reused build is not flagged": (
        (publish(1), start(10), *READS, read(50, "ready"), reuse(51, reused=False)),
        ("reuse.is-flagged", (1, 10, 50, 51)),
    ),
}


@cases("story expected", STORIES)
def test_evidence_is_small_and_sufficient(story: tuple[Exchange, ...], expected: tuple[str, tuple[int, ...]]) -> None:
    _, found = findings(story)
    (finding,) = (one for one in found if one.claim == expected[0])
    assert (finding.claim, finding.evidence) == expected

    evidence = tuple(e for e in story if e.seq in finding.evidence)
    assert finding.id in {one.id for one in findings(evidence)[1]}
    for left_out in evidence:
        rest = tuple(e for e in evidence if e is not left_out)
        assert (finding.id, finding.evidence[-1]) not in {(one.id, one.evidence[-1]) for one in findings(rest)[1]}


def test_explanation_is_not_left_out() -> None:
    """Without the first start, the first read would be the finding."""
    story = (publish(1), start(2), read(3, "ready"), read(4, "not_built"))
    _, found = findings(story)
    of_reads = [(one.claim, one.evidence) for one in found if one.operation == "getBuild"]
    assert of_reads == [("status.ready-stays-ready", (1, 2, 3, 4))]


def test_finding_that_is_reported_first_has_enough_evidence() -> None:
    """Another version had the finding earlier; its case may end later."""
    failing = publish(2, OTHER_REF, content="other", digest="ef" * 32, note={"outcome": "failed"})
    starts = start(10), start(11, ref=OTHER_REF)
    story = (FAILING, failing, *starts, read(50, "ready"), read(51, "ready", ref=OTHER_REF))
    judge = by_all_rules(Bounds(), {})
    judgements = [j for e in story for j in judge.add(e)] + judge.conclude(dict.fromkeys(e.ref or "" for e in story))

    found = [j for j in judgements if j.claim == "status.failing-template-ends-failed" and j.outcome == "broken"]
    assert [judge.finding(j).evidence for j in reversed(found)] == [(2, 11, 51), (1, 10, 50)]
