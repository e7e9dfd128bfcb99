"""Rate limiters that nobody here wrote, each in front of a twin: what `touchstone probe` has to recognise.

Each is a context manager that starts a twin and its limiter on a free port of loopback and yields the base URL. One
operation passes the limiter, the start of builds by default, and is refused with 429; all others pass freely. What
callers are told apart by is their header `Authorization`.
"""
