"""Twins with a known fault, correct variants of the twin, and the prover that runs a check against each."""
