"""Documents that say something else, with a digest that is right: as if gated had written that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gated.model_files import SEAL, to_document


def write_document(path: Path, document: dict[str, Any]) -> None:
    """Write `document`, once read from such a file, with a digest of its own."""
    content = {name: value for name, value in document.items() if name != SEAL}
    kind, version = content.pop("format"), content.pop("version")
    path.write_bytes(to_document(kind, version, content))


def replace_in_document(path: Path, old: str, new: str) -> None:
    """Replace some text of a document, which holds it."""
    text = path.read_text("utf-8")
    assert old in text
    write_document(path, json.loads(text.replace(old, new)))
