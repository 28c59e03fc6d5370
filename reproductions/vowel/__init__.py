"""The vowel study's report: evidence from its runs, tables, figures, notes and summary."""
