"""The one error that a user of the suite can cause and mend."""

import errno
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


# Words by which torch, NumPy and the system say so; each has classes of its own for it, or none.
_OUT_OF_MEMORY = (
    "out of memory",
    "allocate memory",
    "unable to allocate",
    "not enough memory",
    "bad_alloc",
    "size calculation overflowed",
    "integer multiplication overflow",
)


def memory_error(error: BaseException) -> UserError | None:
    """The error for people where ``error`` says that memory ran out; None where it does not."""
    words = str(error).partition("\n")[0].strip()
    is_told = isinstance(error, RuntimeError) and any(
        item in words.lower() for item in _OUT_OF_MEMORY
    )
    is_refused = isinstance(error, OSError) and error.errno == errno.ENOMEM
    if not (is_told or is_refused or isinstance(error, MemoryError)):
        return None
    return UserError(
        f"There is not enough memory{f': {words}' if words else ''}.".replace("..", "."),
        "Take smaller sizes or fewer seeds (--help lists the settings), run fewer at once "
        "(num_workers=1), or take a machine with more memory. What is finished is kept.",
    )
