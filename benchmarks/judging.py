"""How often the judge is wrong where there is no difference, and right where there is one.

`python -m benchmarks.judging` prints the first table of docs/en/judging.md, in some twenty minutes,
and `--gain 0.3 --times 200` the second.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gated.scoring.judge import judge
from gated.scoring.verdict import Measure, Outcome, Scope

Floats = NDArray[np.float64]
Random = np.random.Generator

EXAMPLES = (2, 5, 10, 15, 20, 50, 100, 200, 500, 1000)
POWERED = (10, 20, 50, 100, 200, 400)
CLUSTER = 4
"""Examples of a cluster, on average."""
SCOPE = Scope("examples", "in {} clusters")
MEASURE = Measure("loss {}")


@dataclass(frozen=True)
class Case:
    """Losses of two methods, and how their examples hang together."""

    draw: Callable[[Random, int, int], Floats]
    """From how many examples and methods to (methods, N) losses of the same mean."""
    clusters: str = "none"
    """none, equal, or of all sizes."""
    baselines: int = 1


def errors(random: Random, count: int, methods: int) -> Floats:
    """Absolute errors of a forecast: some examples are harder, for all."""
    return np.abs(random.normal(size=count) + random.normal(size=(methods, count)))


def heavy(random: Random, count: int, methods: int) -> Floats:
    """Errors whose variance is infinite (Student's t, two degrees of freedom)."""
    return np.abs(random.standard_t(2, size=(methods, count)))


def lopsided(random: Random, count: int, methods: int) -> Floats:
    """Of one method all losses are the same, of the others many are small and a few large."""
    losses = random.exponential(size=(methods, count))
    losses[-1] = 1
    return losses


def wrong(random: Random, count: int, methods: int) -> Floats:
    """Right or wrong, a tenth wrong, independently."""
    return (random.random((methods, count)) < 0.1).astype(float)


def agreeing(random: Random, count: int, methods: int) -> Floats:
    """Right or wrong, where all are mostly right or wrong of the same examples."""
    together = random.random(count) < 0.3
    alone = random.random((methods, count)) < 0.15
    return (together ^ alone).astype(float)


LOSSES = {
    "errors": errors,
    "heavy tails": heavy,
    "lopsided": lopsided,
    "right or wrong": wrong,
    "right or wrong, mostly agreed": agreeing,
}
CASES = {
    f"{name}{told}": Case(draw, clusters, baselines)
    for clusters, baselines, told in (
        ("none", 1, ""),
        ("equal", 1, "; clusters of 4"),
        ("any", 1, "; clusters of 1 to 16"),
        ("none", 3, "; three baselines"),
    )
    for name, draw in LOSSES.items()
}


def clusters_of(random: Random, count: int, kind: str) -> NDArray[np.int64]:
    """Label `count` examples with their clusters."""
    if kind == "equal":
        return np.arange(count) // CLUSTER
    if kind == "any":
        sizes = np.minimum(random.geometric(1 / CLUSTER, count), 4 * CLUSTER)
        return np.repeat(np.arange(count), sizes)[:count]
    return np.arange(count)


def outcome(random: Random, case: Case, count: int, gain: float = 0.0) -> Outcome:
    """Draw losses and judge them; the network's are lower by `gain` deviations of a difference."""
    labels = clusters_of(random, count, case.clusters)
    losses = case.draw(random, count, 1 + case.baselines)
    if case.clusters != "none":
        # Examples of a cluster are the same but for one in four, the strongest dependence usual.
        of_cluster = case.draw(random, labels.max() + 1, 1 + case.baselines)[:, labels]
        losses = np.where(random.random(count) < 0.75, of_cluster, losses)
    if gain:
        losses[0] -= gain * np.std(losses[0] - losses[1])
    values = {"network": losses[0]} | {f"baseline {k}": of for k, of in enumerate(losses[1:])}
    return judge(values, MEASURE, SCOPE, clusters=labels).outcome


def shares(case: Case, count: int, times: int, gain: float = 0.0) -> dict[Outcome, float]:
    """Return how often each outcome comes."""
    random = np.random.default_rng(count)
    found = [outcome(random, case, count, gain) for _ in range(times)]
    return {kind: found.count(kind) / times for kind in ("better", "worse")}


def table(times: int, gain: float) -> None:
    """Print a row for each case, a column for each number of examples, shares in percent."""
    sizes = POWERED if gain else EXAMPLES
    print("| losses | " + " | ".join(f"{count:,}" for count in sizes) + " |")
    print("| --- |" + " --: |" * len(sizes))
    for name, case in CASES.items():
        if gain and (case.baselines > 1 or case.clusters == "any"):
            continue
        told = []
        for count in sizes:
            found = shares(case, count, times, gain)
            called = found["better"] if gain else found["better"] + found["worse"]
            told.append(f"{100 * called:.0f}" if gain else f"{100 * called:.1f}")
        print(f"| {name} | {' | '.join(told)} |", flush=True)


def main() -> None:
    """Print both tables."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--times", type=int, default=2000)
    options.add_argument("--gain", type=float, default=0.0)
    asked = options.parse_args()
    table(asked.times, asked.gain)


if __name__ == "__main__":
    main()
