"""Broken and unusual servers, and the proof that a check finds each broken one."""
