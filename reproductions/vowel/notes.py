"""The study's notes: where the paper is silent and what was chosen there."""

from pathlib import Path

import yaml

from reproductions.report_types import Silence

_PATH = Path(__file__).with_name("notes.yaml")


def load_notes(path: Path = _PATH) -> tuple[Silence, ...]:
    """Every silence of notes.yaml; raises TypeError for an entry with other keys."""
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    return tuple(Silence(**entry) for entry in entries)
