"""How pictures look: one style, and SVG that follows the page's light or dark colours."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from gated.errors import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, LINE = "#24313f", "#66727f", "#d5dbe1"
# Okabe and Ito (2008): told apart by every kind of colour vision.
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#d55e00",
    "#cc79a7",
    "#56b4e9",
)
METHOD_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION)
PAGE_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    LINE: "--line",
    BLUE: "--blue",
    ORANGE: "--orange",
    GREEN: "--green",
    VERMILION: "--vermilion",
    PURPLE: "--purple",
    SKY: "--sky",
}
"""Variables of the page's style sheet that stand for the colours in its SVG."""
FONTS = ("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Micro Hei", "SimHei")
"""Tried in this order, letter by letter; the later ones have Chinese letters."""
WIDTH = 9.0
"""Inches, at 100 dots each in the page."""


@dataclass(frozen=True)
class Picture:
    """A figure for the page and for elsewhere."""

    name: str
    """Of its file, without the ending."""
    svg: str
    png: bytes
    description: str
    """What is to be seen, for those who do not see it."""
    caption: str


@contextmanager
def style() -> Iterator[None]:
    """Draw calmly: no frames, light grid, letters that stay text."""
    matplotlib = require("matplotlib", extra="explain")
    from matplotlib import font_manager

    installed = set(font_manager.get_font_names())
    settings: dict[str, Any] = {
        "font.family": [font for font in FONTS if font in installed],
        "font.size": 9.5,
        "axes.titlesize": 10.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": LINE,
        "axes.labelcolor": MUTED,
        "axes.titlecolor": INK,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": LINE,
        "grid.linewidth": 0.6,
        "text.color": INK,
        "xtick.color": LINE,
        "ytick.color": LINE,
        "xtick.labelcolor": MUTED,
        "ytick.labelcolor": MUTED,
        "legend.frameon": False,
        "legend.fontsize": 9,
        "lines.linewidth": 1.5,
        "lines.solid_capstyle": "round",
        "svg.fonttype": "none",
        # Names of series are names, also those with dollars in them.
        "text.parse_math": False,
    }
    with matplotlib.rc_context(settings), _any_letter():
        yield


@contextmanager
def _any_letter() -> Iterator[None]:
    """A letter that no font here has becomes a box in the PNG, and stays a letter in the SVG."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        yield


def new_figure(height: float, **options: Any) -> tuple[Figure, Any]:
    """Return a figure of the page's width and its axes, as `Figure.subplots` gives them."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots(**options)


def whole_ticks(axis: Any) -> None:
    """Let the ticks of an axis that counts be whole numbers."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator("auto", integer=True))


def finish(figure: Figure, name: str, *, description: str, caption: str) -> Picture:
    """Render `figure` as SVG and PNG."""
    with _any_letter():
        _lay_out(figure)
        return Picture(name, *_rendered(figure, name), description, caption)


def _lay_out(figure: Figure) -> None:
    """Place everything once, not again for each format."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    if figure.get_layout_engine() is not None:
        # Letters are wider in one format than in the other: without more room some are cut.
        roomy = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06)
        roomy.execute(figure)
        figure.set_layout_engine("none")


def _rendered(figure: Figure, name: str) -> tuple[str, bytes]:
    """Return `figure` as SVG for a page and as PNG."""
    import matplotlib

    # Makes the identifiers in the SVG the same each time, and its own among the page's figures.
    with matplotlib.rc_context({"svg.hashsalt": name}):
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=150, facecolor="white")
    return _for_page(text.getvalue(), name), image.getvalue()


def _for_page(svg: str, name: str) -> str:
    """Make `svg` part of a page: its size from the page, its colours from the style sheet."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) xmlns(:xlink)?="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) xmlns(:xlink)?="[^"]*"', r"\1", svg, count=1)
    svg = svg.replace("xlink:href=", "href=")
    # Groups are called axes_1 or text_3 in every figure.
    svg = re.sub(r'(<g id=")', rf"\g<1>{name}-", svg)
    for colour, variable in PAGE_VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg


def standalone(svg: str) -> str:
    """Make the SVG of a page a file of its own, in the colours of a light page."""
    for colour, variable in PAGE_VARIABLES.items():
        svg = svg.replace(f"var({variable})", colour)
    return svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)


def time_axis(axes: Axes, times: NDArray[Any], most: int = 7) -> None:
    """Write at most about so many times on the x axis, dates as briefly as they allow."""
    from matplotlib import dates

    if times.dtype.kind == "M":
        # Without multiples, or three weeks may have a single tick: the first of the month.
        locator: Any = dates.AutoDateLocator(  # type: ignore[no-untyped-call]
            minticks=3, maxticks=most, interval_multiples=False
        )
        # Up to where the next larger unit has three ticks, this one has to have few enough.
        for unit, wide in (
            (dates.MONTHLY, 12),
            (dates.DAILY, 35),
            (dates.HOURLY, 24),
            (dates.MINUTELY, 60),
            (dates.SECONDLY, 60),
        ):
            locator.intervald[unit] = [*locator.intervald[unit], wide]
        axes.xaxis.set_major_locator(locator)
        formatter: Any = dates.ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_formatter(formatter)
    else:
        axes.locator_params(axis="x", nbins=most, integer=True)


def shared_legend(figure: Figure, axes: Axes, columns: int = 5) -> None:
    """Put the legend of `axes` above the figure."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=columns)


def short(name: str, most: int = 36) -> str:
    """Return `name`, cut where it would push the picture aside.

    >>> short("a long name", most=7)
    'a long…'
    """
    return name if len(name) <= most else f"{name[: most - 1].rstrip()}…"


def method_colours(methods: Sequence[str]) -> dict[str, str]:
    """Return a colour for each method, the network's first.

    >>> method_colours(["LSTM", "naive"])["LSTM"] == BLUE
    True
    """
    return {
        method: METHOD_COLOURS[place % len(METHOD_COLOURS)] for place, method in enumerate(methods)
    }
