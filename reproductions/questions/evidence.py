"""What the runs of other starts say about each claim of the five questions."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import adjusted_mutual_info_score

from reproductions.clusters.suite import agreement_of_maps, metric
from reproductions.runs import NamedRun, Runs, why_not_comparable
from reproductions.verdicts.evidence import Evidence, OrderEvidence, RateEvidence, ValueEvidence
from reproductions.verdicts.judge import Found, evidence_of

Array = NDArray[np.float64]
SETTLED = 1.5
"""Effective experts at which a collapsed gate counts as left."""

STARTS = frozenset(
    {
        "balance_weight",
        "beta",
        "corpus",
        "cost",
        "expert_noise",
        "expert_start",
        "gate_noise",
        "gate_start",
        "importance_weight",
        "kinds",
        "load_weight",
        "model",
        "num_clusters",
        "vowels",
    }
)
"""Settings that the names of these runs speak of, where they have them."""


def curve(run: NamedRun) -> pd.DataFrame:
    """start.csv of a run: a row per step and seed."""
    return run.finished.table("start")


def at_end(run: NamedRun, column: str) -> Array:
    """A column at the last step, by seed."""
    table = curve(run)
    last = table[table["step"] == table["step"].max()].sort_values("seed")
    values: Array = last[column].to_numpy(float)
    return values


def steps_to_leave(run: NamedRun, least: float, after: int = 0) -> Array:
    """The first step, by seed, from which on there are so many effective experts; NaN if never.

    Args:
        run: of a collapsed gate.
        least: effective experts.
        after: the step at which the gate was collapsed.
    """
    found = []
    for _, own in curve(run)[lambda table: table["step"] > after].groupby("seed"):
        is_left = own["effective_experts"] >= least
        found.append(float(own["step"][is_left].min()) if is_left.any() else np.nan)
    return np.array(found)


def accuracy(run: NamedRun) -> Array:
    """Test accuracy in percent, by seed."""
    return 100 * run.finished.table("metrics")["test_accuracy"].to_numpy(float)


def grouping_with_first(run: NamedRun) -> Array:
    """Adjusted mutual information of each other seed's routing with the first seed's."""
    expert_RT = run.finished.arrays("choices")["expert"]
    return np.array(
        [adjusted_mutual_info_score(expert_RT[0], expert_T) for expert_T in expert_RT[1:]]
    )


def best_reference(run: NamedRun, of: str) -> float:
    """The highest agreement that a standard clustering reached on the gate's inputs."""
    table = run.finished.table("references")
    return float(table[table["of"] == of]["agreement"].max())


_Names = tuple[str, ...]
_Maker = Callable[[Runs, _Names], Evidence | None]

ALIKE, PARTED = 0.999, 0.9
UNSORTED, FOUND = 0.1, 0.9
WORD_CLASSES = 0.05
DOMAIN_KINDS = 0.05
GROUPED_ALIKE = 0.1
FOUR = "domains_four"
DOMAINS = {
    "domains_bible": "Bible",
    "domains_packages": "packages",
    "domains_help": "help",
    "domains_manuals": "manuals",
}
"""Runs on one kind of text, and their names for readers."""
_FREE = {"num_seeds", "first_seed", "seed", "data_seed", "num_threads", "references"}


def evidence(runs: Runs) -> dict[str, Found]:
    """Evidence by claim id; None where a run that the claim needs is not finished."""
    return {
        claim: evidence_of(partial(make, runs, names), names, runs)
        for claim, make, names in _recipes()
    }


