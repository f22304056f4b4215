"""The smallest training of each task, as a user types it: a second or two of work."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gated.model_files import load_description, load_model

STEPS = ["--steps", "8", "--checkpoint-every", "2", "--validate-every", "4", "--threads", "1"]
TASKS = (
    "classify",
    "forecast",
    "language",
    "memory",
    "regress",
    "speech",
    "text-classify",
    "translate",
    "video",
)


def fit(task: str, data: Path, out: Path, steps: Sequence[str] = STEPS) -> list[str]:
    """Write data of a task into the directory `data`, unless they are there; return the command."""
    made = data / f"{task}.json"
    if not made.exists():
        data.mkdir(parents=True, exist_ok=True)
        made.write_text(json.dumps(_written(task, data)))
    return ["fit", task, *json.loads(made.read_text()), *steps, "--out", str(out)]


def trained(run: Path) -> tuple[dict[str, np.ndarray], dict]:
    """The weights of a run and all else that was learned."""
    arrays, description = load_model(run)
    assert description == load_description(run)
    return arrays, description


def same(one: Path, other: Path) -> bool:
    """Whether two runs came to the same network and the same course."""
    (arrays, learned), (others, also) = trained(one), trained(other)
    courses = [json.loads((run / "history.json").read_text()) for run in (one, other)]
    for course in courses:
        del course["seconds"], course["processor_seconds"]
        for validation in course["validations"]:
            del validation["seconds"]
    return (
        arrays.keys() == others.keys()
        and all(np.array_equal(arrays[name], others[name]) for name in arrays)
        and learned == also
        and courses[0] == courses[1]
    )


def _written(task: str, data: Path) -> list[str]:
    small = ["--hidden", "4"]
    if task in ("classify", "regress"):
        from tests.tasks.classify.conftest import bumps, ts_text

        arrays, labels = bumps(40, 0)
        numbers = np.array([array[:, 0].sum() for array in arrays])
        header = "@classLabel true" if task == "classify" else "@targetLabel true"
        path = data / "bumps.ts"
        path.write_text(ts_text(arrays, labels if task == "classify" else numbers, header))
        return [str(path), *small]
    if task == "forecast":
        path = data / "waves.csv"
        waves = (f"{hour},{np.sin(hour / 4):.4f}" for hour in range(300))
        path.write_text("hour,level\n" + "\n".join(waves))
        columns = ["--time", "hour", "--target", "level", "--horizon", "4", "--history", "8"]
        return [str(path), *columns, *small]
    if task == "language":
        path = data / "text.txt"
        path.write_text("the quick brown fox jumps over the lazy dog\n" * 30)
        return [str(path), "--window", "8", "--embedding", "4", *small]
    if task == "memory":
        return ["--length", "10", *small]
    if task == "speech":
        from tests.tasks.speech.tones import RATE, write_tones

        path = write_tones(data, 30)
        size = ["--sample-rate", str(RATE), "--layers", "1", "--cache", str(data / "cache")]
        return [str(path), *size, *small]
    if task == "text-classify":
        from tests.tasks.text_classify.conftest import questions, table

        path = data / "questions.csv"
        path.write_text(table(questions(120)))
        return [str(path), "--embedding", "4", *small]
    if task == "translate":
        from tests.tasks.translate.toy import toy_pairs, write_pairs

        path = write_pairs(data / "pairs.tsv", toy_pairs(200))
        size = ["--embedding", "4", "--vocabulary", "30", "--test", "20", "--validation", "10"]
        return [str(path), *size, *small]
    from tests.tasks.video.clips import write_moving

    size = ["--frames", "6", "--width", "16", "--height", "8", "--channels", "4", "--features", "4"]
    return [str(write_moving(data)), *size, *small]
