"""Pure functions from exchanges to judgements, one module a subject of the documentation; see `catalogue`."""