def _recipes() -> Iterator[tuple[str, _Maker, _Names]]:
    yield "help-vowel", _accuracies, ("vowel_both", "vowel_both_single")
    pairs = ("vowel_both", "vowel_both_single", "vowel_front", "vowel_front_single")
    yield "help-vowel-less-on-one-pair", _less_on_one_pair, (*pairs, *_BACK)
    yield "help-clusters", _accuracies, ("centre_100", "centre_100_single")
    yield "help-clusters-signal", _less_without_signal, _SIGNAL
    yield "help-two-clusters", _accuracies, ("num_clusters_2", "num_clusters_2_single")
    yield "help-more-clusters", _more_on_eight, _NUMBERS
    yield "help-text", _sentences, ("text_all", "text_all_wide")
    yield "help-text-one-kind", _sentences, ("text_one", "text_one_wide")
    yield "help-text-domains", _perplexities, (FOUR, f"{FOUR}_wide")
    domains = tuple(each for name in (FOUR, *DOMAINS) for each in (name, f"{name}_wide"))
    yield "help-text-domains-more", _more_on_four, domains
    yield "leaves-vowel", _ends("effective_experts", _at_least(SETTLED)), ("vowel_collapsed",)
    yield "leaves-clusters", _ends("effective_experts", _at_least(SETTLED)), ("clusters_collapsed",)
    yield "leaves-text", _has_half(True), ("text_collapsed",)
    yield "stays-text-unbalanced", _has_half(False), ("text_collapsed_unbalanced",)
    yield "balance-text", _ends_order("largest_share"), ("text_published", "text_unbalanced")
    yield "frozen-vowel", _ends_order("loss"), ("vowel_published", "vowel_frozen")
    yield "frozen-clusters", _accuracies, ("clusters_published", "clusters_frozen")
    yield "identical-stay", _ends("similarity", _at_least(ALIKE)), ("vowel_identical",)
    yield "noise-breaks", _ends("similarity", _below(PARTED)), ("vowel_identical_noise",)
    competition = ("vowel_identical_noise", "vowel_identical_noise_blend")
    yield "competition-parts", _ends_order("similarity"), competition
    yield "routing-noise-parts", _ends("similarity", _below(PARTED)), ("clusters_identical",)
    quiet = ("clusters_identical_quiet",)
    yield "no-noise-no-parting", _ends("agreement_cluster", _below(UNSORTED)), quiet
    yield "text-parts", _ends("similarity", _below(PARTED)), ("text_identical",)
    yield "at-random", _maps_of_own, ("clusters_own",)
    same = ("clusters_same_filters", "clusters_same_noise")
    yield "filters-over-noise", _maps_order, same
    yield "text-groups-agree", _text_groups, ("text_published",)
    yield "gate-finds-pairs", _ends("agreement_pair", _at_least(FOUND)), ("vowel_published",)
    own = ("clusters_published",)
    yield "gate-finds-clusters", _ends("agreement_cluster", _at_least(FOUND)), own
    yield "gate-over-clustering", _over_references, own
    text = ("text_published",)
    classes = "agreement_word class"
    yield "gate-finds-word-classes", _ends(classes, _at_least(WORD_CLASSES)), text
    yield "gate-classes-over-kinds", _classes_over_kinds, text
    yield "gate-finds-domains", _ends("agreement_kind of book", _at_least(DOMAIN_KINDS)), (FOUR,)


_BACK = ("vowel_back", "vowel_back_single")
_SIGNAL = ("centre_100", "centre_100_single", "centre_0", "centre_0_single")

_NUMBERS = tuple(f"num_clusters_{num}{model}" for num in (8, 2) for model in ("", "_single"))


def _marks(runs: Runs, names: _Names) -> str | None:
    return why_not_comparable((runs[name] for name in names), _FREE)


def _order(pair: Sequence[Array], runs: Runs, names: _Names) -> OrderEvidence:
    num = min(map(len, pair))
    first, second = (tuple(side[:num].tolist()) for side in pair)
    return OrderEvidence(first, second, names, _marks(runs, names))


def _rate(shown: NDArray[np.bool_], runs: Runs, names: _Names) -> RateEvidence:
    return RateEvidence(int(shown.sum()), len(shown), names, _marks(runs, names))


def _at_least(least: float) -> Callable[[Array], NDArray[np.bool_]]:
    return lambda values: values >= least


def _below(most: float) -> Callable[[Array], NDArray[np.bool_]]:
    return lambda values: values < most


def _ends(column: str, test: Callable[[Array], NDArray[np.bool_]]) -> _Maker:
    return lambda runs, names: _rate(test(at_end(runs[names[0]], column)), runs, names)


