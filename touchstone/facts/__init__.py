"""Facts of a run: exchanges, samples, findings, events, and the run log that stores them."""
