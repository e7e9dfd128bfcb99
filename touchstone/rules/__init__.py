"""Rules: functions without I/O that turn exchanges into judgements, one module per subject; see `catalogue`.

"Ambiguity 7.22" in a docstring means number 22 in part 7 of facts.md, the notes on the API's documentation.
"""
