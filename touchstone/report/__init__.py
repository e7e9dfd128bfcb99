"""Reports read a run log and tell; they do nothing else."""
