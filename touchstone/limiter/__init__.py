"""Rate limiter identification by Bayesian inference. Only the package `probe` uses a clock and I/O."""
