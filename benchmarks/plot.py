"""Time of a training step against T, B and H, with the machine's limit drawn in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.cases import Case
from benchmarks.turns import race

BASE = Case("train", "lstm", 100, 32, 64, 128, 1.6)
SWEEPS: dict[str, tuple[int, ...]] = {
    "T": (10, 30, 100, 300, 1000),
    "B": (1, 4, 16, 64, 256),
    "H": (16, 64, 128, 256, 512, 1024),
}
NAMES = {"T": "steps T", "B": "sequences B", "H": "units H"}


def draw(path: Path, machine: dict[str, Any], seconds: float = 1.5) -> None:
    """Measure and draw ours and torch's, one picture for each size that grows."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, places = pyplot.subplots(1, 3, figsize=(12, 4), sharey=True, layout="constrained")
    for place, (size, values) in zip(places, SWEEPS.items(), strict=True):
        cases = [BASE._replace(**{size: value}) for value in values]
        times = [race(case, machine["threads"], seconds).seconds for case in cases]
        for peer, colour, marker in (("gated", "#0072b2", "o"), ("torch", "#d55e00", "s")):
            medians = [1e3 * of[peer]["median"] for of in times]
            place.plot(values, medians, color=colour, marker=marker, label=peer)
        limit = [case.operations / machine["peak_gflops"] / 1e6 for case in cases]
        place.plot(values, limit, color="#666666", linestyle="--", label="limit of the multipliers")
        place.set(xscale="log", yscale="log", xlabel=NAMES[size])
        place.grid(which="both", alpha=0.25)
    places[0].set_ylabel("milliseconds a training step")
    places[0].legend()
    fixed = ", ".join(f"{name} = {getattr(BASE, name)}" for name in "TBIH")
    figure.suptitle(f"LSTM, forward and backward; what does not grow is {fixed}")
    figure.savefig(path, dpi=130)
