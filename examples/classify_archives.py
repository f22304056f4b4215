"""Three sequence problems of the archives, five seeds each: the table of docs/en/classify.md.

    python examples/classify_archives.py DIRECTORY [SEEDS]

DIRECTORY holds NAME/NAME_TRAIN.ts and NAME/NAME_TEST.ts, as timeseriesclassification.com and aeon's
data folder have them. The options of each problem were chosen by cross-validation on its training
part; the test part is scored once for each seed, 0 to SEEDS - 1 (5), with the last weights.
"""

import sys
import time
from pathlib import Path
from statistics import mean, stdev

from gated.tasks.classify import SequenceClassifier, SequenceTraining
from gated.tasks.classify.baselines import linear, nearest
from gated.tasks.classify.config import SourceOptions
from gated.tasks.classify.sequences import Sequences
from gated.tasks.classify.table import read_sequences

PROBLEMS = {
    "JapaneseVowels": (
        {
            "cell": "gru",
            "pooling": "attention",
            "patch": 1,
            "noise": 0.3,
            "dropout": 0.4,
            "filters": 0,
        },
        {"steps": 600},
    ),
    "BasicMotions": (
        {"cell": "lstm", "pooling": "max", "patch": 1, "filters": 0},
        {"steps": 300},
    ),
    "GunPoint": (
        {"cell": "gru", "pooling": "max", "patch": 10, "noise": 0.05, "filters": 0},
        {"steps": 400},
    ),
}


def part(directory: Path, name: str, which: str) -> Sequences:
    """Read the training or the test part."""
    path = directory / name / f"{name}_{which}.ts"
    return read_sequences(path, SourceOptions(), labelled=True)


def main(directory: Path, seeds: int) -> None:
    print("| problem | accuracy | least | parameters | seconds | 1-NN, warping | linear |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, (network, budget) in PROBLEMS.items():
        known, asked = part(directory, name, "TRAIN"), part(directory, name, "TEST")
        right, seconds = [], []
        for seed in range(seeds):
            training = SequenceTraining(seed=seed, **budget)
            begun = time.perf_counter()
            learner = SequenceClassifier(**network, training=training)
            learner.fit(known.arrays, known.values)
            seconds.append(time.perf_counter() - begun)
            right.append(100 * learner.score(asked.arrays, asked.values))
        read = learner.preprocessing_
        warped = nearest(read, known.arrays, known.values, asked.arrays)
        told = linear(read, known.arrays, known.values, asked.arrays, classes=True)
        spread = stdev(right) if seeds > 1 else 0.0
        print(
            f"| {name} | {mean(right):.1f} ± {spread:.1f} % | {min(right):.1f} % "
            f"| {learner.parameters_:,} | {mean(seconds):.0f} "
            f"| {100 * (warped == asked.values).mean():.1f} % "
            f"| {100 * (told == asked.values).mean():.1f} % |",
            flush=True,
        )


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(f"usage: python {sys.argv[0]} DIRECTORY [SEEDS]")
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) == 3 else 5)
