"""
Durations as every report tells them.
"""

from touchstone.figures import brief

__all__ = ["brief"]
