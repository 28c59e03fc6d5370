"""Settings of the search for a translation; defaults are those of Wu et al. (2016), GNMT."""

from dataclasses import dataclass

from experiments.schema import Range, setting


@dataclass
class DecodingConfig:
    """Beam search and its scores. Shazeer et al. (2017) say: "the same technique as GNMT"."""

    beam_width: int = setting(8, "GNMT, section 7: 8 to 12", Range(at_least=1, at_most=1000))
    length_penalty: float = setting(0.2, "GNMT, section 7: alpha", Range(at_least=0, at_most=10))
    coverage_penalty: float = setting(0.2, "GNMT, section 7: beta", Range(at_least=0, at_most=10))
    score_margin: float | None = setting(
        3.0,
        "GNMT, section 7: what lies further below the best is dropped; null keeps all",
        Range(above=0, at_most=1e6),
    )
    max_length_ratio: float = setting(
        2.0, "GNMT, section 7: of the source's length", Range(above=0, at_most=10)
    )
    max_source_subwords: int = setting(
        500,
        "ours: of a sentence; what follows is not translated, and told",
        Range(at_least=1, at_most=10_000),
    )
    sentences_per_batch: int = setting(
        64, "not stated: translated at once", Range(at_least=1, at_most=10_000)
    )
    num_translated: int | None = setting(
        None,
        "not stated: of the test sentences; null translates all",
        Range(at_least=1, at_most=10_000_000),
    )
