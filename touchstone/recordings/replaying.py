"""The command `replay`: judges recordings offline. In the run log they follow each other in time and in number."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from touchstone.check.handover import Errand
from touchstone.check.job import REACHED_ITS_END, Job, Outcome
from touchstone.config import Settings
from touchstone.facts.events import Case, Footer, Notice, Occurrence, Remark, tallies
from touchstone.facts.runlog import RunLogWriter
from touchstone.recordings import recorder
from touchstone.recordings.recording import Recording, cleaned, moved
from touchstone.recordings.replay import alone
from touchstone.types import Conclude

UNSHOWN = "the recordings do not show it; record other scenarios, or run `touchstone check`"


class _Replay(Job):
    errand = Errand("replay", "replay")
    recordings: dict[str, Recording]

    def work(self) -> Footer:
        """Judges each recording by itself."""
        secrets, stories = self.settings.target.credentials().secrets(), recorder.scenarios()
        judged: set[str] = set()
        last_seq, begins_at = 0, 0.0
        with RunLogWriter(self.run_log) as log:
            for name, recording in self.recordings.items():
                case = f"scenarios.plays[{name}]"
                if recording.is_changed:
                    log.write(Remark(f"{recording.place}: was changed after it was recorded"))
                for reason, number in sorted(recording.left_out.items()):
                    log.write(Remark(f"{recording.place}: {number} left out: {reason}"))
                clean = [cleaned(exchange, secrets.text) for exchange in recording.exchanges]
                own = tuple(replace(moved(e, e.seq + last_seq, begins_at), case=case) for e in clean)
                judgements, findings, errors = alone(replace(recording, exchanges=own))
                judged |= {judgement.claim for judgement in judgements}
                log.write(*own, *tallies(case, judgements), *(Occurrence(finding, case) for finding in findings))
                for rule, error in errors.items():
                    log.write(Case(f"rule.{rule}", "", "error", 0.0, (), f"the rule {rule} failed: {error}"))
                outcome, title = "failed" if findings else "passed", stories.get(recording.name, "")
                log.write(Case(case, title, outcome, 0.0, recording.claims))  # type: ignore[arg-type]  # one of two words
                last_seq = max((e.seq for e in own), default=last_seq)
                begins_at = max((e.done_at + 1.0 for e in own), default=begins_at)
            lacking = (claim for claim in self.ledger.select(self.settings.claims_glob) if claim.id not in judged)
            log.write(*(Notice(claim.id, "not-applicable", UNSHOWN) for claim in lacking))
        return REACHED_ITS_END


def replay(settings: Settings, recordings: Iterable[Recording], argv: Sequence[str], conclude: Conclude) -> Outcome:
    """Judges recordings; of several with one name, the later ones get a number."""
    job = _Replay(settings, lambda _: None)
    job.recordings, names = {}, Counter[str]()
    for recording in recordings:
        names[recording.name] += 1
        number = f"-{names[recording.name]}" if names[recording.name] > 1 else ""
        job.recordings[recording.name + number] = recording
    return job.run(argv, conclude)
