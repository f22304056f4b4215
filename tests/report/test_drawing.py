"""Pictures are drawn whatever letters the machine's fonts have."""

import warnings

import numpy as np
import pytest
from matplotlib import font_manager

from gated.report.drawing import finish, new_figure, style, time_axis


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


@pytest.mark.parametrize("most", [4, 7])
def test_times_of_any_range_have_some_ticks_and_not_many(most: int) -> None:
    """Seconds to decades; matplotlib warns where none of its intervals fits."""
    start = np.datetime64("2013-02-27T05:30:00")
    for seconds in np.geomspace(10, 1e9, 150).astype(int):
        _, axes = new_figure(2.0)
        times = start + np.linspace(0, seconds, 9).astype("timedelta64[s]")
        axes.plot(times, np.arange(9))
        time_axis(axes, times, most)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ticks = axes.xaxis.get_major_locator()()
        low, high = axes.get_xlim()
        assert 1 <= sum(low <= tick <= high for tick in ticks) <= most + 1, seconds
