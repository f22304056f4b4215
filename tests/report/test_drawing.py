"""Pictures are drawn whatever letters the machine's fonts have."""

import warnings

import pytest
from matplotlib import font_manager

from gated.report.drawing import finish, new_figure, style


@pytest.mark.parametrize("letters", ["一鱻", "\U000e0fff"], ids=["rare Chinese", "no font's"])
def test_a_letter_that_no_font_has_is_drawn_without_a_warning(
    monkeypatch: pytest.MonkeyPatch, letters: str
) -> None:
    fonts = font_manager.fontManager
    bare = [font for font in fonts.ttflist if font.name.startswith("DejaVu")]
    monkeypatch.setattr(fonts, "ttflist", bare)
    fonts._findfont_cached.cache_clear()
    with style():
        figure, axes = new_figure(2.0)
        axes.set_title(letters)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = finish(figure, "letters", description="A title.", caption="A title.")
    assert letters in picture.svg
    assert picture.png.startswith(b"\x89PNG")
