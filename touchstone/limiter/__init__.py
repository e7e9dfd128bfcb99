"""Identifies a rate limiter from its responses, by Bayesian inference. Only the package `probe` uses a clock or I/O."""
