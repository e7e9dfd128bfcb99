"""Load generation: schedule, workers, metrics, thresholds, and the judgement of a load run."""
