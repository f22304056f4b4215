"""What is done about rows that cannot be used."""

from __future__ import annotations

from collections.abc import Callable

from gated.data.findings import Finding, RowError
from gated.errors import DataError, option

Bad = Callable[[DataError], None]
"""Called with the error of each row that cannot be used; may raise it or leave the row out."""
LEFT_OUT = "row"
"""`Finding.kind` of rows that were left out."""


def refuse(error: DataError) -> None:
    """Raise the error of a row that cannot be used."""
    raise error


class BadRows:
    """Collects rows that cannot be used as findings or, without `skip`, raises the first error.

    Args:
        skip: whether such rows are left out.
        what: what a row is called in messages.
    """

    def __init__(self, *, skip: bool, what: str = "row") -> None:
        self.skip, self.what = skip, what
        self.findings: list[Finding] = []
        """One for each row left out, and what else readers found in the file."""
        self.errors: list[RowError] = []
        """Why each row was left out."""

    @property
    def summary(self) -> str:
        """How many rows were left out and why the first, to end an error message; else empty."""
        if not self.errors:
            return ""
        return f" {len(self.errors)} left out, the first: {self.errors[0]}"

    def __call__(self, error: DataError) -> None:
        """Leave out the row that `error` is about, or raise the error."""
        if not self.skip:
            raise DataError(
                f"{error} ({option('skip_bad')} leaves such {self.what}s out.)"
            ) from error
        self.errors.append(error if isinstance(error, RowError) else RowError(str(error)))
        what = f"unusable {self.what}"
        self.findings.append(
            Finding(kind=LEFT_OUT, count=1, what=what, action="left out", example=str(error))
        )
