"""A text that the project makes: sums of one digit, each on its line, in an order of chance."""

from pathlib import Path

import numpy as np
import pytest


def sums(count: int, seed: int = 0) -> str:
    """Return `count` lines such as `3+4=7`."""
    random = np.random.default_rng(seed)
    pairs = random.integers(0, 5, (count, 2)).tolist()
    return "".join(f"{a}+{b}={a + b}\n" for a, b in pairs)


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "sums.txt"
    path.write_text(sums(4000))
    return path
