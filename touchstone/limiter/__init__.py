"""Rate limiter identification by Bayesian inference; except for `probe`, pure: no clock, no I/O."""
