"""What a notebook shows of traces, ledgers, flows and effects: HTML that needs nothing else."""

from __future__ import annotations

import base64
import html
import struct
import zlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

MOST_STEPS = 200
"""Steps of a heat map: the last ones are drawn."""
MOST_ROWS = 10
"""Bars at most: the largest are drawn."""
DECADES = 6
"""Powers of ten that a curve shows."""
BLUE, ORANGE = "#0072b2", "#d55e00"
COLOURS = {1: (0, 114, 178), -1: (213, 94, 0)}
"""Of positive and of negative values."""


def _chunk(kind: bytes, data: bytes) -> bytes:
    checked = kind + data
    return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Return a PNG file of pixels (rows, columns, 3)."""
    rows, columns, _ = pixels.shape
    lines = b"".join(b"\0" + row.tobytes() for row in pixels)
    size = struct.pack(">IIBBBBB", columns, rows, 8, 2, 0, 0, 0)
    parts = (_chunk(b"IHDR", size), _chunk(b"IDAT", zlib.compress(lines)), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def pixels(values: ArrayLike, most: float) -> NDArray[np.uint8]:
    """Return colours (rows, columns, 3): white is 0, blue `most` or more, orange its negative."""
    share = np.clip(np.asarray(values, np.float64) / (most or 1.0), -1, 1)[..., None]
    full = np.where(share < 0, COLOURS[-1], COLOURS[1])
    colours: NDArray[np.uint8] = np.rint(255 + np.abs(share) * (full - 255)).astype(np.uint8)
    return colours


def heat_map(name: str, values: NDArray[np.floating]) -> str:
    """Return a figure of values (T, U): a column for each step, a row for each unit."""
    shown = values[-MOST_STEPS:].astype(np.float64)
    most = max(1.0, float(np.abs(shown).max(initial=0.0)))
    data = base64.b64encode(png(pixels(shown.T, most))).decode()
    width, height = 3 * max(1, len(shown)), min(160, max(24, 3 * shown.shape[1]))
    of = f", the last {MOST_STEPS} of {len(values)} steps" if len(values) > MOST_STEPS else ""
    low = f"−{most:.2g}" if shown.min(initial=0.0) < 0 else "0"
    return (
        f"<figure><figcaption>{html.escape(name)}: {low} to {most:.2g}{of}</figcaption>"
        f'<img alt="{html.escape(name)}" width="{min(720, width)}" height="{height}" '
        f'style="image-rendering:pixelated" src="data:image/png;base64,{data}"></figure>'
    )


def bars(rows: Sequence[tuple[str, float]]) -> str:
    """Return a table of the largest values, with a bar for each, in their own order."""
    largest = sorted(range(len(rows)), key=lambda place: -abs(rows[place][1]))[:MOST_ROWS]
    most = max((abs(rows[place][1]) for place in largest), default=0.0) or 1.0
    lines = []
    for place in sorted(largest):
        name, value = rows[place]
        width, colour = round(160 * abs(value) / most), BLUE if value >= 0 else ORANGE
        bar = f'<div style="width:{width}px;height:.8em;background:{colour}"></div>'
        number = f"{value:.3g}".replace("-", "−")
        lines.append(f"<tr><td>{html.escape(name)}</td><td>{bar}</td><td>{number}</td></tr>")
    return f"<table>{''.join(lines)}</table>"


def curve(name: str, norms: NDArray[np.floating]) -> str:
    """Return a figure of norms (T,) over time: logarithms of their shares of the largest one."""
    most = float(norms.max(initial=0.0))
    with np.errstate(divide="ignore"):
        share = np.log10(norms / most) if most else np.full(len(norms), -np.inf)
    heights = np.clip(-share, 0, DECADES) * 60 / DECADES + 2
    step = 480 / max(1, len(norms) - 1)
    points = " ".join(f"{place * step:.1f},{height:.1f}" for place, height in enumerate(heights))
    return (
        f"<figure><figcaption>{html.escape(name)}, as a share of the largest: 1 to "
        f"10<sup>−{DECADES}</sup></figcaption>"
        f'<svg viewBox="0 0 480 64" width="480" height="64" role="img">'
        f'<polyline points="{points}" fill="none" stroke="{BLUE}" stroke-width="2"/></svg></figure>'
    )


def paragraphs(lines: Iterable[str]) -> str:
    """Return lines of plain text as paragraphs."""
    return "".join(f"<p>{html.escape(line)}</p>" for line in lines)
