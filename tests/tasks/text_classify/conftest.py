"""Texts that the project makes: what is done to a number, in words, and how."""

from pathlib import Path

import numpy as np
import pytest

VERBS = {"sum": ("add", "plus"), "product": ("times", "by"), "difference": ("minus", "less")}


def questions(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Return texts and labels, such as `what is 3 plus 4` and `sum`."""
    random = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        label = str(random.choice(list(VERBS)))
        verb = random.choice(VERBS[label])
        one, other = ("".join(map(chr, random.integers(97, 123, size))) for size in (6, 9))
        made.append((f"what is {one} {verb} {other}", label))
    return made


def table(rows: list[tuple[str, str]]) -> str:
    """Return a CSV table."""
    return "text,label\n" + "".join(f"{text},{label}\n" for text, label in rows)


@pytest.fixture(scope="session")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "asked.csv"
    path.write_text(table(questions(500)))
    return path
