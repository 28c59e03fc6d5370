"""Laws of the site: complete from what is published, and every page is whole on its own."""

import re
import shutil
import subprocess
from contextlib import ExitStack
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from experiments.runner.errors import UserError
from reproductions import site
from reproductions.explorers import EXPLORERS
from reproductions.records import read, still_caption
from reproductions.report import STUDIES
from reproductions.site import write_site

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


class Tags(HTMLParser):
    """All start tags of a page."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the tag."""
        self.found.append((tag, dict(attrs)))

    def ids(self) -> list[str]:
        """Every id of the page."""
        return [own["id"] or "" for _, own in self.found if "id" in own]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("site")
    found = write_site(folder)
    # Pages of docstrings, in a folder of their own, have their laws in test_api_pages.py.
    return {page.name: page for page in found if page.parent == folder}


def test_every_study_group_of_claims_and_explorer_has_a_page(pages: dict[str, Path]) -> None:
    records = read(list(STUDIES))
    wanted = {"index.html"} | {f"{record.study}.html" for record in records}
    groups = {
        f"{record.study}-{group.prefix.strip('-')}.html"
        for record in records
        for group in STUDIES[record.study].groups
        if any(row.id.startswith(group.prefix) for row in record.rows)
    }
    handbook = {file for file, _, _ in site.HANDBOOK}
    assert set(pages) == wanted | groups | handbook | {each.file for each in EXPLORERS}


def test_the_front_page_leads_to_every_setting(pages: dict[str, Path]) -> None:
    assert "settings.html" in {own.get("href") for _, own in Tags(pages["index.html"]).found}
    ids = Tags(pages["settings.html"]).ids()
    assert {"vowel", "clusters", "language_model", "translation"} <= set(ids)


def test_every_claim_stands_on_the_page_of_a_group_that_its_study_links(
    pages: dict[str, Path],
) -> None:
    for record in read(list(STUDIES)):
        linked = {own.get("href") for tag, own in Tags(pages[f"{record.study}.html"]).found}
        groups = [name for name in pages if name.startswith(f"{record.study}-") and name in linked]
        ids = {name for group in groups for name in Tags(pages[group]).ids()}
        today = {claim.id for claim in STUDIES[record.study].claims}
        # Claims that were taken back since have no group any more.
        assert {f"claim-{row.id}" for row in record.rows if row.id in today} <= ids


def test_tables_of_records_are_those_that_were_published(pages: dict[str, Path]) -> None:
    for record in read(list(STUDIES)):
        page = pages[f"{record.study}.html"].read_text("utf-8")
        assert page.count('<table class="data">') == len(record.tables)


def test_cells_lose_the_backslashes_of_markdown() -> None:
    assert site._cells(r"| \[a\]/\[A\] | 1 \| 2 |") == ["[a]/[A]", "1 | 2"]


def test_every_figure_has_words_for_those_who_do_not_see_it(pages: dict[str, Path]) -> None:
    for name, page in pages.items():
        tags = Tags(page).found
        assert all("alt" in own for tag, own in tags if tag == "img"), name
        # The words stand at the box around a picture, or at the picture.
        figures, labels = (
            page.read_text("utf-8").count(text) for text in ("<figure", 'role="img" aria-label="')
        )
        assert labels >= figures, name
        assert page.read_text("utf-8").count("<figcaption") >= figures, name
        assert not any(own.get("aria-label") == "" for _, own in tags), name


def test_the_front_page_answers_in_two_sentences_and_has_no_empty_screen(
    pages: dict[str, Path],
) -> None:
    page = pages["index.html"].read_text("utf-8")
    answers = re.findall(r'<p class="answer">(.+?)</p>', page, re.DOTALL)
    assert len(answers) == 5
    # A sentence ends in a full stop and a space, or the text does.
    assert all(len(re.findall(r"\.(?:\s|$)", text)) == 2 for text in answers)
    assert "of 0 claims" not in page
    assert "Nothing was run yet" not in page
    assert page.count("<figure") == 6


def test_a_study_whose_stored_runs_do_not_fit_keeps_its_page_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise UserError("Stored runs have other settings.", "Train the runs.")

    monkeypatch.setattr(site, "is_stored", lambda *_: True)
    monkeypatch.setattr(site, "rebuilding", refuse)
    assert site._whole("vowel", site.ROOT, ExitStack()) is None
    assert "vowel: its page shows the published record" in capsys.readouterr().out.replace(
        "\n", " "
    )


def test_links_within_the_site_arrive(pages: dict[str, Path]) -> None:
    tags = {name: Tags(page) for name, page in pages.items()}
    for name, own in tags.items():
        for tag, attributes in own.found:
            address = attributes.get("href") or ""
            if tag != "a" or address.startswith(("https://", "api/")):
                continue
            file, _, anchor = address.partition("#")
            assert (file or name) in pages, (name, address)
            assert not anchor or anchor in tags[file or name].ids(), (name, address)


