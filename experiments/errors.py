"""The one error that a user of the suite can cause and mend."""


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
