"""From claims and evidence to verdicts, and how these are put into words."""
