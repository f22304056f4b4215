"""What noise, warping and cutting of the training sequences change, inside the training part.

    python -m benchmarks.augmenting DIRECTORY [--problems …] [--seeds 3] >> FILE
    python -m benchmarks.augmenting --table FILE

DIRECTORY is that of `benchmarks.sequences`; only NAME/NAME_TRAIN.ts is read. Its sequences are cut
into as many parts as there are seeds, each is left out once, and the learner is fitted on the
others with each way of augmentation in turn, by the defaults otherwise. A JSON line for each fit
has the scores on the part that was left out: of the whole answer, and of the network alone.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special, stats

from benchmarks.machine import described
from benchmarks.sequences import CLASSES, NUMBERS, part
from gated.tasks.classify import SequenceClassifier, SequenceRegressor, SequenceTraining
from gated.tasks.classify.mixture import folds_of
from gated.tasks.classify.sequences import Sequences
from gated.tasks.classify.task import answers_of

MORE_CLASSES = ("OSULeaf", "ItalyPowerDemand", "PickupGestureWiimoteZ")
MORE_NUMBERS = ("Covid3Month",)
NONE = {"noise": 0.0, "warp": 0.0, "cut": 0.0}
WAYS = {
    "none": NONE,
    **{name: NONE | {name: 0.1} for name in NONE},
    "all": dict.fromkeys(NONE, 0.1),
}
"""The options of each way."""


def main() -> None:
    """Print the figures, or a table of those that were printed before."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.augmenting")
    parser.add_argument("directory", type=Path, nargs="?")
    parser.add_argument("--table", type=Path)
    problems = [*CLASSES, *MORE_CLASSES, *NUMBERS, *MORE_NUMBERS]
    parser.add_argument("--problems", nargs="+", default=problems)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.table:
        print(table([json.loads(line) for line in arguments.table.read_text().splitlines()]))
        return
    if arguments.directory is None:
        parser.error("give the DIRECTORY of the problems, or --table FILE")
    warnings.simplefilter("ignore")  # of the compiler that aeon brings
    print(json.dumps(described(1)), flush=True)
    for seed in range(arguments.seeds):
        for problem in arguments.problems:
            numbers = problem in (*NUMBERS, *MORE_NUMBERS)
            known = part(arguments.directory, problem, "TRAIN", numbers=numbers)
            for line in measured(known, seed, arguments.seeds, numbers=numbers):
                print(json.dumps({"problem": problem, "seed": seed, **line}), flush=True)


def measured(known: Sequences, seed: int, parts: int, *, numbers: bool) -> Iterator[dict[str, Any]]:
    """Fit in each way on all parts but that of the seed, and score on that part."""
    codes = known.values if numbers else np.unique(known.values, return_inverse=True)[1]
    folds = folds_of(codes, parts, 0)
    training = known.take(np.flatnonzero(folds != seed))
    asked = known.take(np.flatnonzero(folds == seed))
    for way in [*WAYS][seed % len(WAYS) :] + [*WAYS][: seed % len(WAYS)]:  # none is always first
        began = time.process_time()
        kind = SequenceRegressor if numbers else SequenceClassifier
        learner = kind(**WAYS[way], training=SequenceTraining(seed=seed, threads=1))
        learner.fit(training.arrays, training.values)
        spent = time.process_time() - began
        network, read = learner.network_, learner.preprocessing_
        both = [
            answers_of(network, read, asked.arrays, of).double().numpy()
            for of in (network, network.of_networks)
        ]
        targets = learner.learner_.targets
        wrong, losses = zip(*(_errors(of, targets, asked.values) for of in both), strict=True)
        yield {
            "way": way,
            "of": len(asked),
            "error": wrong[0],
            "loss": losses[0],
            "network_error": wrong[1],
            "network_loss": losses[1],
            "trust": round(float(network.trust), 3),
            "processor_seconds": round(spent, 2),
        }


def _errors(answers: np.ndarray, targets: Any, values: np.ndarray) -> tuple[float, float]:
    """Share of wrong classes and mean cross-entropy; of numbers RMSE and MAE, in deviations."""
    expected = targets.learnt(values)
    if expected.dtype.kind == "f":
        apart = answers - expected
        return float(np.sqrt((apart**2).mean())), float(np.abs(apart).mean())
    surprise = -special.log_softmax(answers, -1)[np.arange(len(expected)), expected]
    return float((answers.argmax(-1) != expected).mean()), float(surprise.mean())


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the errors of each way, and how they differ from those without any, as Markdown."""
    rows = [row for row in rows if "problem" in row]
    problems = list(dict.fromkeys(row["problem"] for row in rows))
    ways = [way for way in WAYS if any(row["way"] == way for row in rows)]
    lines = ["| problem | " + " | ".join(ways) + " |", "| --- |" + " --: |" * len(ways)]

    def found(problem: str, way: str, name: str) -> float:
        """Return the mean over the seeds, by the sequences of each."""
        some = [row for row in rows if (row["problem"], row["way"]) == (problem, way)]
        return float(np.average([row[name] for row in some], weights=[row["of"] for row in some]))

    for problem in problems:
        cells = [
            f"{100 * found(problem, way, 'error'):.1f}, "
            f"{100 * found(problem, way, 'network_error'):.1f}"
            for way in ways
        ]
        lines.append(f"| {problem} | " + " | ".join(cells) + " |")
    for name, title in (
        ("error", "error, points"),
        ("network_error", "error of the network alone, points"),
        ("loss", "loss, hundredths"),
        ("network_loss", "loss of the network alone, hundredths"),
        ("processor_seconds", "processor time, %"),
    ):
        cells = [""]
        for way in ways[1:]:
            ours, bare = (
                np.array([found(problem, of, name) for problem in problems])
                for of in (way, ways[0])
            )
            more = 100 * (ours / bare - 1 if name == "processor_seconds" else ours - bare)
            half = stats.t.ppf(0.975, len(more) - 1) * stats.sem(more) if len(more) > 1 else 0.0
            cells.append(f"{more.mean():+.1f} ± {half:.1f}")
        lines.append(f"| more than without: {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
