"""Rules: pure functions from exchanges to judgements, one module for each subject; see `catalogue`."""
