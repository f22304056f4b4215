"""The report of a speech recogniser: error rates, and frequent errors."""

from __future__ import annotations

from gated.report.drawing import INK, Picture, finish, new_figure, short
from gated.report.page import Drawing, Section, Table, Text
from gated.report.run_page import Body
from gated.tasks.speech.recogniser import SpeechRecogniser
from gated.tasks.speech.score import Evaluation

DRAWN = 3
"""Recordings that are drawn."""
PRINTED = 8
"""Of the words most often taken for others, how many are printed beside the scores."""
SHOWN = 20
"""Recordings whose text is shown beside what was written, evenly chosen."""

APART = {
    "text": "No text of the test part, and nothing nearly the same, was trained on.",
    "speaker": "No speaker of the test part was trained on; texts are the same ones.",
    "recording": "No recording of the test part was trained on; texts and speakers are the same.",
}
"""What is new in the test part, by how recordings are split."""


def score_table(evaluation: Evaluation) -> Table:
    """A row for each method."""
    factors = evaluation.real_time_factors
    rows = [
        (
            name,
            f"{rates.wer:.1%}",
            f"{rates.cer:.1%}",
            f"{factors[name]:.3f}" if name in factors else "",
        )
        for name, rates in evaluation.scores.items()
    ]
    scores = list(evaluation.scores.values())
    best = [
        min(range(len(scores)), key=lambda k: scores[k].wer),
        min(range(len(scores)), key=lambda k: scores[k].cer),
        None,
    ]
    header = ("", "word error rate", "character error rate", "real-time factor")
    return Table(header, rows, best)


def body(recogniser: SpeechRecogniser, evaluation: Evaluation) -> Body:
    """Describe the error rates, and show errors."""
    config = recogniser.config
    written = evaluation.methods[evaluation.chosen]
    pairs = list(zip(evaluation.references, written, strict=True))
    return Body(
        title="Speech",
        sections=[
            Section(
                "Scores",
                [
                    Text(
                        "Errors are words, or letters, substituted, left out or added, as a share "
                        f"of those that were said. {APART[evaluation.by]} Real-time factor: the "
                        "time that it took, as a share of that of the sound. What follows was "
                        "written by the last search."
                    ),
                    score_table(evaluation),
                ],
            ),
            Section(
                "What it wrote",
                [
                    Table(("said", "written"), pairs[:: -(-len(pairs) // SHOWN)], prose=True),
                    Drawing(spectrograms(recogniser)),
                ],
            ),
            Section("Words taken for others", [_substitutions(evaluation)]),
        ],
        techniques={
            "dropout": f"{config.dropout:g}",
            "speeds": ", ".join(f"{speed:g}" for speed in config.speeds),
            "masks": f"two of {config.mask_bands} bands and two of "
            f"{config.mask_steps:.0%} of the time, at most",
        },
        fact=f"{recogniser.name}: {config.layers} layer(s) of {config.hidden} units, "
        f"{len(recogniser.alphabet) - 1} letters, {recogniser.parameters:,} parameters",
    )


def notes(evaluation: Evaluation) -> list[str]:
    """List the most frequent substitutions of words."""
    if not evaluation.substitutions:
        return []
    taken = ", ".join(
        f"{right} → {wrong} ({times})" for right, wrong, times in evaluation.substitutions[:PRINTED]
    )
    return [f"Words taken for others: {taken}"]


def _substitutions(evaluation: Evaluation) -> Table | Text:
    if not evaluation.substitutions:
        return Text("None.")
    rows = [(right, wrong, f"{count}") for right, wrong, count in evaluation.substitutions]
    return Table(("said", "written", "times"), rows, prose=True)


def spectrograms(recogniser: SpeechRecogniser) -> Picture:
    """Draw spectrograms of test recordings, each with its transcript at the words' times."""
    shown = recogniser.written_in_time(DRAWN)
    figure, axes = new_figure(1.9 * len(shown), nrows=len(shown), squeeze=False)
    for axis, (one, words) in zip(axes[:, 0], shown, strict=True):
        frames = one.versions[0]
        axis.imshow(
            frames.T,
            origin="lower",
            aspect="auto",
            cmap="viridis",
            extent=(0, one.seconds, 0, frames.shape[1]),
        )
        axis.grid(visible=False)
        axis.set_title(short(one.text, 90))
        axis.set_yticks([])
        for word in words:
            middle = (word.start + word.end) / 2
            axis.axvline(word.start, color="white", linewidth=0.6, alpha=0.7)
            axis.text(middle, -0.06 * frames.shape[1], word.text, ha="center", va="top", color=INK)
        axis.set_xticks([])
        axis.set_xlabel(f"{one.seconds:.1f} s", loc="right")
    return finish(
        figure,
        "spectrograms",
        description="Spectrograms of test recordings with the words that were written under them.",
        caption="Test recordings as log-mel features, low bands at the bottom: above each what "
        "was said, below it each word that was written, in the middle of where it was heard, with "
        "a line where it begins.",
    )
