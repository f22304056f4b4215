"""Classes and numbers of sequences, by defaults, beside what others use.

    python -m benchmarks.sequences DIRECTORY [--problems …] [--methods …] [--seeds 5] >> FILE
    python -m benchmarks.sequences --table FILE

DIRECTORY holds NAME/NAME_TRAIN.ts and NAME/NAME_TEST.ts, as timeseriesclassification.com and aeon's
data folder have them. The first command prints the machine and a JSON line for each problem, method
and seed: the accuracy, or the RMSE, on the archive's test part, and the processor time of fitting
and predicting. All methods have their defaults; MiniRocket, Rocket and 1-NN are aeon's. For the
first two, sequences of unlike length are filled to the longest training sequence by their last
value; Rocket is there also without its normalisation of each sequence. The table has means and
deviations over the seeds, and the median of the times: in the first seed aeon compiles.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import numpy as np
from sklearn.linear_model import RidgeClassifierCV, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.machine import described
from gated.tasks.classify import SequenceClassifier, SequenceRegressor, SequenceTraining
from gated.tasks.classify.baselines import nearest
from gated.tasks.classify.config import SourceOptions
from gated.tasks.classify.preprocessing import Preprocessing
from gated.tasks.classify.sequences import Floats, Sequences
from gated.tasks.classify.table import read_sequences

CLASSES = ("JapaneseVowels", "BasicMotions", "GunPoint", "ArrowHead", "ACSF1")
NUMBERS = ("CardanoSentiment",)
PUBLISHED = {"JapaneseVowels": 0.976, "BasicMotions": 0.950, "GunPoint": 1.0, "ArrowHead": 0.897}
"""LSTM-FCN; of several channels MLSTM-FCN, as TapNet's authors ran it (Zhang et al. 2020). Those of
a single channel are the authors' own, with the weights of the least training loss: a table beside
their code (Results/train_loss_old_datasets.csv). They give no figure for the other problems."""
SHORTEST = 9
"""Steps of a sequence that aeon's kernels need."""


def main() -> None:
    """Print the figures, or a table of those that were printed before."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sequences")
    parser.add_argument("directory", type=Path, nargs="?")
    parser.add_argument("--table", type=Path)
    parser.add_argument("--problems", nargs="+", default=[*CLASSES, *NUMBERS])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.table:
        print(table([json.loads(line) for line in arguments.table.read_text().splitlines()]))
        return
    if arguments.directory is None:
        parser.error("give the DIRECTORY of the problems, or --table FILE")
    warnings.simplefilter("ignore")  # of the compiler that aeon brings
    print(json.dumps(described(1)), flush=True)
    for seed in range(arguments.seeds):
        for name in arguments.problems:
            numbers = name in NUMBERS
            known, asked = (
                part(arguments.directory, name, which, numbers=numbers)
                for which in ("TRAIN", "TEST")
            )
            for method in arguments.methods:
                if seed and method == NEAREST:
                    continue  # it draws nothing
                row = measured(METHODS[method], known, asked, seed, numbers=numbers)
                line = {"problem": name, "method": method, "seed": seed, **row}
                print(json.dumps(line), flush=True)


def part(directory: Path, name: str, which: str, *, numbers: bool) -> Sequences:
    """Read the training or the test part."""
    path = directory / name / f"{name}_{which}.ts"
    read = read_sequences(path, SourceOptions(), labelled=True)
    return Sequences(read.arrays, read.values.astype(float) if numbers else read.values, read.names)


Method = Callable[[Sequences, Sequences, int, bool], tuple[np.ndarray, dict[str, Any]]]


def measured(
    method: Method, known: Sequences, asked: Sequences, seed: int, *, numbers: bool
) -> dict[str, Any]:
    """Fit, predict and score."""
    began = time.process_time()
    predicted, more = method(known, asked, seed, numbers)
    spent = time.process_time() - began
    if numbers:
        score = float(np.sqrt(np.mean((predicted - asked.values) ** 2)))
    else:
        score = float(np.mean(predicted == asked.values))
    return {"score": score, "of": len(asked), "processor_seconds": round(spent, 2), **more}


def gated(known: Sequences, asked: Sequences, seed: int, numbers: bool) -> Any:
    """Our defaults."""
    kind = SequenceRegressor if numbers else SequenceClassifier
    learner = kind(training=SequenceTraining(seed=seed, threads=1)).fit(known.arrays, known.values)
    trust = float(learner.network_.trust)
    return learner.predict(asked.arrays), {"trust": trust}


def kernels_of(name: str) -> Method:
    """A method of aeon's that reads random or fixed kernels by a ridge regression."""

    def method(known: Sequences, asked: Sequences, seed: int, numbers: bool) -> Any:
        from aeon.classification import convolution_based as classifiers
        from aeon.regression import convolution_based as regressors

        kind = (
            getattr(regressors, f"{name}Regressor")
            if numbers
            else getattr(classifiers, f"{name}Classifier")
        )
        longest = max(SHORTEST, *map(len, known.arrays))
        learner = kind(random_state=seed, n_jobs=1)
        learner.fit(cube(known.arrays, longest), known.values)
        return learner.predict(cube(asked.arrays, longest)), {}

    return method