def _ends_order(column: str) -> _Maker:
    return lambda runs, names: _order([at_end(runs[name], column) for name in names], runs, names)


def _has_half(wanted: bool) -> _Maker:
    def make(runs: Runs, names: _Names) -> Evidence:
        run = runs[names[0]]
        has = at_end(run, "effective_experts") >= run.study.num_experts / 2
        return _rate(has == wanted, runs, names)

    return make


def _accuracy(run: NamedRun) -> Array:
    return metric(run, "test_accuracy", 100).to_numpy(float)


def _accuracies(runs: Runs, names: _Names) -> Evidence:
    return _order([_accuracy(runs[name]) for name in names], runs, names)


def gain(runs: Runs, name: str) -> Array:
    """Points of test accuracy by which a mixture is better than one expert, by seed."""
    mixture, single = (_accuracy(runs[each]) for each in (name, f"{name}_single"))
    num = min(len(mixture), len(single))
    gained: Array = mixture[:num] - single[:num]
    return gained


def _less_on_one_pair(runs: Runs, names: _Names) -> Evidence:
    of_one = (gain(runs, "vowel_front") + gain(runs, "vowel_back")) / 2
    return _rate(of_one < gain(runs, "vowel_both") / 2, runs, names)


def _less_without_signal(runs: Runs, names: _Names) -> Evidence:
    without, published = gain(runs, "centre_0"), gain(runs, "centre_100")
    num = min(len(without), len(published))
    return _rate(without[:num] < published[:num] / 2, runs, names)


def _more_on_eight(runs: Runs, names: _Names) -> Evidence:
    return _order([gain(runs, f"num_clusters_{num}") for num in (8, 2)], runs, names)


def _sentences(runs: Runs, names: _Names) -> Evidence:
    tables = [runs[name].finished.table("sentences").set_index("pair")["loss"] for name in names]
    both = pd.concat(tables, axis=1, join="inner").to_numpy(float)
    return _order([both[:, 0], both[:, 1]], runs, names)


def _log_perplexity(run: NamedRun) -> Array:
    found: Array = np.log(run.finished.table("metrics")["perplexity"].to_numpy(float))
    return found


def _perplexities(runs: Runs, names: _Names) -> Evidence:
    return _order([_log_perplexity(runs[name]) for name in names], runs, names)


def text_gain(runs: Runs, name: str) -> Array:
    """Nats per test subword by which a mixture is better than a wide layer, by seed."""
    wide, many = (_log_perplexity(runs[each]) for each in (f"{name}_wide", name))
    num = min(len(wide), len(many))
    gained: Array = wide[:num] - many[:num]
    return gained


def _more_on_four(runs: Runs, names: _Names) -> Evidence:
    alone = [text_gain(runs, name) for name in DOMAINS]
    num = min(map(len, alone))
    mean_alone: Array = np.mean([each[:num] for each in alone], axis=0)
    return _order([text_gain(runs, FOUR), mean_alone], runs, names)


def _maps_of_own(runs: Runs, names: _Names) -> Evidence | None:
    shares = agreement_of_maps(runs[names[0]])
    if not len(shares):
        return None
    return ValueEvidence(tuple(shares.tolist()), names, not_comparable=_marks(runs, names))


def _maps_order(runs: Runs, names: _Names) -> Evidence | None:
    shares = [agreement_of_maps(runs[name]) for name in names]
    return _order(shares, runs, names) if all(map(len, shares)) else None


def _text_groups(runs: Runs, names: _Names) -> Evidence:
    return _rate(grouping_with_first(runs[names[0]]) > GROUPED_ALIKE, runs, names)


def _over_references(runs: Runs, names: _Names) -> Evidence:
    run = runs[names[0]]
    ours = at_end(run, "agreement_cluster")
    return _rate(ours > best_reference(run, "cluster"), runs, names)


def _classes_over_kinds(runs: Runs, names: _Names) -> Evidence:
    run = runs[names[0]]
    columns = ("agreement_word class", "agreement_kind of book")
    return _order([at_end(run, column) for column in columns], runs, names)
