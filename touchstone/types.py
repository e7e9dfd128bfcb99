"""Map of the packages in the order of a run: package, entry point, and its purpose or result (→).

contract    Contract, Ledger, allowed      contract document, claims, allowed responses
check       Examination                    drives a target for a case; waits out a 429, cleans up at the end
target      Transport.send(Call)           → Exchange
loadgen     LoadRun                        → Sample, Exchange
limiter     Probe                          stimulus → Identity; Belief holds the probability of each family
facts       RunLogWriter.write(event)      writes all these results as lines of runlog.jsonl
rules       Judge.add(Exchange)            → Judgement; a broken one becomes a Finding
rules       verdict.judge(RunLog)          → RunVerdict: a verdict on each claim, and the exit code
report      view(RunLog)                   → View → text, HTML, JSON, JUnit, GitHub
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from touchstone.facts.events import Footer

# Called with each event of a run log as it appears, and with events of the parent process.
Progress = Callable[[dict[str, Any]], None]
# Closes a run log and writes the reports into a folder; returns the exit code.
Conclude = Callable[[Path, Footer, Path], int]
