"""Page *Get build status*: reads all versions at the end of the run."""

from functools import partial

from situations import claims, cost, given
from touchstone.check.examination import Examination
from touchstone.check.run import Run
from touchstone.check.templates import Template


@given
@cost(builds=0, requests=80)
@claims(
    "status.ready-stays-ready status.failed-stays-failed status.build-time-is-stable status.changes-only-by-a-start",
    "digest.is-stable",
)
def test_what_was_left_alone_has_not_changed(exam: Examination, run: Run) -> None:
    """Each version that was read still has the status of its last read; a deleted one still gets 404."""
    read = {exchange.ref for exchange in run.judge.history.exchanges if exchange.operation == "getBuild"}
    own = [each for each in exam.templates if each.owner != "restricted" and each.ref in read - run.suspects]
    for template in own:
        exam.beside(partial(read_at_last, exam, template))


def read_at_last(exam: Examination, template: Template) -> None:
    """Reads a version of any case."""
    exam.read(template).expect(200, 404)
