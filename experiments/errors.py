"""The one error that a user of the suite can cause and mend."""

from unicodedata import category


class UserError(Exception):
    """A problem outside the program, with the step that mends it.

    Both ``problem`` and ``fix`` are whole sentences; the command line prints them
    in place of a traceback and exits with code 1.
    """

    def __init__(self, problem: str, fix: str) -> None:
        # Passing both on to Exception keeps the error picklable, which job launchers need.
        super().__init__(problem, fix)
        self.problem = problem
        self.fix = fix

    def __str__(self) -> str:
        """Both sentences on one line."""
        return f"{self.problem} {self.fix}"


def shown(text: str) -> str:
    """The text with what would act in a terminal, or cannot be seen, written out as its code.

    These are control characters but for tabs and line breaks, those that turn the direction of
    writing, and the bytes of a name that are not UTF-8.
    """
    return "".join(
        character.encode("unicode_escape").decode() if _acts(character) else character
        for character in text
    )


def _acts(character: str) -> bool:
    if character in "\n\t":
        return False
    turns = "\u202a" <= character <= "\u202e" or "\u2066" <= character <= "\u2069"
    return turns or category(character) in ("Cc", "Cs", "Zl", "Zp")
