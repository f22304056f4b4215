"""Diagrams of cells with the values of a traced layer, still or animated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement
from zlib import crc32

from gated.errors import DataError
from gated.report.diagrams import notation
from gated.report.diagrams.gru_and_rnn_cells import GRU_CELL, RNN_CELL
from gated.report.diagrams.lstm_cell import LSTM_CELL
from gated.report.diagrams.shapes import Caption, Diagram, Language, Point, Wire, Words
from gated.report.diagrams.style import DARK, DARK_PAGE, LIGHT
from gated.report.diagrams.svg import (
    SYMBOL_SIZE,
    add_caption,
    add_diagram,
    add_formula,
    add_text,
    new_picture,
    number,
    write,
)
from gated.report.diagrams.values import wire_values

if TYPE_CHECKING:
    from gated.explain import LayerTrace

CELLS = {"lstm": LSTM_CELL, "gru": GRU_CELL, "rnn_tanh": RNN_CELL}
"""The diagram of each cell that has one, by the names of `gated.core.layout.LAYOUTS`."""
MEMORIES = {"lstm": "c_t", "gru": "h_t", "rnn_tanh": "h_t"}
"""The state whose values are drawn under an animated diagram."""
THINNEST, WIDEST = 1.5, 8.0
"""Widths of wires with the values 0 and ±1."""
FAINTEST = 0.3
"""Opacity of a wire with the value 0."""
HEAD = 13.0
VALUE_SIZE, GAP = 14.0, 6.0
VALUE_WIDTH = 3.2 * VALUE_SIZE
ROOM = 1.15
"""Factor on the width of a symbol before its value: fonts may be wider than assumed."""
STILL = 0.75
"""Share of a step's time during which an animated diagram does not change."""
STRIP = 132.0
"""Height of the strip under an animated diagram."""
LEFT, RIGHT = 24.0, 736.0
SIGNS = Words(" · blue: positive, orange: negative", " · 蓝色为正，橙色为负")
SHOWN_AS = {" ": "␣", "\n": "↵", "\t": "⇥"}

Frames = dict[str, list[float]]
"""The value of each wire, by its symbol, in each frame."""


def filled(
    layer: LayerTrace,
    step: int,
    *,
    unit: int | None = None,
    sequence: int = 0,
    reads: str = "",
    language: Language = "en",
) -> str:
    """Return the diagram of a traced layer with the values of one step, as the text of an SVG file.

    Wires are wide and opaque where absolute values are large, blue where positive, orange where
    negative.

    Args:
        layer: an LSTM, a GRU or a plain RNN.
        step: the time step.
        unit: index of one of the layer's units; None for the mean absolute value over all units
            that were traced.
        sequence: index in the batch.
        reads: the input of the step as text, such as a character.
        language: of titles and captions.

    Raises:
        ConfigurationError: the layer has no diagram, or is a variant with other equations.
        DataError: there is no such step, unit or sequence in the trace.
    """
    frames = wire_values(layer, [step], unit=unit, sequence=sequence)
    named = Words(
        f"{_title(layer, 'en')} at step {step}, {_whose(unit, 'en')}",
        f"{_title(layer, 'zh')}，第 {step} 步，{_whose(unit, 'zh')}",
    )
    diagram = replace(CELLS[layer.kind], title=named)
    svg = new_picture(diagram, language)
    _add_frames(svg, diagram, frames, [reads] if reads else [], unit, language)
    return write(svg)


