"""The map: what the packages pass to each other, in the order of a run.

contract    Contract, Ledger, allowed      what the documents say
check       Examination                    what a case drives a target with; waits out a 429, cleans up at the end
target      Transport.send(Call)           → Exchange
loadgen     LoadRun                        → Sample, Exchange
limiter     Probe                          stimulus → Identity; Belief holds how likely each family is
facts       RunLogWriter.write(event)      all of it, as lines of runlog.jsonl
rules       Judge.see(Exchange)            → Judgement; a broken one becomes a Finding
rules       verdict.judge(RunLog)          → RunVerdict: a verdict on each claim, and the exit code
report      view(RunLog)                   → View → text, HTML, JSON, JUnit, GitHub
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from touchstone.facts.events import Footer

# Called with each event of a run log as it appears, and with events of the parent that no run log holds.
Progress = Callable[[dict[str, Any]], None]
# Ends a run log and writes the reports into a folder; returns the exit code of the run.
Conclude = Callable[[Path, Footer, Path], int]
