"""Laws of the pages that are made of docstrings: complete, linked, and without outside requests."""

import re
from html import unescape
from html.parser import HTMLParser
from posixpath import dirname, join, normpath

import pytest

import moe
from reproductions import api_pages


class Links(HTMLParser):
    """Addresses that a page links, its ids, and the addresses of what it loads."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.loaded: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what the tag names."""
        own = {name: text or "" for name, text in attrs}
        self.ids |= {own["id"]} if "id" in own else set()
        self.links += [own["href"]] if tag == "a" and "href" in own else []
        self.loaded += [own[name] for name in ("src", "srcset") if name in own]
        assert tag != "script" or not own, "a script that is loaded"
        assert tag != "link", "a style that is loaded"


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return api_pages.pages()


def test_every_public_name_of_the_layer_stands_on_its_page(pages: dict[str, str]) -> None:
    ids = Links(pages["api/moe.html"]).ids
    classes = {name for name in moe.__all__ if isinstance(getattr(moe, name), type)}
    assert classes <= ids
    assert "results" in Links(pages["api/reproductions.html"]).ids


def test_every_module_of_the_layer_is_listed_but_kernels(pages: dict[str, str]) -> None:
    listed = Links(pages[api_pages.INDEX]).links
    assert {"api/moe/layer.html", "api/moe/gates/noisy_top_k.html"} <= set(listed)
    assert not any("triton" in address for address in listed)
    assert set(listed) - {"index.html"} == set(pages) - {api_pages.INDEX}


def test_links_arrive(pages: dict[str, str]) -> None:
    found = {name: Links(page) for name, page in pages.items()}
    for name, own in found.items():
        for address in own.links:
            file, _, anchor = address.partition("#")
            target = normpath(join(dirname(name), file)) if file else name
            assert target in pages or target == "index.html", (name, address)
            assert not anchor or anchor in found[target].ids, (name, address)


def test_nothing_is_asked_of_the_network(pages: dict[str, str]) -> None:
    for name, page in pages.items():
        # Jinja writes apostrophes of a value as numbers.
        assert "default-src 'none'" in unescape(page), name
        assert not [each for each in Links(page).loaded if not each.startswith("data:")], name
        assert not re.search(r"@import|url\((?![\"']?(data:|#))", page), name


def test_pages_know_a_dark_ground(pages: dict[str, str]) -> None:
    assert all("prefers-color-scheme" in page for page in pages.values())


def test_no_page_tells_of_the_machine_that_made_it(pages: dict[str, str]) -> None:
    assert not [name for name, page in pages.items() if re.search(r"0x[0-9a-f]{8}|/tmp/", page)]


def test_each_command_of_an_example_has_a_line_of_its_own(pages: dict[str, str]) -> None:
    page = pages["api/reproductions/plot.html"]
    assert len(re.findall(r"python -m .*<br />", page)) == 2
