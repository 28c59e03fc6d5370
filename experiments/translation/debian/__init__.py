"""English-French text that a Debian archive carries, taken without root."""
