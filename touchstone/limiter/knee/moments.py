"""When the reads of a trial are due: by chance, and the same for the same seed; pure."""

import numpy as np
from numpy.typing import NDArray

from touchstone.facts.knee_trials import Trial
from touchstone.loadgen.arrivals import exponentials

# Chance lets the last read come later than on the average; so much later it does not.
_AMPLE = 2.0


def due_times(trial: Trial) -> NDArray[np.float64]:
    """When each read is due, in seconds since the trial began: a Poisson process, cut after so many."""
    found: NDArray[np.float64] = exponentials(trial.seed, _AMPLE * trial.arrivals)[: trial.arrivals] / trial.rate_per_s
    return found
