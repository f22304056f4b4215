"""Sequences that the project makes: noise in which a bump stands early or late, of any length."""

from pathlib import Path

import numpy as np
import pytest


def bumps(count: int, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Return `count` sequences `(T, 2)` of 12 to 20 steps, and the words early and late."""
    random = np.random.default_rng(seed)
    arrays, labels = [], []
    for number in range(count):
        steps = int(random.integers(12, 21))
        array = random.normal(0, 0.1, (steps, 2))
        late = bool(number % 2)
        array[random.integers(0, 4) + (steps - 4 if late else 0), 0] += 2
        arrays.append(array)
        labels.append("late" if late else "early")
    return arrays, np.array(labels)


def ts_text(arrays: list[np.ndarray], labels: np.ndarray, header: str = "@classLabel true") -> str:
    """Write sequences as a `.ts` file."""
    lines = ["# made here", "@problemName bumps", "@timeStamps false", header, "@data"]
    for array, label in zip(arrays, labels, strict=True):
        channels = (",".join("?" if np.isnan(v) else f"{v:.4f}" for v in c) for c in array.T)
        lines.append(":".join([*channels, str(label)]))
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="session")
def ts_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A training file of 40 sequences and a test file of 30."""
    directory = tmp_path_factory.mktemp("bumps")
    paths = directory / "train.ts", directory / "test.ts"
    for path, count, seed in zip(paths, (40, 30), (0, 1), strict=True):
        path.write_text(ts_text(*bumps(count, seed)))
    return paths
