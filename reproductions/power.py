"""What the rule would say if the truth were known: `python -m reproductions.power`.

For every claim the chance that it matches if the paper is right, and that it differs if the paper
is wrong by twice the margin, with the numbers of seeds in use; and the error rates of the rule for
each kind of claim. Prints both, and writes reproductions/verdicts/power.json and the tables of
docs/verdicts.md. Trains nothing and reads no run.
"""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from rich.table import Table
from scipy import stats

from experiments.command_line import console, errors_for_people, plain_arguments
from experiments.runner.errors import UserError
from experiments.runner.storage import sha256, write_atomically
from experiments.suite import suite_runs
from reproductions import records
from reproductions.report import STUDIES
from reproductions.study_report import Study
from reproductions.verdicts.claims import ONE_TRAINING, Claim, Published
from reproductions.verdicts.power_text import FILE, is_low
from reproductions.verdicts.rules import rules
from reproductions.verdicts.simulation import Case, chances

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs" / "verdicts.md"
_VERDICTS = Path(__file__).parent / "verdicts"
# Code and data that decide what is found here, beside the claims.
_DECIDING = (
    "judge.py",
    "orders.py",
    "intervals.py",
    "superiority.py",
    "simulation.py",
    "verdict.py",
    "rules.yaml",
    "planning.yaml",
)
_SHAPES = {
    "epoch_ratio": "ratio",
    "epochs_spread": "spread",
    "map_agreement": "maps",
}
_UNKNOWN = {
    "published_count": "It is arithmetic, and has no chance in it.",
    "map_agreement_order": "Its spread over pairs of seeds is not known beforehand.",
    "grouped_alike": "Its spread over pairs of seeds is not known beforehand.",
}
# Forms whose second sample is that of the third run: a gain takes two runs.
_GAINS = ("gains_more", "nats_gained_more")
# Forms that read pairs off one run.
_PAIRED = ("larger", "faster", "near_limit", "gate_share")
_INTERVAL = re.compile(r"interval (\S+) to (\S+); n = (\d+)")
_EDGES = {"matches": 0.0, "differs": 2.0}


def digest() -> str:
    """Checksum of all claims and of all that decides how they are judged."""
    # A claim that changed, or a rule, makes the power that is written down another.
    paths = [study.folder / "claims.yaml" for study in STUDIES.values()]
    paths += [_VERDICTS / name for name in _DECIDING]
    return sha256(b"".join(path.read_bytes() for path in paths))


def power_of_all() -> dict[str, dict[str, Any]]:
    """By the claim's id: sizes, spread and the two chances; or why there are none."""
    found = {}
    for study in STUDIES.values():
        sizes, spreads = sizes_of(study), _published_spreads(study.name)
        for claim in study.claims:
            case = case_of(claim, sizes(claim), spreads.get(claim.id))
            found[claim.id] = {"why": case} if isinstance(case, str) else _power(case)
    return found


def _power(case: Case) -> dict[str, Any]:
    found = {
        word: round(chances(case, distance).get(word, 0.0), 3) for word, distance in _EDGES.items()
    }
    return {"sizes": list(case.sizes), "spread": float(f"{case.spread:.3g}"), **found}


def _num_seeds(config: Any) -> int:
    return int(getattr(config, "num_seeds", None) or getattr(config, "num_rounds", None) or 1)


def _num_languages(config: Any) -> int:
    return len(getattr(config, "languages", ()))


def sizes_of(study: Study) -> Callable[[Claim], dict[str, int]]:
    """By the claim: how many samples each run of its study's suite has for it.

    They are seeds, or rounds where a run has those, or languages where a claim counts those.
    """
    _, runs = suite_runs([f"suite={study.shown_suite or study.name}"])
    seeds, languages = (
        {name: of(config) for name, config in runs.items()} for of in (_num_seeds, _num_languages)
    )
    return lambda claim: languages if claim.sample == "languages" else seeds


def case_of(claim: Claim, sizes: Mapping[str, int], spread: float | None) -> Case | str:
    """The claim as its runs would speak about it, or the reason why that is not known.

    Args:
        claim: of a study.
        sizes: by run.
        spread: of a published interval of ours, if any.
    """
    recipe = claim.evidence
    if recipe is None:
        return f"Not run here: {claim.not_run_here}"
    if recipe.form in _UNKNOWN:
        return _UNKNOWN[recipe.form]
    if claim.sample in ONE_TRAINING:
        return f"It counts {claim.sample} of one training, which is not comparable."
    own = [sizes.get(name, 1) for name in recipe.runs]
    # Gains take a run and its rival on either side, so that the second side begins at the third
    # run.
    both = (own[0], own[2] if recipe.form in _GAINS else own[-1])
    # Rows of several runs are counted together.
    if recipe.form == "rate":
        both = (sum(own), sum(own))
    is_paired = recipe.form in _PAIRED or bool(recipe.options.get("paired"))
    shape = _SHAPES.get(recipe.form, "samples")
    known = _spread(claim, spread)
    needs_spread = claim.kind == "value" and shape != "maps" and shape != "spread"
    if (needs_spread or claim.margin) and known is None and shape not in ("maps", "spread"):
        return "No spread is known."
    return Case(claim, both, known or 1.0, is_paired, shape)


