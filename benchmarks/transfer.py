"""What reading before learning is worth: scores against the amount of target text.

    python -m benchmarks.transfer TOPICS.csv --pretrained RUN --out DIR

Transfer as in ULMFiT (Howard and Ruder 2018): a language model of one text (`RUN`, made by `gated
fit language`) is tuned on the texts of `TOPICS.csv` without their labels, and a classifier begins
as the tuned model reads; with discriminative rates, the slanted triangular schedule and gradual
thawing. Beside it the same from a language model of the unlabelled texts alone, with a vocabulary
of their own; and the same networks that begin with random weights, with the same steps. Test texts
take part in no training, labelled or not.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.machine import described
from gated.data.bad_rows import BadRows
from gated.data.split_by_text import split_by_text
from gated.report.drawing import BLUE, MUTED, new_figure, style
from gated.tasks.language import LanguageConfig, LanguageModel, LanguageTraining
from gated.tasks.text_classify import TextClassifier, TextClassifyConfig, TextClassifyTraining
from gated.tasks.text_classify.texts import LabelledText, read_texts

TUNING = {"schedule": "slanted-triangular", "warmup": 0.1, "layer_rate_decay": 1 / 2.6}
"""The paper's, of the language model and of the classifier."""


LETTERS = "bits a character"


def write_texts(path: Path, texts: Iterable[LabelledText]) -> Path:
    """Write a table of texts."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("text", "label"))
        table.writerows(texts)
    return path


def write_lines(path: Path, texts: Sequence[LabelledText], most: int | None = None) -> Path:
    """Write a text a line, so many characters in all."""
    path.write_text("".join(f"{of.text}\n" for of in texts)[:most], "utf-8")
    return path


def tuned(text: Path, source: Path | None, like: LanguageConfig, steps: int) -> LanguageModel:
    """Train a language model on `text`, from the weights of `source` where there is one."""
    config = replace(like, validation=0.1, test=0.0, documents="line", window=96)
    options = LanguageTraining(steps=steps, validate_every=max(1, steps // 6), batch_size=32)
    if source is not None:
        options = replace(options, init_from=source, learning_rate=2e-3, **TUNING)
    return LanguageModel(config, options).fit([text])


def classified(
    data: Path, test: Path, source: Path | None, like: LanguageConfig, steps: int, seed: int
) -> dict[str, Any]:
    """Train a classifier and score it; return the accuracies by method."""
    shape = {
        name: getattr(like, name) for name in ("unit", "cell", "embedding", "hidden", "layers")
    }
    config = TextClassifyConfig(**shape, test_data=test, longest=400, no_linear=True)
    options = TextClassifyTraining(steps=steps, seed=seed, validate_every=max(1, steps // 8))
    if source is not None:
        thaw = {"thaw_every": steps // 12}
        options = replace(options, init_from=source, learning_rate=3e-3, **thaw, **TUNING)
    evaluation = TextClassifier(config, options).fit(data).score()
    return {name: round(of.accuracy, 4) for name, of in evaluation.scores.items()}


def main() -> None:
    """Print a line for each measurement, and draw them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transfer")
    parser.add_argument("topics", type=Path)
    parser.add_argument("--pretrained", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--labelled", type=int, nargs="+", default=[100, 400, 1600, 6400])
    parser.add_argument("--characters", type=int, nargs="+", default=[30_000, 120_000, 480_000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=300)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True)
    print(json.dumps(described(torch.get_num_threads())), flush=True)
    texts = read_texts(arguments.topics, TextClassifyConfig(), BadRows(skip=True), labelled=True)
    parts = split_by_text([(of.text,) for of in texts], 2000, 0.0, seed=0)
    test = write_texts(arguments.out / "test.csv", (texts[place] for place in parts.test))
    asked = write_lines(arguments.out / "test.txt", [texts[place] for place in parts.test])
    order = np.random.default_rng(0).permutation(parts.training)
    pool = [texts[place] for place in order]
    begun = LanguageModel(LanguageConfig(), LanguageTraining(init_from=arguments.pretrained))
    like = begun.adopt().config
    found: list[dict[str, Any]] = []

    def tell(**line: Any) -> None:
        found.append(line)
        print(json.dumps(line), flush=True)

    def bits(model: LanguageModel) -> float:
        (score,) = model.evaluate([asked]).bits.values()
        return round(score, 4)

    how = (like, arguments.steps)
    for amount in arguments.characters:
        some = write_lines(arguments.out / "some.txt", pool, amount)
        for name, source in (("pre-trained", arguments.pretrained), ("from scratch", None)):
            tell(task=LETTERS, start=name, amount=amount, score=bits(tuned(some, source, *how)))
    every = write_lines(arguments.out / "all.txt", pool)
    starts = {"pre-trained": arguments.pretrained}
    for name, directory, source, times in (
        ("pre-trained and tuned", "tuned", arguments.pretrained, 2),
        ("unlabelled texts alone", "own", None, 4),
    ):
        model = tuned(every, source, like, times * arguments.steps)
        model.save(arguments.out / directory)
        starts[name] = arguments.out / directory
        tell(task="bits a character, all unlabelled texts", start=name, score=bits(model))
    for amount in arguments.labelled:
        for seed in arguments.seeds:
            some = np.random.default_rng((seed, amount)).permutation(len(pool))[:amount]
            data = write_texts(arguments.out / "some.csv", (pool[place] for place in some))
            for name, source in [*starts.items(), ("from scratch", None)]:
                scores = classified(data, test, source, like, arguments.steps, seed)
                (_, ours), *others = scores.items()
                tell(task="accuracy", start=name, amount=amount, seed=seed, score=ours)
            for name, theirs in others:
                tell(task="accuracy", start=name, amount=amount, seed=seed, score=theirs)
    (arguments.out / "transfer.json").write_text(json.dumps(found, indent=2) + "\n")
    draw(found, arguments.out / "transfer.png")


def draw(found: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the scores against the amount of target text."""
    colours = {
        "pre-trained": "#7fb3e0",
        "pre-trained and tuned": BLUE,
        "unlabelled texts alone": "#009e73",
        "from scratch": "#c4572b",
    }
    marks = {"words and letters, linear": "D", "most frequent label": "v"}
    with style():
        figure, axes = new_figure(3.6, ncols=2)
        for task, place, title, label in (
            ("accuracy", axes[0], "which program is it about?", "labelled texts"),
            (LETTERS, axes[1], "what comes next?", "characters of target text"),
        ):
            lines = [of for of in found if of["task"] == task]
            for name in dict.fromkeys(of["start"] for of in lines):
                own = [of for of in lines if of["start"] == name]
                amounts = sorted({of["amount"] for of in own})
                means = [np.mean([of["score"] for of in own if of["amount"] == n]) for n in amounts]
                colour, mark = colours.get(name, MUTED), marks.get(name, "o")
                place.plot(amounts, means, marker=mark, label=name, color=colour)
            place.set_xscale("log")
            place.set_xticks(amounts, [f"{n:,}" for n in amounts], minor=False)
            place.minorticks_off()
            place.set_title(title)
            place.set_xlabel(label)
            place.set_ylabel("accuracy" if task == "accuracy" else "bits a character")
        handles = axes[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside upper left", ncols=3)
        figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
