"""Pages to play with: each a file of its own that needs nothing beside itself."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import cast


@dataclass(frozen=True)
class Explorer:
    """One page to play with.

    Attributes:
        file: its name in the site.
        title: of the page and of links to it.
        sentence: what there is to see, in one sentence.
        study: that it belongs to.
        page: "module:function"; the function returns the whole page as text.
    """

    file: str
    title: str
    sentence: str
    study: str
    page: str


EXPLORERS: list[Explorer] = [
    Explorer(
        "playground.html",
        "Vowel playground",
        "The mixture of 1991 trains in your browser, and experts die before your eyes.",
        "vowel",
        "reproductions.explorers.playground:page",
    ),
    Explorer(
        "clusters-player.html",
        "Clusters: cubic beside linear experts",
        "Play two trainings at once: cubic experts settle on clusters, linear ones share them.",
        "clusters",
        "reproductions.explorers.clusters_player:page",
    ),
    Explorer(
        "tokens.html",
        "Token explorer",
        "Which of 2,048 experts answers which word, beside a random gate.",
        "language_model",
        "reproductions.explorers.tokens:page",
    ),
]


def page_of(explorer: Explorer) -> str:
    """An explorer's page; its module is imported only now."""
    module, _, function = explorer.page.partition(":")
    return cast(Callable[[], str], getattr(import_module(module), function))()
