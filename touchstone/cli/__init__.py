"""The commands of Touchstone: each parses its arguments and ends with an exit code."""