def animated(
    layer: LayerTrace,
    reads: Sequence[str],
    *,
    first: int = 0,
    unit: int | None = None,
    sequence: int = 0,
    seconds: float = 1.2,
    language: Language = "en",
) -> str:
    """Return a diagram animated over steps, with their inputs under it, as the text of an SVG file.

    The animation is CSS, without scripts; readers who prefer reduced motion see the first step.

    Args:
        layer: an LSTM, a GRU or a plain RNN.
        reads: the input of each step as text, such as the characters of a text.
        first: the step of the first of these.
        unit: index of one of the layer's units; None for the mean absolute value over all units
            that were traced.
        sequence: index in the batch.
        seconds: duration of a step.
        language: of titles and captions.

    Raises:
        ConfigurationError: the layer has no diagram, or is a variant with other equations.
        DataError: `reads` is empty, or the steps, unit or sequence are not in the trace.
    """
    if not reads:
        raise DataError("reads must hold the input of at least one step, got none")
    steps = range(first, first + len(reads))
    frames = wire_values(layer, steps, unit=unit, sequence=sequence)
    named = Words(
        f"{_title(layer, 'en')} over {len(reads)} steps, {_whose(unit, 'en')}",
        f"{_title(layer, 'zh')}，共 {len(reads)} 步，{_whose(unit, 'zh')}",
    )
    diagram = replace(CELLS[layer.kind], title=named)
    width, height = diagram.size
    svg = new_picture(diagram, language, (width, height + STRIP))
    ways = _add_frames(svg, diagram, frames, reads, unit, language)
    _add_strip(svg, height, MEMORIES[layer.kind], frames[MEMORIES[layer.kind]], reads)
    # A page such as a notebook may hold several diagrams; each needs CSS names of its own.
    own = f"moving-{crc32(write(svg).encode()):08x}"
    svg.set("class", f"{svg.get('class')} {own}")
    moving = SubElement(svg, "style")
    moving.text = _motion(own, len(reads), seconds) + "".join(
        _keyframes(own, place, values) for place, values in ways.items()
    )
    return write(svg)


def _title(layer: LayerTrace, language: Language) -> str:
    title: str = getattr(CELLS[layer.kind].title, language)
    return title


def _whose(unit: int | None, language: Language) -> str:
    if language == "zh":
        return "各神经元的平均幅度" if unit is None else f"神经元 {unit}"
    return "mean magnitude over units" if unit is None else f"unit {unit}"


def _add_frames(
    svg: Element,
    diagram: Diagram,
    frames: Frames,
    reads: Sequence[str],
    unit: int | None,
    language: Language,
) -> dict[int, list[float]]:
    """Draw the diagram with its values; return the values of each wire, by its index there."""
    svg.set("class", "gated-diagram filled")
    bare = tuple(
        replace(wire, label=None) if wire.symbol in frames or wire.symbol == "x_t" else wire
        for wire in diagram.wires
    )
    ways = add_diagram(svg, replace(diagram, wires=bare), language, HEAD)
    moving = {}
    for place, (wire, way) in enumerate(zip(diagram.wires, ways, strict=True)):
        # A wire without a label is a branch into layers, which read all units, not the shown one.
        if wire.symbol in frames and wire.label is not None:
            first = frames[wire.symbol][0]
            way.set("class", f"way w{place} {_sign(first)}")
            way.set("style", _look(first))
            moving[place] = frames[wire.symbol]
            _add_values(svg, wire, [_signed(value) for value in frames[wire.symbol]])
        elif wire.symbol == "x_t":
            _add_values(svg, wire, [f"“{SHOWN_AS.get(letter, letter)}”" for letter in reads])
    # Mean absolute values have no sign.
    signs = Words("", "") if unit is None else SIGNS
    legend = Words(
        f"{_whose(unit, 'en')} · full width at 1{signs.en}",
        f"{_whose(unit, 'zh')} · 线宽表示幅度，到 1 为止{signs.zh}",
    )
    add_caption(svg, Caption(legend, (RIGHT, diagram.size[1] - 9), "end"), language)
    return moving


def _add_values(svg: Element, wire: Wire, values: Sequence[str]) -> None:
    """Draw the wire's symbol, and after it its value in each frame."""
    if wire.label is None:
        return
    x, y = wire.label
    symbol = ROOM * notation.width(wire.symbol, SYMBOL_SIZE)
    whole = symbol + GAP + VALUE_WIDTH
    left = x - {"start": 0.0, "middle": whole / 2, "end": whole}[wire.anchor]
    group = SubElement(svg, "g", {"class": "label", "data-symbol": wire.symbol})
    add_formula(group, wire.symbol, (left, y))
    for frame, value in enumerate(values):
        place: Point = (left + symbol + GAP, y)
        add_text(group, place, "start", VALUE_SIZE, f"value {_frame(frame, values)}").text = value


def _frame(frame: int, frames: Sequence[object]) -> str:
    """Return the CSS class of an element that is visible in one frame only; none for one frame."""
    return f"frame f{frame}" if len(frames) > 1 else ""


