"""Report pages: one HTML file that opens offline, and its pictures beside it as PNG."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from importlib.metadata import version
from pathlib import Path

import gated
from gated.errors import require
from gated.files import write_atomically
from gated.report.drawing import Picture, standalone


@dataclass(frozen=True)
class Table:
    """A table with names in its first column and figures in the others."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    best: Sequence[int | None] = ()
    """For each column after the first, the row with the best figure, which is set in bold."""
    prose: bool = False
    """Whether the columns hold sentences, not figures."""
    kind: str = "table"


@dataclass(frozen=True)
class Code:
    """Text to copy."""

    text: str
    kind: str = "code"


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    kind: str = "text"


@dataclass(frozen=True)
class Drawing:
    """A picture, with its caption."""

    picture: Picture
    kind: str = "drawing"


Block = Table | Code | Text | Drawing


@dataclass(frozen=True)
class Section:
    """A heading and the blocks under it."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Page:
    """A whole report; the verdict is its first line."""

    title: str
    verdict: str
    good: bool
    """Whether the verdict is good news."""
    sections: Sequence[Section]
    facts: Sequence[str] = ()
    """Lines for the foot of the page, besides the machine and the time."""


def write_page(out: Path, page: Page, *, svg: bool = False) -> Path:
    """Write a page and its pictures, and return the page's path.

    Args:
        out: a directory, for `report.html` and `figures/`; or a file that ends in `.html`, whose
            pictures go into the directory that `figures_of` returns.
        page: what to write.
        svg: whether to write the pictures as SVG files too.
    """
    jinja2 = require("jinja2", extra="explain")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = resources.files(__package__).joinpath("page.html").read_text("utf-8")
    html = environment.from_string(template).render(page=page, facts=[*page.facts, *_machine()])
    figures = figures_of(out)
    figures.mkdir(parents=True, exist_ok=True)
    for section in page.sections:
        for block in section.blocks:
            if isinstance(block, Drawing):
                write_atomically(figures / f"{block.picture.name}.png", block.picture.png)
                if svg:
                    drawn = standalone(block.picture.svg).encode()
                    write_atomically(figures / f"{block.picture.name}.svg", drawn)
    path = out if is_file_name(out) else out / "report.html"
    write_atomically(path, html.encode())
    return path


def is_file_name(out: Path) -> bool:
    """Whether `out` names a page, and not a directory for one."""
    return out.suffix.lower() in (".html", ".htm")


def figures_of(out: Path) -> Path:
    """Return the directory of the pictures of a page that is written to `out`.

    >>> figures_of(Path("runs/report.html")).as_posix(), figures_of(Path("runs")).as_posix()
    ('runs/report_figures', 'runs/figures')
    """
    return out.with_name(f"{out.stem}_figures") if is_file_name(out) else out / "figures"


def _machine() -> list[str]:
    return [
        f"gated {gated.__version__}, torch {version('torch')}, Python {platform.python_version()}",
        f"{platform.system()} {platform.machine()}",
        datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    ]
