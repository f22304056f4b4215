"""The picture of attention: labels beside each other never meet, however many there are."""

import warnings
from itertools import pairwise

import numpy as np
import pytest

from gated.errors import DataError
from gated.report.drawing import finish, style
from gated.tasks.translate import page as translate
from gated.tasks.translate.translation import Translation


def picture_of(source: list[str], subwords: list[str], monkeypatch) -> list:
    """Draw; return the boxes of the labels, sources' and translation's, as they came to lie."""
    attention = np.full((len(subwords), len(source)), 1 / len(source), np.float32)
    figures = []

    def kept(figure, *arguments, **options):
        figures.append(figure)
        return finish(figure, *arguments, **options)

    monkeypatch.setattr(translate, "finish", kept)
    with style(), warnings.catch_warnings():
        warnings.simplefilter("error")  # for a glyph that is missing
        translate.attention_picture(Translation("text", 0.0, source, subwords, attention))
        (figure,) = figures
        figure.draw_without_rendering()
        (axes,) = figure.axes
        return [
            [label.get_window_extent() for label in ticks]
            for ticks in (axes.get_xticklabels(), axes.get_yticklabels())
        ]


@pytest.mark.parametrize("columns", [3, 40, 90])
def test_labels_do_not_meet(columns, monkeypatch) -> None:
    source = ["▁word", "▁internationalization", "g"] * (columns // 3)
    across, down = picture_of(source, ["▁mot", "▁Donaudampfschiff", "</s>"] * 12, monkeypatch)
    assert len(across) == len(source)
    for one, other in pairwise(across):
        assert one.x1 <= other.x0
    for one, other in pairwise(down):
        assert one.y0 >= other.y1
    assert min(min(label.x0, label.y0) for label in (*across, *down)) >= 0


def test_what_is_too_large_to_draw_is_told(monkeypatch) -> None:
    with pytest.raises(DataError, match="161 to 2 subwords is too large for a picture"):
        picture_of(["a"] * 161, ["b", "</s>"], monkeypatch)
