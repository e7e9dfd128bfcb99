"""Reports of a run, made from its run log alone."""
