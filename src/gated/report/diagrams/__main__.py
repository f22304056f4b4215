"""Writes the diagrams of "From the RNN to the LSTM, in pictures", in both languages."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from gated.report.diagrams import STORY, draw
from gated.report.diagrams.shapes import Language


def main() -> None:
    """Write `NAME.LANGUAGE.svg` for each picture and language."""
    parser = argparse.ArgumentParser(prog="python -m gated.report.diagrams", description=__doc__)
    parser.add_argument(
        "directory", type=Path, help="directory to write to, such as docs/images/lstm"
    )
    directory: Path = parser.parse_args().directory
    directory.mkdir(parents=True, exist_ok=True)
    for diagram in STORY:
        for language in get_args(Language):
            path = directory / f"{diagram.name}.{language}.svg"
            path.write_text(draw(diagram, language), "utf-8")


if __name__ == "__main__":
    main()
