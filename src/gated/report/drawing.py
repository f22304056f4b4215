"""The common style of all pictures; their SVG follows the light or dark colours of the page."""

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
# Okabe and Ito (2008): distinguishable with every kind of colour vision.
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
"""Fonts that are tried for each letter, in this order; the later ones have Chinese characters."""
WIDTH = 9.0
"""Width of pictures in inches."""
PIXELS = 100
"""Pixels an inch on a page."""
DPI = 150
"""Pixels an inch of a PNG."""


@dataclass(frozen=True)
class Picture:
    """A figure, rendered as SVG for the page and as PNG for other uses."""

    name: str
    """Of its file, without the suffix."""
    svg: str
    png: bytes
    description: str
    """Alternative text for readers who cannot see the picture."""
    caption: str
    """The text under the picture."""


@contextmanager
def style() -> Iterator[None]:
    """Set the common style: no frames, a light grid, and text that stays text in SVG."""
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
        # A name of a series may hold dollar signs, and is no formula.
        "text.parse_math": False,
    }
    with matplotlib.rc_context(settings), _any_letter():
        yield


@contextmanager
def _any_letter() -> Iterator[None]:
    """Silence warnings of missing glyphs: such a letter is a box in PNG, and still text in SVG."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        yield


def new_figure(height: float, **options: Any) -> tuple[Figure, Any]:
    """Return a figure of the page's width, `height` inches high, and its axes.

    The axes are what `Figure.subplots` returns for `options`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots(**options)


def whole_ticks(axis: Any) -> None:
    """Restrict the ticks of an axis to whole numbers."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator("auto", integer=True))


def finish(figure: Figure, name: str, *, description: str, caption: str) -> Picture:
    """Render `figure` as SVG and PNG."""
    with _any_letter():
        _lay_out(figure)
        return Picture(name, *_rendered(figure, name), description, caption)


def _lay_out(figure: Figure) -> None:
    """Compute the layout once, not again for each format."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    if figure.get_layout_engine() is not None:
        # Text is wider in one format than in the other: without padding some would be cut.
        roomy = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06)
        roomy.execute(figure)
        figure.set_layout_engine("none")


def _rendered(figure: Figure, name: str) -> tuple[str, bytes]:
    """Return `figure` as SVG for a page and as PNG.

    The canvases write it themselves: `savefig` would first draw it once more, for its layout.
    """
    import matplotlib
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    text, image = io.StringIO(), io.BytesIO()
    # Identifiers in the SVG are then the same in each run, and differ between a page's figures.
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.set_facecolor("none")
        for axes in figure.findobj(Axes):
            axes.set_facecolor("none")
        canvas: Any = FigureCanvasSVG(figure)
        canvas.print_svg(text, metadata={"Date": None})
    figure.set_dpi(DPI)
    figure.set_facecolor("white")
    canvas = FigureCanvasAgg(figure)
    canvas.print_png(image)
    return _for_page(text.getvalue(), name), image.getvalue()


def _for_page(svg: str, name: str) -> str:
    """Prepare `svg` for a page, which sets its size and, by variables in CSS, its colours."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) xmlns(:xlink)?="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) xmlns(:xlink)?="[^"]*"', r"\1", svg, count=1)
    svg = svg.replace("xlink:href=", "href=")
    # Identifiers such as axes_1 or text_3 would occur in every figure of the page.
    svg = re.sub(r'(<g id=")', rf"\g<1>{name}-", svg)
    for colour, variable in PAGE_VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg


def standalone(svg: str) -> str:
    """Return the SVG of a page as that of a separate file: of its own size, dark on white."""
    for colour, variable in PAGE_VARIABLES.items():
        svg = svg.replace(f"var({variable})", colour)
    found = re.search(r'<svg [^>]*?viewBox="0 0 ([\d.]+) ([\d.]+)"[^>]*>', svg)
    assert found is not None  # noqa: S101 - `svg` is of `finish`
    width, height = (float(points) / 72 * PIXELS for points in found.groups())
    begin = found[0].replace(
        "<svg ",
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" ',
    )
    # Without a ground the dark text could not be read in a viewer that is dark itself.
    ground = '<rect width="100%" height="100%" style="fill: #ffffff"/>'
    return f"{begin}\n {ground}{svg[found.end() :]}"


def time_axis(axes: Axes, times: NDArray[Any], most: int = 7) -> None:
    """Set about `most` ticks at most on an x axis of times, with dates written briefly."""
    from matplotlib import dates

    if times.dtype.kind == "M":
        # With multiples, three weeks might have a single tick: the first of the month.
        locator: Any = dates.AutoDateLocator(  # type: ignore[no-untyped-call]
            minticks=3, maxticks=most, interval_multiples=False
        )
        # Wide intervals for each unit, for ranges too short for three ticks of the next larger one.
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
    """Return `name`, shortened to at most `most` characters.

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
