"""The clusters study's report, put together from finished runs."""

from collections.abc import Sequence
from pathlib import Path

from reproductions.clusters.evidence import FORMS, FREE
from reproductions.clusters.figure1 import figure1
from reproductions.clusters.figures import (
    alignment,
    curves,
    ladder,
    matrices,
    sweep,
    table_1_figure,
)
from reproductions.clusters.suite import (
    EXPERT_KINDS,
    SETTINGS,
    SWEEP,
    WIDTHS,
    ladder_labels,
    setting_of,
    settings_in_words,
)
from reproductions.clusters.tables import (
    activation_table,
    filters_in_words,
    ladder_table,
    map_experts,
    map_table,
    single_table,
    sweep_table,
    table_1,
    written_table,
)
from reproductions.runs import Runs, Source, SuiteRuns, metric
from reproductions.study_report import Parts, Study, Table, departures_except
from reproductions.verdicts.judge import Judged

_EVERYTHING = "make reproduce-clusters-all"
_LINEAR_2 = tuple(f"single_2_linear_{width}" for width in WIDTHS)


def _parts(found: SuiteRuns, judged: Sequence[Judged], source: Source) -> Parts:
    runs, claims = found.runs, [claim for claim, _, _ in judged]
    pictures = [
        figure1(runs),
        table_1_figure(runs, claims),
        curves(runs),
        alignment(runs),
        matrices(runs, "four"),
        matrices(runs, "coded_1"),
        ladder(runs),
        sweep(runs),
    ]
    missing = f"Not run yet: {len(found.missing)} of the study's runs ({_EVERYTHING})."
    return Parts(pictures, _tables(runs, judged), [missing] if found.missing else [])


def _tables(runs: Runs, judged: Sequence[Judged]) -> list[Table]:
    """Captions and tables; Table 1 always comes first, the others where there are runs."""
    return [
        (
            "Table 1 of the paper and its extensions beside ours: means over seeds, by the "
            f"authors' recipe; single networks of {filters_in_words(runs)}.",
            table_1(runs, judged),
        ),
        ("As written in the paper.", written_table(runs)),
        (
            "From the code to the text in six steps, of which the last two change two things each; "
            f"setting {settings_in_words(ladder_labels(EXPERT_KINDS), runs)}.",
            ladder_table(runs),
        ),
        (
            f"Which expert gets which cluster: {map_experts(runs)} as written.",
            map_table(runs),
        ),
        ("Single networks by width, and tuned with ten times the data.", single_table(runs)),
        ("Single networks with other activations, test %.", activation_table(runs)),
        (
            f"Cubic experts with one setting changed, setting {settings_in_words(SWEEP, runs)}.",
            sweep_table(runs),
        ),
    ]


def _written(runs: Runs) -> str:
    if not {"coded_1_linear", "written_1_linear"} <= set(runs):
        return ""
    coded, text = (
        metric(runs[name], "test_accuracy", 100).mean()
        for name in ("coded_1_linear", "written_1_linear")
    )
    return (
        f"linear experts reach {coded:.1f} % as coded and {text:.1f} % as written in setting "
        f"{setting_of(runs['coded_1_linear'].study)}"
    )


def _single(runs: Runs) -> str:
    return (
        "the paper does not say how wide its single networks are; ours have "
        f"{filters_in_words(runs)}"
    )


def _from_memory(runs: Runs) -> str:
    """The published number of the linear network of setting 2 has no second source."""
    found = [metric(runs.get(name), "test_accuracy", 100) for name in _LINEAR_2]
    means = sorted(float(each.mean()) for each in found if len(each))
    if not means:
        return ""
    reach = " to ".join(dict.fromkeys(f"{mean:.1f}" for mean in (means[0], means[-1])))
    # Of several widths only what was run is told.
    where = " at every width that the code has" if len(means) == len(_LINEAR_2) else ""
    return (
        f"our linear networks reach {reach} %{where}; the published number is from memory, and may "
        "be wrong"
    )


def _init(runs: Runs) -> str:
    if "four_cubic" not in runs:
        return ""
    study, mean = runs["four_cubic"].study, metric(runs["four_cubic"], "init_predicts").mean()
    chance = study.num_clusters / study.num_experts
    return (
        f"on average it holds for {mean:.1f} of {study.num_clusters} clusters, where chance gives "
        f"{chance:g}"
    )


STUDY = Study(
    name="clusters",
    title="Towards understanding mixture of experts: the clusters study",
    citation="Chen, Z., Deng, Y., Wu, Y., Gu, Q. & Li, Y. (2022). Towards understanding the "
    "mixture-of-experts layer in deep learning. NeurIPS 35.",
    citation_url="https://arxiv.org/abs/2208.02813",
    folder=Path(__file__).parent,
    forms=FORMS,
    why_not_comparable=departures_except(FREE),
    parts=_parts,
    reasons={
        **{f"single-{setting}": _single for setting in SETTINGS if setting != 2},
        "single-2-cubic": _single,
        "single-2-linear": _from_memory,
        "init-decides": _init,
        "written-linear": _written,
    },
    target="reproduce-clusters",
    about="Every example belongs to one of four hidden clusters, and each cluster has its own "
    "sign for the class. The gate sends an example to one of eight small networks, the "
    "experts. The paper proves that experts with a cubic activation divide the clusters "
    "among themselves, and that one network alone cannot solve the task.",
    shown_suite="clusters_all",
    next_steps=(
        f"{_EVERYTHING}   settings 3 and 4, code against text, sensitivity",
        'make reproduce-clusters ARGS="study.num_experts=16"',
    ),
)