def _spread(claim: Claim, ours: float | None) -> float | None:
    """The larger of the published spread and ours, or what is planned with."""
    published = claim.published.spread if claim.published else None
    # The larger of the two, since an interval that is too narrow promises too much power.
    found = [each for each in (published, ours) if each]
    if found and claim.kind == "value":
        return max(found)
    for entry in yaml.safe_load((_VERDICTS / "planning.yaml").read_text("utf-8")):
        if claim.id.startswith(entry["claims"]):
            return float(entry["spread"])
    return None


def _published_spreads(study: str) -> dict[str, float]:
    """Spread over seeds behind each published interval of ours, of logs for ratios."""
    rows = [row for record in records.read([study]) for row in record.rows]
    matches = {row.id: (_INTERVAL.search(row.interval), "times" in row.ours) for row in rows}
    found = {
        name: _spread_behind(match.groups(), is_ratio)
        for name, (match, is_ratio) in matches.items()
        if match
    }
    return {name: spread for name, spread in found.items() if spread > 0}


def _spread_behind(texts: Sequence[str], is_ratio: bool) -> float:
    """The spread over seeds that an interval of a mean had."""
    low, high, n = (float(text.replace(",", "").replace("−", "-")) for text in texts)
    if n < 2:
        return 0.0
    width = math.log(high / low) if is_ratio else high - low
    # Student's interval, turned round: half of it is t(0.975, n - 1) s / sqrt(n).
    half_in_errors = float(stats.t.ppf(0.975, n - 1))
    # A ratio has two samples, whose spreads are taken to be equal.
    return width / 2 / half_in_errors * math.sqrt(n / (2 if is_ratio else 1))


# Sizes of a case that are still to come.
_NONE = (0, 0)


def _claim(kind: str, **more: Any) -> Claim:
    return Claim("case", "", "", kind, **more)  # type: ignore[arg-type]


def _value() -> Claim:
    return _claim("value", published=Published(10.0), margin=1.0)


def _margin(asks: str, margin: float, margin_is: str) -> Claim:
    return _claim("order", better="lower", asks=asks, margin=margin, margin_is=margin_is)


def error_cases() -> list[tuple[str, Case]]:
    """The kinds of claims, at the numbers of seeds in use."""
    order, value = _claim("order", better="lower"), _claim("value")
    ratio = replace(value, published=Published(2.0), margin=0.5)
    maps = replace(value, published=Published(25, unit="%"), margin=10.0)
    deviation = replace(value, published=Published(100.0), margin=51.0)
    time = _margin("no worse", 1.25, "ratio")
    most = _claim("rate", at_least=0.5)
    all_of_25 = _claim("rate", at_least=0.86, published=Published(1.0))
    # Words of the table, numbers of seeds, and the case but for these.
    kinds: list[tuple[str, Sequence[int], Case]] = [
        ("value, spread of one margin, n = {}", (5, 10, 25, 200), Case(_value(), _NONE)),
        ("ratio of means, spread 20 %, n = {} and {}", (10, 25, 200),
         Case(ratio, _NONE, 0.2, shape="ratio")),
        ("order, all pairs, n = {} and {}", (3, 5, 6, 10, 25, 200), Case(order, _NONE)),
        ("order, all pairs, n = {} and {}, spreads 1 and 3", (5, 25),
         Case(order, _NONE, spreads=(1.0, 3.0))),
        ("order, true pairs, n = {}", (6, 10, 25, 200), Case(order, _NONE, is_paired=True)),
        ("no worse by a margin of one spread, n = {} and {}", (3, 5, 10),
         Case(_margin("no worse", 1.0, "difference"), _NONE)),
        ("equal within a margin of one spread, n = {} and {}", (5, 25, 200),
         Case(_margin("equal", 1.0, "difference"), _NONE)),
        ("better by a margin of one spread, n = {} and {}", (6, 25),
         Case(_margin("better", 1.0, "difference"), _NONE)),
        ("ratio of times at most 1.25, spread 10 %, n = {} and {}", (5, 9),
         Case(time, _NONE, 0.1)),
        ("more than half of seeds, n = {}", (6, 10, 25, 200), Case(most, _NONE)),
        ("at least 86 % of seeds, n = {}", (25, 200), Case(all_of_25, _NONE)),
        ("maps at random, all pairs of n = {}", (10, 25), Case(maps, _NONE, shape="maps")),
        ("a spread, n = {}", (25, 200), Case(deviation, _NONE, shape="spread")),
    ]  # fmt: skip
    return [
        (words.format(n, n), replace(case, sizes=(n, n)))
        for words, sizes, case in kinds
        for n in sizes
    ]


