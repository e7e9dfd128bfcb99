"""Puts a load on a target: schedule, workers, metrics, thresholds and the judgement of a load run."""
