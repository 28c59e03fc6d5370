"""A study's notes: where the paper is silent and what was chosen there."""

from pathlib import Path

import yaml

from reproductions.report_types import Silence


def load_notes(path: Path) -> tuple[Silence, ...]:
    """Every silence of a notes.yaml; raises TypeError for an entry with other keys."""
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    return tuple(Silence(**entry) for entry in entries)