def test_pages_ask_nothing_of_the_network(pages: dict[str, Path]) -> None:
    for page in pages.values():
        for tag, attributes in Tags(page).found:
            for name in ("src", "srcset", "poster", "action", "data"):
                target = attributes.get(name) or ""
                assert not target or target.startswith("data:"), (page.name, tag, target[:60])
        assert not re.search(r"@import|url\([^#)]", page.read_text("utf-8")), page.name


def test_ids_occur_once(pages: dict[str, Path]) -> None:
    for page in pages.values():
        ids = Tags(page).ids()
        assert len(ids) == len(set(ids)), page.name


def test_headings_leave_out_no_level(pages: dict[str, Path]) -> None:
    for page in pages.values():
        levels = [int(tag[1]) for tag, _ in Tags(page).found if re.fullmatch("h[1-6]", tag)]
        assert levels.count(1) == 1
        assert all(low <= high + 1 for high, low in pairwise(levels)), page


def test_the_published_claims_are_all_there(pages: dict[str, Path]) -> None:
    for record in read(list(STUDIES)):
        ids = Tags(pages[f"{record.study}.html"]).ids()
        assert {f"claim-{row.id}" for row in record.rows} <= set(ids)


def test_a_missing_picture_names_the_fix(tmp_path: Path) -> None:
    record = read(["clusters"])[0]
    with pytest.raises(UserError, match="git checkout"):
        list(site._picture(record, tmp_path))


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(UserError, match="out=FOLDER"):
        site._folder_of(["folder=x"])
    assert site._folder_of(["out=here"]) == Path("here")
    assert site._folder_of([]) == Path("site")


# Within a frame of that size: windows of a headless browser are wider than a phone.
_FRAME = """<!DOCTYPE html><title>-</title>
<iframe style="width:{width}px;height:{height}px"></iframe>
<script>
const frame = document.querySelector("iframe");
frame.onload = () => {{
  const page = frame.contentDocument;
  document.title = {measure};
}};
frame.src = "{page}";
</script>"""


def measured(page: Path, tmp_path: Path, width: int, height: int, measure: str) -> int:
    """What a script finds of a page that is shown in a frame of that size."""
    assert CHROMIUM is not None
    frame = tmp_path / "frame.html"
    frame.write_text(
        _FRAME.format(width=width, height=height, measure=measure, page=page.as_uri()), "utf-8"
    )
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    result = subprocess.run(
        [*command, "--allow-file-access-from-files", "--virtual-time-budget=5000", frame.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = re.search(r"<title>(\d+)</title>", result.stdout)
    assert found is not None
    return int(found[1])


_TOP = "Math.round(page.querySelector('figure').getBoundingClientRect().top)"
_SHOWN = [*(f"{study}.html" for study in STUDIES), "index.html"]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize("name", _SHOWN)
@pytest.mark.parametrize(("width", "height", "most"), [(1200, 800, 300), (390, 844, 844)])
def test_the_first_figure_is_on_the_first_screen(
    pages: dict[str, Path], tmp_path: Path, name: str, width: int, height: int, most: int
) -> None:
    assert measured(pages[name], tmp_path, width, height, _TOP) <= most


_SLIDER = "Math.round(page.querySelector('input[type=range]').getBoundingClientRect().width)"


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize("name", ["vowel.html", "clusters.html", "clusters-player.html"])
def test_a_finger_can_hold_the_slider_on_a_phone(
    pages: dict[str, Path], tmp_path: Path, name: str
) -> None:
    assert measured(pages[name], tmp_path, 390, 844, _SLIDER) >= 150


def test_no_page_shows_marks_of_another_format(pages: dict[str, Path]) -> None:
    for name, page in pages.items():
        text = re.sub(r"<(script|style)\b.*?</\1>", "", page.read_text("utf-8"), flags=re.DOTALL)
        assert "`" not in re.sub(r"<[^>]+>", "", text), name


def test_a_picture_that_does_not_move_speaks_of_no_slider(monkeypatch: pytest.MonkeyPatch) -> None:
    assert still_caption("A line. Move the slider to see. The end.") == "A line. The end."
    monkeypatch.setattr(site, "is_stored", lambda *_: False)
    for record in read(["vowel", "clusters"]):
        page = site._pages_of(record, site.ROOT)[f"{record.study}.html"]
        assert "slider to" not in re.sub(r"<script.*", "", page)


# All that is folded is shown too.
_WIDTH = """(page.querySelectorAll("details").forEach((each) => { each.open = true; }),
    page.documentElement.scrollWidth)"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize(
    "name", ["index.html", "vowel.html", "vowel-epochs.html", "tokens.html", "settings.html"]
)
def test_a_phone_need_not_scroll_sideways(
    pages: dict[str, Path], tmp_path: Path, name: str
) -> None:
    assert measured(pages[name], tmp_path, 390, 844, _WIDTH) <= 390
