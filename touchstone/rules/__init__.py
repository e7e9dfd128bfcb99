"""Rules: functions without I/O that turn exchanges into judgements. Each module has one subject; `catalogue` lists all.

"Ambiguity 7.22" in a docstring is a number in the team's list of questions that the API's documentation leaves open.
"""