def _add_strip(
    svg: Element, top: float, symbol: str, memory: Sequence[float], reads: Sequence[str]
) -> None:
    """Draw the inputs of all steps, the state as bars below, and a mark at the frame's step."""
    begin = LEFT + 32
    pitch = (RIGHT - begin) / len(reads)
    line = top + 94
    most = max(1e-6, *(abs(value) for value in memory))
    add_formula(svg, symbol, (LEFT, line + 5), size=16)
    rule = {"class": "rule", "d": f"M{number(begin)} {number(line)}H{number(RIGHT)}"}
    SubElement(svg, "path", rule)
    for frame, (letter, value) in enumerate(zip(reads, memory, strict=True)):
        x, kind = begin + pitch * frame, _frame(frame, reads)
        mark = {"x": x, "y": top + 10, "width": pitch, "height": STRIP - 16, "rx": 4.0}
        SubElement(svg, "rect", {"class": f"mark {kind}"} | {k: number(v) for k, v in mark.items()})
        length = 32 * abs(value) / most
        bar = {"x": x + pitch / 4, "y": line - max(0.0, 32 * value / most)}
        bar |= {"width": pitch / 2, "height": length}
        sizes = {name: number(size) for name, size in bar.items()}
        SubElement(svg, "rect", {"class": f"bar {_sign(value)}"} | sizes)
        place = (x + pitch / 2, top + 30)
        size = min(17.0, 1.2 * pitch)
        add_text(svg, place, "middle", size, "letter").text = SHOWN_AS.get(letter, letter)


def _look(value: float) -> str:
    """Return the CSS of a wire with this value, without its colour."""
    strength = min(1.0, abs(value))
    width = THINNEST + (WIDEST - THINNEST) * strength
    opacity = FAINTEST + (1 - FAINTEST) * strength
    return f"stroke-width:{width:.1f};opacity:{opacity:.2f}"


def _sign(value: float) -> str:
    """Return the CSS class of what has the colour of a value's sign."""
    return "negative" if value < 0 else "positive"


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-0.00", "0.00").replace("-", "−")


def _motion(own: str, frames: int, seconds: float) -> str:
    """Return the CSS that shows one frame after the other, or only the first without motion."""
    whole = f"{frames * seconds:g}s"
    delays = "".join(
        f".{own} .f{frame}{{animation-delay:{frame * seconds:.2f}s}}\n" for frame in range(frames)
    )
    end = f"{100 / frames:.3f}%"
    return (
        f"\n@keyframes {own}-seen{{0%{{visibility:visible}}{end},to{{visibility:hidden}}}}\n"
        f".{own} .frame{{visibility:hidden;animation:{own}-seen {whole} step-end infinite}}\n"
        # Where nothing moves, by choice or for want of animations.
        f".{own} .f0{{visibility:visible}}\n"
        f"{delays}.{own} .way{{animation-duration:{whole};"
        "animation-iteration-count:infinite}\n"
        f"@media (prefers-reduced-motion:reduce){{.{own} *{{animation:none!important}}}}\n"
    )


def _keyframes(own: str, place: int, values: Sequence[float]) -> str:
    """Return the CSS of a wire: in each frame it keeps its look, then changes to the next."""
    text = f"@keyframes {own}-w{place}{{{_stands([_look(value) for value in values])}}}\n"
    names = f"{own}-w{place}"
    if len(set(map(_sign, values))) > 1:
        names += f",{own}-s{place}"
        light, dark = (_turns(f"{own}-s{place}", values, colours) for colours in (LIGHT, DARK))
        text += f"{light}\n@media {DARK_PAGE}{{{dark}}}\n"
    return f"{text}.{own} .w{place}{{animation-name:{names}}}\n"


def _turns(name: str, values: Sequence[float], colours: dict[str, str]) -> str:
    """Return keyframes in which the colour follows the sign of the values."""
    hues = {"positive": colours["blue"], "negative": colours["orange"]}
    return f"@keyframes {name}{{{_stands([f'color:{hues[_sign(value)]}' for value in values])}}}"


def _stands(looks: Sequence[str]) -> str:
    """Return keyframes: each look for most of its frame, and at the end the first again."""
    share = 100 / len(looks)
    stands = "".join(
        f"{share * frame:.2f}%,{share * (frame + STILL):.2f}%{{{look}}}"
        for frame, look in enumerate(looks)
    )
    return f"{stands}to{{{looks[0]}}}"
