"""What a run writes down: exchanges, samples, findings, events, and the run log that holds them."""
