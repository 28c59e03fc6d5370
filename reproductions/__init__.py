"""From finished runs to pages: claims, evidence, verdicts, pictures and reports.

Nothing here trains. A study module reads finished run folders, hands its numbers over as
evidence, and this package judges them against the paper's claims and writes the pages.
"""
