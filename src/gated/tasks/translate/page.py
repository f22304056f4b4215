"""The report of a translator: scores, translations and attention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gated.errors import DataError
from gated.report.drawing import (
    BLUE,
    Picture,
    finish,
    new_figure,
)
from gated.report.page import Drawing, Section, Table, Text
from gated.report.run_page import Body
from gated.tasks.translate.config import TranslateConfig
from gated.tasks.translate.score import Evaluation
from gated.tasks.translate.translation import Example, Translation
from gated.tasks.translate.translator import Translator

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_DRAWN = 4
"""Attention pictures in a report."""
WIDEST_DRAWN = 40
"""Subwords of a side that can still be read in a picture of the report."""
MOST_LABELS = 160
"""Subwords of a side that are drawn at all: a picture of 5,000 dots."""
LABEL = 0.2
"""Inches from one label to the next."""


def body(translator: Translator, evaluation: Evaluation) -> Body:
    """Describe the scores, with translated sentences and their attention."""
    examples = translator.examples(evaluation)
    return Body(
        title="Translation",
        sections=[
            _score_section(evaluation),
            _example_section(examples),
            _attention_section(examples),
        ],
        techniques=_techniques(translator.config),
        fact=translator.fact,
        cleaned="Space, control characters and Unicode forms were tidied.",
    )


def notes(evaluation: Evaluation) -> list[str]:
    """List findings in the scored data, and the signatures of BLEU and chrF."""
    bleu, chrf = evaluation.signatures
    return [*(f"· {of}" for of in evaluation.findings), f"BLEU {bleu}", f"chrF {chrf}"]


def score_table(evaluation: Evaluation) -> Table:
    """Return the scores of all methods, the best of each metric marked."""
    names = list(evaluation.scores)
    rows = [
        (method, scores.bleu_with_error, f"{scores.chrf:.1f}")
        for method, scores in evaluation.scores.items()
    ]
    best = [
        max(range(len(names)), key=lambda place: getattr(evaluation.scores[names[place]], metric))
        for metric in ("bleu", "chrf")
    ]
    return Table(("", "BLEU", "chrF"), rows, best)


def attention_picture(translation: Translation, name: str = "attention") -> Picture:
    """Draw the attention of each subword of a translation over the source, in the size it needs.

    Raises:
        DataError: a side has too many subwords for a picture.
    """
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    # From clear to blue, so that the page's own colour, light or dark, shows through.
    clear = LinearSegmentedColormap.from_list("clear", [(*to_rgb(BLUE), 0), (*to_rgb(BLUE), 1)])
    rows, columns = translation.attention.shape
    if max(rows, columns) > MOST_LABELS:
        raise DataError(
            f"A translation of {columns:,} to {rows:,} subwords is too large for a picture, which "
            f"shows {MOST_LABELS} of each side."
        )
    figure, axes = new_figure(max(2.2, 1.4 + LABEL * rows))
    axes.pcolormesh(translation.attention, cmap=clear, vmin=0, vmax=1, linewidth=0)
    axes.set_xticks([place + 0.5 for place in range(columns)], translation.source, rotation=90)
    axes.set_yticks([place + 0.5 for place in range(rows)], translation.subwords)
    axes.invert_yaxis()
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.grid(visible=False)
    for side in axes.spines.values():
        side.set_visible(True)
    _make_room(figure, axes, LABEL * columns, LABEL * rows)
    return finish(
        figure,
        name,
        description="Attention of each subword of the translation to each of the source.",
        caption=f"{translation.text} Each row adds up to 1; ▁ marks the beginning of a word.",
    )


def _make_room(figure: Figure, axes: Axes, width: float, height: float) -> None:
    """Enlarge a figure until its axes, beside their labels, measure so many inches or more."""
    for _ in range(2):  # the margins of a larger figure are a little larger, too
        figure.draw_without_rendering()
        drawn = axes.get_window_extent().transformed(figure.dpi_scale_trans.inverted())
        if drawn.width >= width and drawn.height >= height:
            return
        figure.set_size_inches(
            figure.get_figwidth() + max(0, width - drawn.width),
            figure.get_figheight() + max(0, height - drawn.height),
        )


def _score_section(evaluation: Evaluation) -> Section:
    blocks: list[Text | Table] = [
        Text(
            f"{len(evaluation.sources):,} sentences of the test part, none of which is in the "
            "training part, nor nearly: see what was cleaned. BLEU with half of its 95 % interval "
            "(resampled sentences); the nearest training sentence is a translation memory."
        ),
        score_table(evaluation),
        Text(f"BLEU {evaluation.signatures[0]}; chrF {evaluation.signatures[1]}"),
    ]
    return Section("Score", blocks)


def _example_section(examples: Sequence[Example]) -> Section:
    rows = [
        (f"{example.chrf:.0f}", example.source, example.reference, example.translation.text)
        for example in sorted(examples, key=lambda example: -example.chrf)
    ]
    return Section(
        "Translations",
        [
            Text("Test sentences drawn by the seed, the best first, by chrF of the sentence."),
            Table(("chrF", "source", "reference", "translation"), rows, prose=True),
        ],
    )


def _attention_section(examples: Sequence[Example]) -> Section:
    drawn = [
        example.translation
        for example in examples
        if 0 < max(example.translation.attention.shape) <= WIDEST_DRAWN
    ]
    drawn.sort(key=lambda translation: -translation.attention.size)
    pictures = [
        Drawing(attention_picture(translation, f"attention_{place}"))
        for place, translation in enumerate(drawn[:MOST_DRAWN], 1)
    ]
    none = Text(f"None of the sentences drawn has at most {WIDEST_DRAWN} subwords.")
    return Section("Where it looks", pictures or [none])


def _techniques(config: TranslateConfig) -> dict[str, str]:
    dropout = f"{config.dropout:g} of embeddings and before the output" if config.dropout else "off"
    return {
        "dropout": dropout,
        "copying": f"{config.copying:g}" if config.copying else "off",
        "label smoothing": f"{config.label_smoothing:g}" if config.label_smoothing else "off",
        "attention": config.attention,
        "input feeding": "off" if config.no_input_feeding else "on",
        "search": f"beam of {config.beam}, length penalty {config.length_penalty:g}, coverage "
        f"penalty {config.coverage_penalty:g}",
    }
