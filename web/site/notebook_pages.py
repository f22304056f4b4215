"""Notebooks, with the outputs that they were committed with, as pages in Markdown."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any


def page_of_notebook(path: Path) -> str:
    """Return the text of a page: prose as it is, code, and what the code has printed and drawn."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join(part for cell in cells for part in _parts(cell)) + "\n"


def _parts(cell: dict[str, Any]) -> list[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return [source]
    return [_fenced("python", source), *map(_shown, cell["outputs"])]


def _shown(output: dict[str, Any]) -> str:
    """Return the richest form of an output that a page can show."""
    if output["output_type"] == "stream":
        return _fenced("text", "".join(output["text"]))
    data = {kind: "".join(text) for kind, text in output["data"].items()}
    if "text/latex" in data:  # a cell: its equations, and its picture below them
        return f"{data['text/latex']}\n\n{_image('svg+xml', data['image/svg+xml'].encode())}"
    if "image/png" in data:
        return _image("png", b64decode(data["image/png"]))
    if "text/html" in data:
        return f'<div class="output">{data["text/html"]}</div>'
    return _fenced("text", data["text/plain"])


def _image(kind: str, data: bytes) -> str:
    """An image in the page itself; what it shows is said in the text around it."""
    return f'<img alt="" src="data:image/{kind};base64,{b64encode(data).decode()}">'


def _fenced(language: str, text: str) -> str:
    return f"```{language}\n{text.rstrip()}\n```"
