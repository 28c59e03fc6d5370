"""The groups of claims that the summary of the clusters report speaks of."""

from reproductions.clusters.measures import metric
from reproductions.clusters.rows import setting_of
from reproductions.clusters.table import filters_in_words
from reproductions.summary import Group, Runs


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


def _init(runs: Runs) -> str:
    if "four_cubic" not in runs:
        return ""
    study, mean = runs["four_cubic"].study, metric(runs["four_cubic"], "init_predicts").mean()
    chance = study.num_clusters / study.num_experts
    return (
        f"on average it holds for {mean:.1f} of {study.num_clusters} clusters, where chance gives "
        f"{chance:g}"
    )


GROUPS = (
    Group("accuracy", "the accuracies of the mixtures", lambda runs: ""),
    Group("entropy", "the dispatch entropies of the mixtures"),
    Group("single-bound", "a single network cannot pass 87.5 %"),
    Group("single-1", "the single networks of setting 1", _single),
    Group("single-2", "the single networks of setting 2", _single),
    Group("single-3", "the single networks of setting 3", _single),
    Group("single-4", "the single networks of setting 4", _single),
    Group("cubic-over-linear", "cubic experts beat linear ones"),
    Group("mixture-over-single", "linear experts beat a single network"),
    Group("cubic-sorts", "cubic experts sort the clusters better than linear ones"),
    Group("balanced", "the numbers with load balancing"),
    Group("curve-", "the entropy curves' values"),
    Group("flat-then-falls", "the entropy stays, then collapses"),
    Group("linear-climbs-back", "the entropy of linear experts climbs back"),
    Group("one-to-one", "four cubic experts end with one cluster each"),
    Group("init-decides", "the start decides which expert gets which cluster", _init),
    Group("maps-at-random", "which expert gets which cluster is random"),
    Group("gate-learns-centres", "the gate learns the cluster centres"),
    Group("experts-learn-features", "the experts learn the features"),
    Group("experts-fail-elsewhere", "experts fail on others' clusters"),
    Group("activations-bound", "other activations stay below 87.5 %"),
    Group("written-linear", "as written, linear experts nearly close the gap", _written),
)
