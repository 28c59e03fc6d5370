"""What README promises: its code runs, its links lead somewhere, commands wrote its numbers."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from reproductions import filled, records
from reproductions.filled import Saying, before_and_after, fill_in, first_rule, told, untold
from reproductions.report import STUDIES
from reproductions.verdicts.judge import RULE

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
RECORDS = records.read(list(STUDIES))
VOWEL = RECORDS[0]
PAGES = ["README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in ROOT.glob("docs/*.md"))]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def by_hand() -> str:
    """README without what a command writes, without code, and without targets of links."""
    text = re.sub(r"<!-- (.+): begin -->.*?<!-- \1: end -->", "", README, flags=re.DOTALL)
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"\]\([^)]*\)|`[^`]*`", "", text)


@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.split("\n")[0])
def test_the_code_of_the_readme_runs(code: str) -> None:
    exec(compile(code, "README.md", "exec"), {})


def test_there_is_code_that_trains_the_layer() -> None:
    assert any("from moe import" in code and "backward()" in code for code in blocks("python"))


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text("utf-8"))
    local = [target for target in targets if not target.startswith("http")]
    assert [target for target in local if not (path.parent / target).exists()] == []


def test_all_three_papers_are_linked() -> None:
    for address in ("arxiv.org/abs/1701.06538", "arxiv.org/abs/2208.02813", "neco.1991.3.1.79"):
        assert f"{address})" in README


def test_what_a_command_writes_is_not_stale() -> None:
    texts = {name: (ROOT / name).read_text("utf-8") for name in filled.WRITTEN_IN}
    assert fill_in(texts, RECORDS) == texts, "run make judge, and look at what it changes"


def test_no_number_of_a_result_or_of_speed_is_written_by_hand() -> None:
    # The version of Python is neither.
    text = by_hand().replace("Python 3.11", "")
    assert re.findall(r"\d[\d,.]*\d?(?: %| min| s\b| ms| times)|\d+\.\d+", text) == []


def test_every_target_that_the_readme_names_exists() -> None:
    named = set(re.findall(r"\bmake ([a-z][a-z-]+)(?=[`\s])", README)) - {"alone"}
    assert named - set(filled.minutes()) == set()


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) < 185
    sentences = [each.split() for each in re.split(r"(?<=[.:;!?])\s+", prose()) if each.split()]
    assert sum(map(len, sentences)) / len(sentences) < 18


def prose() -> str:
    """Sentences alone: no code, no tables, no comments."""
    text = re.sub(r"^```.*?^```", "", README, flags=re.MULTILINE | re.DOTALL)
    return "\n".join(
        line for line in text.splitlines() if not line.startswith(("|", "<", "#", "!"))
    )


# Sentences about results


def test_what_is_published_bears_out_every_sentence() -> None:
    assert untold(RECORDS) == [], "write these sentences anew in reproductions/came_out.yaml"


def test_a_sentence_goes_when_its_verdict_or_its_number_does() -> None:
    saying = Saying("{epochs-4-experts:number}!", {"half-the-epochs-4-6": "differs"})
    first = VOWEL.rows[0]
    record = replace(VOWEL, rows=(replace(first, ours="1,209.4 epochs"), *VOWEL.rows[1:]))
    whole = Saying(saying.text)
    assert told(whole, record) == "1,209!"
    assert told(replace(whole, text="{epochs-4-experts}"), record) == "1,209.4 epochs"
    assert told(whole, replace(record, rows=(replace(first, ours="–"),))) is None
    assert told(whole, replace(record, rows=())) is None
    place = next(n for n, row in enumerate(VOWEL.rows) if row.id == "half-the-epochs-4-6")
    for word, is_told in (("differs", True), ("matches", False)):
        rows = list(record.rows)
        rows[place] = replace(rows[place], word=word)
        assert (told(saying, replace(record, rows=tuple(rows))) is not None) == is_told


# Verdicts before and after


def test_the_verdicts_of_the_first_rule_are_kept() -> None:
    kept = first_rule()
    assert set(kept) == {"vowel", "clusters", "scaling", "translation", "questions"}
    for record in RECORDS:
        if record.rule == 1:
            assert kept[record.study] == {row.id: row.word for row in record.rows}


def test_a_claim_that_changed_is_shown_before_and_after() -> None:
    earlier = first_rule()["vowel"]
    first, second, *rest = (replace(VOWEL.rows[0], id=id, word=w) for id, w in earlier.items())
    other = "matches" if first.word != "matches" else "differs"
    new = replace(first, id="a-new-claim")
    rows = (replace(first, word=other), *rest, new)
    text = before_and_after([replace(VOWEL, rule=RULE, rows=rows)])
    assert f"| {first.id} | {first.word} | **{other}** |" in text
    assert f"| {second.id} | {second.word} | no longer claimed |" in text
    assert f"| a-new-claim | new | {new.word} |" in text
    assert ", 1 changed; 1 are gone and 1 new." in text
    assert before_and_after([replace(VOWEL, rule=1)]) == "Not judged again yet: vowel."
