"""The three studies begun from other starts: a collapsed or frozen gate, identical experts."""