def rocket_of_levels(known: Sequences, asked: Sequences, seed: int, numbers: bool) -> Any:
    """Rocket without its normalisation of each sequence, which takes the level away."""
    from aeon.transformations.collection.convolution_based import Rocket

    kernels = Rocket(normalise=False, random_state=seed, n_jobs=1)
    penalties = np.logspace(-3, 3, 10)
    ridge = RidgeCV(penalties) if numbers else RidgeClassifierCV(penalties)
    learner = make_pipeline(kernels, StandardScaler(with_mean=False), ridge)
    longest = max(SHORTEST, *map(len, known.arrays))
    learner.fit(cube(known.arrays, longest), known.values)
    return learner.predict(cube(asked.arrays, longest)), {}


def cube(arrays: Sequence[Floats], longest: int) -> Floats:
    """Return (N, channels, T) of one length; the last value is repeated, and missing ones are 0."""
    filled = [np.nan_to_num(of[:longest]) for of in arrays]
    whole = [np.pad(of, ((0, longest - len(of)), (0, 0)), mode="edge").T for of in filled]
    return np.stack(whole).astype(np.float64)


def nearest_neighbour(known: Sequences, asked: Sequences, seed: int, numbers: bool) -> Any:
    """The nearest training sequence by dynamic time warping, with gated's scaling."""
    read = Preprocessing.fit(known.arrays, 1)
    found = nearest(read, known.arrays, known.values, asked.arrays)
    if found is not None:
        return found, {}
    found = nearest(read, known.arrays, known.values, asked.arrays, window=WINDOW)
    return found, {"window": WINDOW}


NEAREST, WINDOW = "1-NN DTW", 0.1
"""The path is free, and within a window where that takes too long."""
METHODS: dict[str, Method] = {
    "gated": gated,
    "MiniRocket": kernels_of("MiniRocket"),
    "Rocket": kernels_of("Rocket"),
    "Rocket, levels kept": rocket_of_levels,
    NEAREST: nearest_neighbour,
}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return means and spreads over the seeds as a Markdown table."""
    rows = [row for row in rows if "problem" in row]
    problems = list(dict.fromkeys(row["problem"] for row in rows))
    methods = list(dict.fromkeys(row["method"] for row in rows))
    lines = [f"| problem | {' | '.join(methods)} | published LSTM-FCN |"]
    lines.append("| --- |" + " --- |" * (len(methods) + 1))
    for problem in problems:
        cells = []
        for method in methods:
            found = [of for of in rows if (of["problem"], of["method"]) == (problem, method)]
            cells.append(_cell(found, numbers=problem in NUMBERS) if found else "")
        cells.append(f"{100 * PUBLISHED[problem]:.1f} %" if problem in PUBLISHED else "")
        lines.append(f"| {problem} | " + " | ".join(cells) + " |")
    means = [_mean_accuracy(rows, problems, method) for method in methods]
    lines.append("| mean accuracy | " + " | ".join(means) + " | |")
    return "\n".join(lines)


def _cell(found: Sequence[dict[str, Any]], *, numbers: bool) -> str:
    scores = [of["score"] if numbers else 100 * of["score"] for of in found]
    spread = stdev(scores) if len(scores) > 1 else 0.0
    seconds = median(of["processor_seconds"] for of in found)
    digits, unit = (3, "") if numbers else (1, " %")
    places = 0 if seconds >= 10 else 1
    return f"{mean(scores):.{digits}f} ± {spread:.{digits}f}{unit}, {seconds:.{places}f} s"


def _mean_accuracy(rows: Sequence[dict[str, Any]], problems: Sequence[str], method: str) -> str:
    found = [
        [of["score"] for of in rows if (of["problem"], of["method"]) == (problem, method)]
        for problem in problems
        if problem not in NUMBERS
    ]
    return f"{100 * mean(map(mean, found)):.1f} %" if found and all(found) else ""


if __name__ == "__main__":
    main()
