"""The report of a language model: bits per character, and generated text."""

from __future__ import annotations

import numpy as np

from gated.report.drawing import BLUE, Picture, finish, new_figure
from gated.report.page import Block, Code, Drawing, Section, Table, Text
from gated.report.run_page import Body
from gated.tasks.language.generation import Sampling
from gated.tasks.language.model import LanguageModel
from gated.tasks.language.score import ALONE, Evaluation

SAMPLE = 600
"""Characters of each sample."""
TEMPERATURES = (0.5, 0.8, 1.0)


def score_table(evaluation: Evaluation) -> Table:
    """A row for each method, the best first."""
    ordered = sorted(evaluation.bits.items(), key=lambda item: item[1])
    words = evaluation.perplexities
    rows = [
        (
            name,
            f"{bits:.3f}",
            (f"{words[name]:.1f}" if name in words else "") if words else f"{2**bits:.2f}",
        )
        for name, bits in ordered
    ]
    header = ("", f"bits a {evaluation.unit}", "perplexity a word" if words else "perplexity")
    return Table(header, rows, [0, 0])


def body(model: LanguageModel, evaluation: Evaluation) -> Body:
    """Describe bits per character, and show generated text."""
    config = model.config
    scores: list[Block] = [
        Text(
            f"On the last {evaluation.count:,} {evaluation.unit}s of the text, which took no "
            "part in training. The n-grams count contexts of the training part, interpolated, "
            "their order chosen on the validation part; of a compressor it counts what the "
            "test adds to the training text."
            + (" Those of words are by Kneser and Ney." if evaluation.words else "")
        ),
        score_table(evaluation),
        *map(Text, notes(evaluation)),
    ]
    if model.history.validations:
        scores.append(Drawing(bits_over_time(model)))
    return Body(
        title="Language model",
        sections=[Section("Scores", scores), Section("What it writes", _samples(model))],
        techniques=_techniques(model),
        fact=f"{model.name}, {config.layers} layer(s) of {config.hidden} units, "
        f"{len(model.vocabulary):,} {config.unit}s, {model.parameters:,} parameters",
    )


def notes(evaluation: Evaluation) -> list[str]:
    """Say what each part adds, and how many characters are not in the training part."""
    told = []
    if evaluation.alone is not None:
        (_, bits_alone), *added = evaluation.added.items()
        parts = ", ".join(f"{name} {bits:.3f}" for name, bits in added)
        told.append(
            f"Bits a {evaluation.unit} as parts are added: network alone {bits_alone:.3f}, {parts}."
        )
    if evaluation.words:
        alone = evaluation.perplexities.get(ALONE)
        told.append(
            f"{evaluation.unknown:,} of {evaluation.words:,} words and signs are not in the "
            "vocabulary: in the perplexity all of them are one unknown word; the bits a character "
            "count how each is spelled, too."
            + ("" if alone is None else f" Perplexity of the network alone: {alone:.1f}.")
        )
    elif evaluation.unknown:
        told.append(
            f"{evaluation.unknown:,} characters were never seen in training, and are all read as "
            "one unknown character; the bits count which of Unicode's each of them is."
        )
    return told


def _techniques(model: LanguageModel) -> dict[str, str]:
    config = model.config
    return {
        "truncated backpropagation": f"through about {config.window} steps, states carried on",
        "variational dropout": f"{config.dropout:g}",
        "embedding dropout": f"{config.embedding_dropout:g}",
        "weight drop": f"{config.weight_drop:g}",
        "activation regularisation": f"{config.activation:g}, of changes {config.change:g}",
        "tied weights": "yes" if config.tied else "no",
        "n-grams mixed in": "yes" if model.mixture else "no",
        "dynamic evaluation": f"rate {model.dynamic.rate:g}, decay {model.dynamic.decay:g}"
        if model.dynamic
        else "no",
        "cache": f"{model.cache.size:,} states, {model.cache.share:.1%}" if model.cache else "no",
    }


def _samples(model: LanguageModel) -> list[Block]:
    """Text from the same start, at several temperatures."""
    start = model.known_start()
    blocks: list[Block] = []
    for temperature in TEMPERATURES:
        sampling = Sampling(temperature=temperature, seed=model.training.seed)
        (text,) = model.generate([start], length=SAMPLE, sampling=sampling)
        blocks += [Text(f"Temperature {temperature:g}:"), Code(text.strip("\n"))]
    return blocks


def bits_over_time(model: LanguageModel) -> Picture:
    """Draw bits per character of the validation part over the training time."""
    history = model.history
    minutes = np.cumsum(history.seconds) / 60
    validations = [of for of in history.validations if of.step]
    measure = next(name for name in validations[0].scores if name != "loss")
    figure, axis = new_figure(3.0)
    axis.plot(
        [minutes[of.step - 1] for of in validations],
        [of.scores[measure] for of in validations],
        color=BLUE,
        marker=".",
    )
    axis.set_xlabel("minutes of training")
    axis.set_ylabel(measure)
    return finish(
        figure,
        "bits",
        description="Bits of the validation part against minutes of training.",
        caption="Bits of the validation part while training; the time is that of the training "
        "steps alone.",
    )