def error_rates(num_draws: int = 1000) -> list[tuple[str, tuple[float, float, float, float]]]:
    """False match, false differ, undecided if right, undecided if wrong; by kind and n."""
    found = []
    for name, case in error_cases():
        # 0 is what the claim says, 1 the edge of what it allows, 2 as far again beyond it.
        right, edge, wrong = (chances(case, distance, num_draws) for distance in (0.0, 1.0, 2.0))
        found.append(
            (
                name,
                (
                    edge.get("matches", 0.0),
                    edge.get("differs", 0.0),
                    right.get("inconclusive", 0.0),
                    wrong.get("inconclusive", 0.0),
                ),
            )
        )
    return found


def error_table(rates: Sequence[tuple[str, tuple[float, ...]]]) -> str:
    """The error rates as markdown, in percent."""
    lines = [
        "| kind, numbers of seeds | false match | false differ | open if right | open if wrong |",
        "| --- | --: | --: | --: | --: |",
    ]
    lines += [
        f"| {name} | {' | '.join(f'{100 * rate:.1f}' for rate in row)} |" for name, row in rates
    ]
    return "\n".join(lines)


def power_table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The claims of low power as markdown."""
    lines = ["| claim | n | matches if right | differs if wrong |", "| --- | --: | --: | --: |"]
    for claim_id, power in found.items():
        if is_low(power):
            n = " and ".join(map(str, dict.fromkeys(power["sizes"])))
            lines.append(f"| {claim_id} | {n} | {power['matches']:.2f} | {power['differs']:.2f} |")
    return "\n".join(lines)


def rules_table() -> str:
    """The rules of margins and shares as markdown, with the number of claims that follow each."""
    names = [claim.rule for study in STUDIES.values() for claim in study.claims]
    lines = ["| rule | says | why | claims |", "| --- | --- | --- | --: |"]
    lines += [
        f"| {rule.name} | {' '.join(rule.says.split())} | {' '.join(rule.why.split())} "
        f"| {names.count(rule.name)} |"
        for rule in rules().values()
    ]
    return "\n".join(lines)


def with_tables(text: str, tables: Mapping[str, str]) -> str:
    """The page with each table between its two marks replaced.

    Raises:
        ValueError: the page has no place for a table.
    """
    for name, table in tables.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(f"docs/verdicts.md has no place for the table of {name}")
        head, _, rest = text.partition(begin)
        text = f"{head}{begin}\n{table}\n{end}{rest.partition(end)[2]}"
    return text


def print_power(found: Mapping[str, Mapping[str, Any]]) -> None:
    """Print a line for every claim."""
    lines = Table("claim", "n", "matches if right", "differs if wrong", box=None)
    for claim_id, power in found.items():
        if "why" in power:
            lines.add_row(claim_id, "", power["why"], "")
        else:
            mark = "  low" if is_low(power) else ""
            n = " and ".join(map(str, dict.fromkeys(power["sizes"])))
            lines.add_row(claim_id, n, f"{power['matches']:.2f}", f"{power['differs']:.2f}{mark}")
    console.print(lines)


def main() -> None:
    """Compute, print and write all."""
    with errors_for_people():
        if unknown := plain_arguments(str(__doc__)):
            raise UserError(f"There is no setting {unknown[0]} here.", "Leave it out.")
        found, rates = power_of_all(), error_rates()
        print_power(found)
        low = sum(map(is_low, found.values()))
        console.print(f"\n{low} of {len(found)} claims have a chance below 0.8")
        if not DOCS.exists():
            # An installed copy has no documents to write.
            return
        content = {"digest": digest(), "claims": found}
        write_atomically(FILE, (json.dumps(content, indent=1) + "\n").encode())
        tables = {
            "rules": rules_table(),
            "error rates": error_table(rates),
            "power": power_table(found),
        }
        text = with_tables(DOCS.read_text("utf-8"), tables)
        write_atomically(DOCS, text.encode())
        console.print(f"written: {FILE.relative_to(ROOT)}, {DOCS.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
