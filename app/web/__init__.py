"""For people and probes: health, metrics, documentation."""
