"""
The map: what the packages pass to each other.
"""

from collections.abc import Callable
from pathlib import Path

from touchstone.facts.events import Footer

# Ends a run log and writes the reports into a folder; returns the exit code of the run.
Conclude = Callable[[Path, Footer, Path], int]
