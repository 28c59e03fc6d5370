"""What a study's page promises: complete, self-contained, safe, readable without JavaScript."""

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure as Drawing

from reproductions.drawing import COLOURS, INK, figure_style, overlay_of, to_png, to_svg, view_box
from reproductions.page import OWN_RUNS, Surroundings, render_page, write_page
from reproductions.study_report import Figure, Frame, Silence, StudyReport
from reproductions.verdicts.claims import Claim, Published
from reproductions.verdicts.evidence import Evidence, OrderEvidence, RateEvidence, ValueEvidence
from reproductions.verdicts.judge import Judged, judge
from reproductions.vowel.figures import interval_overview

HOSTILE = '<script>alert("1")</script> & <b>"quoted"</b>'
MANIFEST: dict[str, object] = {
    "digest": "0123456789abcdef",
    "git_commit": "3f2a9c1",
    "git_dirty": True,
    "command": "python -m experiments.run study=vowel",
    "seeds": [0, 1, 2, 3],
    "versions": {"python": "3.11.9", "torch": "2.13.0"},
    "cpu": "A processor",
    "gpu": None,
    "num_threads": 2,
    "started_utc": "2026-11-04T10:00:00+00:00",
    "wall_seconds": 754.2,
    "peak_memory_bytes": 300 * 2**20,
    "data_checksum": "ab" * 32,
    "config": {"learning_rate": 0.1},
}


