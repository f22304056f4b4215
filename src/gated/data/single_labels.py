"""Labels of one example only, which cannot be both learned and scored."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from gated.data.findings import Finding
from gated.errors import DataError


def single_labels(labels: Iterable[str], source: object, *, own_test: bool) -> tuple[Finding, ...]:
    """Find labels of one example only.

    Args:
        labels: the label of each example.
        source: where they are from, for the message.
        own_test: whether the test data are a file of their own.

    Raises:
        DataError: all labels are such, and a test part is held back from these examples.

    >>> print(*single_labels("aab", "list.csv", own_test=False))
    labels of a single example (1, first: b); in one part alone, not both trained on and scored.
    """
    counts = Counter(labels)
    single = sorted(label for label, count in counts.items() if count == 1)
    if len(single) == len(counts) > 1 and not own_test:
        raise DataError(
            f"Each of the {len(single):,} labels in {source} has a single example, the first "
            f"{single[0]!r}. An example is trained on or scored, not both, so no label that is "
            "learned could be scored. Give two examples of a label at least, better ten or more."
        )
    if not single:
        return ()
    return (
        Finding(
            kind="single",
            count=len(single),
            what="labels of a single example",
            action="in one part alone, not both trained on and scored",
            example=single[0],
        ),
    )


@contextmanager
def many_labels() -> Iterator[None]:
    """Silence scikit-learn's warning that as many labels as these may be numbers.

    `single_labels` says what there is to say of them.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        yield
