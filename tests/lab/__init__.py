"""Rate limiters that nobody here wrote, each in front of a twin: what `touchstone probe` has to recognise.

Starts of builds pass the limiter, and are refused with 429; all other operations pass freely. The header
`Authorization` distinguishes callers.
"""

# A pattern that the whole path of a start fits, without groups; anchored at both ends.
COUNTED = "^{base_path}/templates/[^/]+/[^/]+/[^/]+/build$"
