"""The console command of an installed copy: `moe-reproductions VERB [settings]`.

Every verb does what `python -m MODULE` does, with the same settings and flags.
"""

import sys
from importlib import import_module

VERBS = {
    "run": ("experiments.run", "train one model or one batch of seeds"),
    "suite": ("experiments.suite", "train all runs behind a published table or figure"),
    "report": ("reproductions.report", "draw the report of finished runs"),
    "plot": ("reproductions.plot", "draw any runs, and print their measures"),
    "front": ("reproductions.front", "draw the front page of all studies"),
    "site": ("reproductions.site", "write the whole site from what is published"),
    "judge": ("reproductions.rejudge", "judge again what is published, from stored runs"),
    "power": ("reproductions.power", "print the chances of claims to be decided"),
    "translate": ("experiments.translation.translate", "translate lines of text"),
}
_WIDTH = max(map(len, VERBS))
USAGE = "\n".join(
    [
        "usage: moe-reproductions VERB [key=value ...]",
        "",
        *(f"  {verb:<{_WIDTH}}  {about}" for verb, (_, about) in VERBS.items()),
        "",
        "moe-reproductions VERB --help says what a verb takes.",
        "moe-reproductions run study=vowel study.num_seeds=3 is a first try.",
    ]
)


def main() -> None:
    """Hand the rest of the command line to the verb's module."""
    verb, *rest = sys.argv[1:] or ["--help"]
    if verb in {"-h", "--help"}:
        print(USAGE)
    elif verb == "--version":
        print(import_module("moe").__version__)
    elif verb not in VERBS:
        sys.exit(f"error: There is no verb {verb}.\nfix: Choose from {', '.join(VERBS)}.")
    else:
        sys.argv = [f"{sys.argv[0]} {verb}", *rest]
        import_module(VERBS[verb][0]).main()


if __name__ == "__main__":
    main()