class Page(HTMLParser):
    """All start tags of a page with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def named(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]

    def of_class(self, name: str) -> list[dict[str, str | None]]:
        return [found for _, found in self.tags if name in (found.get("class") or "").split()]


def draw() -> tuple[str, tuple[Frame, ...]]:
    """A base picture and three frames, two of them alike."""
    with figure_style():
        base = Drawing()
        axes = base.add_subplot()
        axes.scatter([0, 1, 2], [1, 3, 2], color=COLOURS["blue"])
        axes.set(xlabel="epoch", title="$x^2$ & <more>")
        frames = []
        for step in (1, 2, 2):
            overlay, (copy,) = overlay_of(base)
            copy.plot([0, 2], [step, step], color=INK)
            frames.append(Frame(f"epoch {step}", to_svg(overlay, label=f"epoch {step}")))
        return to_svg(base, label="base"), tuple(frames)


def judged_claims() -> tuple[Judged, ...]:
    claims: list[tuple[Claim, Evidence | None]] = [
        (
            Claim("epochs", HOSTILE, "Table 1", "value", Published(100, 3, "sd", 25), 10, "Ten."),
            ValueEvidence((99, 100, 101), ("0123456789abcdef",)),
        ),
        (
            Claim("slower", "Slower.", "Table 2", "value", Published(100), 10, "Ten."),
            ValueEvidence((190, 200, 200), (), num_censored=2),
        ),
        (Claim("order", "A", "p. 1", "order", better="lower"), OrderEvidence((1, 2), (2, 3), ())),
        (Claim("rate", "B", "p. 2", "rate", at_least=0.5), RateEvidence(9, 9, (), "Too small.")),
        (Claim("shape", "C", "p. 3", "shape", at_least=0.5), None),
    ]
    return tuple(
        (claim, evidence, judge(claim, evidence) if evidence else None)
        for claim, evidence in claims
    )


@pytest.fixture(scope="module")
def report() -> StudyReport:
    base, frames = draw()
    overview = to_svg(interval_overview(judged_claims()), label="overview")
    return StudyReport(
        study="vowel",
        title="Vowels",
        summary="All in one paragraph.",
        citation="The authors, 1991",
        citation_url="https://doi.org/10.0000/example",
        tables=(("Published beside ours", pd.DataFrame({"system": ["4 experts"], "epochs": [7]})),),
        judged=judged_claims(),
        figures=(
            Figure(
                "moving", "Moving", "It moves.", HOSTILE, base, frames, ("epochs",), (MANIFEST,)
            ),
            Figure(
                "still", "Still", "It stays.", "A still picture.", overview, (), (), (MANIFEST,)
            ),
        ),
        notes=(Silence("Not said.", "We chose.", "study.key", "Because."),),
        command="python -m reproductions.vowel",
    )


@pytest.fixture(scope="module")
def html(report: StudyReport) -> str:
    return render_page(report)


def test_the_same_inputs_give_the_same_bytes(
    report: StudyReport, html: str, tmp_path: Path
) -> None:
    write_page(report, tmp_path / "new" / "vowel.html")
    written = (tmp_path / "new" / "vowel.html").read_text("utf-8")
    assert written == render_page(report, Surroundings(whose=OWN_RUNS))
    # Whoever trains at home must see that the numbers are theirs.
    assert OWN_RUNS.split(":")[0] + ":" in written
    assert render_page(report) == html
    assert draw() == draw()


def test_the_page_makes_no_request(html: str) -> None:
    for tag, attributes in Page(html).tags:
        for name in ("src", "href", "action", "srcset", "poster", "data", "xlink:href"):
            target = attributes.get(name) or ""
            is_citation = tag == "a" and target == "https://doi.org/10.0000/example"
            assert target.startswith(("#", "data:")) or not target or is_citation
    assert "@import" not in html
    assert set(re.findall(r"url\((.)", html)) == {"#"}


def test_the_policy_forbids_requests_and_allows_the_one_script(html: str) -> None:
    policies = [found for found in Page(html).named("meta") if "http-equiv" in found]
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = policies[0]["content"] or ""
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}';" in policy


def test_texts_of_claims_and_manifests_are_never_markup(report: StudyReport, html: str) -> None:
    assert "<script>alert" not in html
    assert "<b>" not in html
    assert "&lt;script&gt;alert" in html
    manifest = {**MANIFEST, "command": HOSTILE, "config": {"note": HOSTILE}}
    figures = (replace(report.figures[1], provenance=(manifest,)),)
    assert "<b>" not in render_page(replace(report, figures=figures, title=HOSTILE))


def test_a_citation_link_that_is_no_web_address_is_not_linked(report: StudyReport) -> None:
    page = render_page(replace(report, citation_url="javascript:alert(1)"))
    assert "javascript:" not in page
    assert report.citation in page


def test_every_picture_has_its_text_alternative(report: StudyReport, html: str) -> None:
    stacks = Page(html).of_class("stack")
    assert [stack["aria-label"] for stack in stacks] == [figure.alt for figure in report.figures]
    assert all(stack["role"] == "img" for stack in stacks)


def test_without_javascript_the_last_frame_is_shown_and_no_dead_slider(html: str) -> None:
    page = Page(html)
    assert ["hidden" in frame for frame in page.of_class("frame")] == [True, True, False]
    assert all("hidden" in holder for holder in page.of_class("range"))
    assert ">epoch 2</output>" in html


def test_a_slider_has_a_label_and_a_stop_for_every_frame(html: str) -> None:
    page = Page(html)
    (slider,) = page.named("input")
    assert (slider["min"], slider["max"], slider["value"]) == ("0", "2", "2")
    assert slider["id"] in [label.get("for") for label in page.named("label")]


def test_ids_occur_once_and_links_arrive(html: str) -> None:
    page = Page(html)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [found["href"] or "" for _, found in page.tags if "href" in found]
    targets = [link[1:] for link in links if link.startswith("#")]
    targets += re.findall(r"url\(#([^)]+)\)", html)
    assert set(targets) <= set(ids)


@pytest.mark.parametrize(
    "fact",
    [
        "3f2a9c1 (with uncommitted changes)",
        "python -m experiments.run study=vowel",
        "0123456789abcdef",
        "0 to 3",
        "python 3.11.9, torch 2.13.0",
        "A processor",
        "12 min 34 s",
        "300 MiB",
        "ab" * 32,
        "2026-11-04T10:00:00+00:00",
        "learning_rate",
    ],
)
def test_every_figure_says_where_it_comes_from(html: str, fact: str) -> None:
    assert html.count(f"{fact}") >= 2


def test_every_verdict_is_a_word_with_a_symbol(html: str) -> None:
    table = html[html.index('<table class="claims"') :]
    words = re.findall(r'class="verdict" data-word="([^"]+)"><span[^>]*>(.)</span> ([^<]+)', table)
    assert [word for word, _, _ in words] == [
        "matches",
        "differs",
        "inconclusive",
        "not comparable",
        "not run",
    ]
    assert all(word == shown for word, _, shown in words)
    assert len({symbol for _, symbol, _ in words}) == 5


def test_a_censored_estimate_is_marked_as_a_bound(html: str) -> None:
    assert '<span class="ours">≥ 196.7</span>' in html
    assert "interval at least" in html


def test_tables_have_captions_and_scopes(html: str) -> None:
    page = Page(html)
    assert len(page.named("table")) == len(page.named("caption")) == 2
    assert all(cell.get("scope") in ("row", "col") for cell in page.named("th"))


def test_the_margin_and_its_reason_are_folded_into_the_row(html: str) -> None:
    assert "<details><summary>Margin</summary><p>±10. Ten.</p></details>" in html


def test_a_report_of_claims_alone_is_a_page(report: StudyReport) -> None:
    page = render_page(replace(report, tables=(), figures=(), notes=()))
    assert 'id="claim-epochs"' in page
    assert 'href="#figures"' not in page


def test_a_claim_without_a_run_says_so(html: str) -> None:
    assert "not run" in html[html.index('id="claim-shape"') :]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"alt": " "}, "text alternative"),
        ({"base_svg": None, "frames": ()}, "no picture"),
        ({"claim_ids": ("absent",)}, "absent"),
        (
            {"base_svg": '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"/>'},
            "different sizes",
        ),
    ],
)
def test_a_figure_that_cannot_be_shown_is_refused(
    report: StudyReport, change: dict[str, object], complaint: str
) -> None:
    broken = replace(report.figures[0], **change)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=complaint):
        render_page(replace(report, figures=(broken,)))


def _axes_boxes(svg: str) -> Iterator[tuple[str, ...]]:
    for element in ElementTree.fromstring(svg).iter():
        if element.tag.endswith("clipPath"):
            (box,) = element
            yield tuple(box.attrib[key] for key in ("x", "y", "width", "height"))


def test_a_frame_lies_exactly_over_its_base() -> None:
    base, frames = draw()
    assert all(view_box(frame.svg) == view_box(base) for frame in frames)
    assert all(set(_axes_boxes(frame.svg)) == set(_axes_boxes(base)) for frame in frames)


def test_pictures_take_ink_font_and_size_from_the_page() -> None:
    base, _ = draw()
    root = ElementTree.fromstring(base)
    assert INK not in base
    assert "currentColor" in base
    assert not {"width", "height"} & set(root.attrib)
    assert (root.get("role"), root.get("aria-label")) == ("img", "base")
    assert "<style" not in base
    assert not [
        text for text in root.iter() if text.text == "epoch" and "DejaVu" in str(text.attrib)
    ]


def test_pictures_ignore_a_personal_matplotlib_style() -> None:
    import matplotlib as mpl

    plain = draw()
    with mpl.rc_context({"axes.facecolor": "red", "font.size": 30}):
        assert draw() == plain


def test_a_png_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        to_png(interval_overview(judged_claims()), tmp_path / "new" / f"{name}.png")
    assert (tmp_path / "new/one.png").read_bytes() == (tmp_path / "new/two.png").read_bytes()


def test_an_overview_needs_a_judged_value() -> None:
    with pytest.raises(ValueError, match="no judged value claim"):
        interval_overview(judged_claims()[2:])


def _luminance(colour: str) -> float:
    channels = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def _contrast(first: str, second: str) -> float:
    low, high = sorted((_luminance(first), _luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_text_stands_out_in_both_modes(html: str, mode: str) -> None:
    blocks = re.findall(r":root \{(.*?)\}", html, re.DOTALL)
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", blocks[mode == "dark"]))
    for text in ("ink", "soft", "link"):
        for ground in ("paper", "raised"):
            assert _contrast(colours[text], colours[ground]) >= 4.5
    assert _contrast(colours["ink"], colours["band"]) >= 4.5
