"""The five questions that the three studies answer together."""
