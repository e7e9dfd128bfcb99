"""Child process of a probe: sends the stimuli that the identification proposes, and records the responses."""
